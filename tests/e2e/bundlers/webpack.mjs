// Builds `src/main.js` into the directory that is named first, with names that carry the
// hash that is named second, or none: `node webpack.mjs DIR '.[contenthash]'`.
import path from "node:path";
import HtmlPlugin from "html-webpack-plugin";
import CssPlugin from "mini-css-extract-plugin";
import webpack from "webpack";

const [directory, hash = ""] = process.argv.slice(2);

const config = {
  mode: "production",
  devtool: "source-map",
  entry: "./src/main.js",
  output: {
    path: path.resolve(directory),
    filename: `[name]${hash}.js`,
    chunkFilename: `[name]${hash}.chunk.js`,
    publicPath: "auto",
    ...(hash ? {} : { assetModuleFilename: "[name][ext]" }),
  },
  module: { rules: [{ test: /\.css$/, use: [CssPlugin.loader, "css-loader"] }] },
  plugins: [
    new HtmlPlugin({ templateContent: "<div id=app></div>" }),
    new CssPlugin({ filename: `[name]${hash}.css`, chunkFilename: `[id]${hash}.css` }),
  ],
};

webpack(config, (error, stats) => {
  const failed = error ?? (stats.hasErrors() && stats.toString());
  if (failed) throw new Error(failed);
});
