//! One request and its response.

pub(crate) mod redirect;
pub(crate) mod request;
pub(crate) mod response;
