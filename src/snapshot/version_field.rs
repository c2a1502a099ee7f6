//! Which response header names the version?

use http::{HeaderMap, HeaderName, HeaderValue};

/// A header with the version, for pages. Boxed, because few layers have one.
#[derive(Debug)]
pub(crate) struct VersionField(Option<Box<(HeaderName, HeaderValue)>>);

impl VersionField {
    pub(crate) fn new(name: Option<&HeaderName>, version: &str) -> Self {
        // A version is one plain URL segment, which a header can always have.
        let field = name.cloned().zip(HeaderValue::from_str(version).ok());
        Self(field.map(Box::new))
    }

    #[inline]
    pub(crate) fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// Adds the header, unless the inner service has: it may be a proxy of the node that has made
    /// the page.
    pub(crate) fn add_to(&self, headers: &mut HeaderMap) {
        if let Some((name, value)) = self.0.as_deref()
            && !headers.contains_key(name)
        {
            headers.insert(name.clone(), value.clone());
        }
    }
}
