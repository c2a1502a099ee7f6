// Prints a compose file as JSON, if the schema of the Compose Specification permits what it has.
//
//     node target/linters/npm/compose.mjs FILE
//
// `docker compose` itself comes in no package, and would need no less than a daemon to run it.
import { readFileSync } from "node:fs";
import Ajv2020 from "ajv/dist/2020.js";
import { parse } from "yaml";

const schema = new URL(
  "../python/check_jsonschema/builtin_schemas/vendor/compose-spec.json",
  import.meta.url,
);
const compose = parse(readFileSync(process.argv[2], "utf8"), { merge: true });
const ajv = new Ajv2020({ strict: false, validateFormats: false });
if (!ajv.validate(JSON.parse(readFileSync(schema, "utf8")), compose)) {
  console.error(ajv.errorsText());
  process.exit(1);
}
console.log(JSON.stringify(compose));
