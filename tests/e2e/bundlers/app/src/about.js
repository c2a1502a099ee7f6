/*! About, edition 1. Bundlers keep this comment, some in a file beside the chunk. */

// Only comments differ between the two builds: the chunk stays, and its source map changes.
export function about(app) {
  app.append("About");
}
