//! What is measured together, and makes one table.

use crate::{Protocol, Result};

pub(crate) const ALL: &[Group] = &[
    Group { name: "http1", title: "HTTP/1.1, one worker", protocol: Protocol::Http1, workers: 1 },
    Group {
        name: "http2",
        title: "HTTP/2 (h2c), one worker",
        protocol: Protocol::Http2,
        workers: 1,
    },
    Group {
        name: "workers",
        title: "HTTP/1.1, two workers",
        protocol: Protocol::Http1,
        workers: 2,
    },
];

#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) protocol: Protocol,
    pub(crate) workers: usize,
}

pub(crate) fn named(name: &str) -> Result<Group> {
    let group = ALL.iter().find(|group| group.name == name).copied();
    let names = || ALL.iter().map(|group| group.name).collect::<Vec<_>>().join(", ");
    group.ok_or_else(|| format!("no table {name:?}; there are {}", names()).into())
}
