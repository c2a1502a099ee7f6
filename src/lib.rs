//! wip
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(unreachable_pub)]

#[cfg(feature = "axum")]
mod axum;
mod body;
mod coding;
mod conditional;
mod digest;
mod error;
mod etag;
mod future;
mod header;
mod layer;
mod listed;
mod location;
mod log;
pub mod manifest;
mod path;
mod plan;
mod policy;
mod prefix;
mod range;
mod review;
mod scan;
mod service;
mod snapshot;
mod version;

#[cfg(feature = "axum")]
pub use crate::axum::{AxumResponseFuture, AxumStaticUrl, MakeAxumStaticUrl, MissingStaticPrefix};
pub use crate::{
    body::ResponseBody,
    error::{Error, ErrorKind},
    future::ResponseFuture,
    layer::{StalePolicy, StaticUrlLayer, StaticUrlLayerBuilder},
    manifest::Manifest,
    policy::CachePolicy,
    prefix::StaticPrefix,
    service::StaticUrl,
    version::VersionSource,
};
