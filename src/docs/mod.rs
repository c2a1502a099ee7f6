//! Longer explanations, one page for each topic.

#[doc = include_str!("bundlers.md")]
pub mod bundlers {}

#[doc = include_str!("caching.md")]
pub mod caching {}

#[doc = include_str!("deltas.md")]
pub mod deltas {}

#[doc = include_str!("deploys.md")]
pub mod deploys {}

#[doc = include_str!("development.md")]
pub mod development {}

#[doc = include_str!("django.md")]
pub mod django {}

#[doc = include_str!("embedded_files.md")]
pub mod embedded_files {}

#[doc = include_str!("files_from_memory.md")]
pub mod files_from_memory {}

#[doc = include_str!("from_disk.md")]
pub mod from_disk {}

#[doc = include_str!("layer_order.md")]
pub mod layer_order {}

#[doc = include_str!("limits.md")]
pub mod limits {}

#[doc = include_str!("rolling_deploys.md")]
pub mod rolling_deploys {}

#[doc = include_str!("what_not_to_version.md")]
pub mod what_not_to_version {}
