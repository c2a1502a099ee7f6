// Names without a hash, as the documentation says.
const output = {
  entryFileNames: "assets/[name].js",
  chunkFileNames: "assets/[name].js",
  assetFileNames: "assets/[name][extname]",
};

export default {
  base: "./",
  build: { rolldownOptions: { output } },
  worker: { rolldownOptions: { output } },
};
