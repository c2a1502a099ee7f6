// Writes a picture and a font, too large to be put into another file, into the directory
// that is named first. Their bytes depend on the number that is named second.
import { writeFileSync } from "node:fs";
import { crc32, deflateSync } from "node:zlib";

const [directory, edition] = process.argv.slice(2);

/** A byte sequence that no compressor makes small: a linear congruential generator. */
function noise(length) {
  let state = Number(edition);
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
}

function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type), data]);
  const field = (value) => Buffer.from(Uint32Array.of(value).buffer).swap32();
  return Buffer.concat([field(data.length), body, field(crc32(body))]);
}

/** 100 rows of 128 gray pixels, each row behind a byte that names its filter: none. */
function png() {
  const header = Buffer.from([0, 0, 0, 128, 0, 0, 0, 100, 8, 0, 0, 0, 0]);
  const pixels = Buffer.from(noise(129 * 100)).map((byte, at) => (at % 129 ? byte : 0));
  const signature = Buffer.from("\x89PNG\r\n\x1a\n", "latin1");
  const chunks = [chunk("IHDR", header), chunk("IDAT", deflateSync(pixels)), chunk("IEND", Buffer.alloc(0))];
  return Buffer.concat([signature, ...chunks]);
}

writeFileSync(`${directory}/photo.png`, png());
writeFileSync(`${directory}/font.woff2`, noise(10_000));
