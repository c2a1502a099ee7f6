//! Longer explanations, one page for each topic.

#[doc = include_str!("bundlers.md")]
pub mod bundlers {}

#[doc = include_str!("caching.md")]
#[doc = include_str!("request.svg")]
#[doc = "\nWhat a browser asks for, on four visits:\n"]
#[doc = include_str!("visits.svg")]
pub mod caching {}

#[doc = include_str!("cdn.md")]
pub mod cdn {}

#[doc = include_str!("choosing_a_source.md")]
pub mod choosing_a_source {}

#[doc = include_str!("deltas.md")]
pub mod deltas {}

#[doc = include_str!("deploy_signals.md")]
pub mod deploy_signals {}

#[doc = include_str!("deploys.md")]
pub mod deploys {}

#[doc = include_str!("development.md")]
pub mod development {}

#[doc = include_str!("django.md")]
pub mod django {}

#[doc = include_str!("embedded_files.md")]
pub mod embedded_files {}

#[doc = include_str!("faq.md")]
pub mod faq {}

#[doc = include_str!("files_from_memory.md")]
pub mod files_from_memory {}

#[doc = include_str!("from_disk.md")]
pub mod from_disk {}

#[doc = include_str!("layer_order.md")]
pub mod layer_order {}

#[doc = include_str!("limits.md")]
pub mod limits {}

#[doc = include_str!("moving.md")]
pub mod moving {}

#[doc = include_str!("preloading.md")]
pub mod preloading {}

#[doc = include_str!("rolling_deploys.md")]
#[doc = include_str!("rolling_deploy.svg")]
pub mod rolling_deploys {}

// Its examples need the engines: the package `examples/templates` runs them.
#[cfg_attr(not(doctest), doc = include_str!("templates.md"))]
pub mod templates {}

#[doc = include_str!("what_not_to_version.md")]
pub mod what_not_to_version {}

#[doc = include_str!("whole_way.md")]
#[doc = concat!("```sh\n", include_str!("../../examples/deploy/whole_way.sh"), "```")]
#[doc = "\n# The configuration of nginx\n"]
#[doc = concat!("```nginx\n", include_str!("../../examples/deploy/nginx.conf"), "```")]
pub mod whole_way {}
