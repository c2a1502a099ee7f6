//! Compiles and runs the examples of `src/docs/templates.md`, which need the engines.

#[cfg(doctest)]
#[doc = include_str!("../../../src/docs/templates.md")]
struct Templates;
