//! Two releases of a site, and what a client may get of them through a cache.

use std::collections::BTreeSet;

use crate::support::YEAR;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Release {
    Old,
    New,
}

impl Release {
    pub(crate) const ALL: [Self; 2] = [Self::Old, Self::New];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::New => "new",
        }
    }
}

/// What a release has at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Text(&'static str),
    /// A 404.
    Nothing,
    /// A symlink to itself: a 500.
    Loop,
}

pub(crate) struct File {
    pub(crate) path: &'static str,
    old: Content,
    new: Content,
}

impl File {
    pub(crate) fn content(&self, release: Release) -> Content {
        match release {
            Release::Old => self.old,
            Release::New => self.new,
        }
    }
}

/// What both releases have is of one length, and the test gives all files one time, as
/// the layers of container images do: only the bytes tell.
pub(crate) static FILES: [File; 6] = [
    CHANGED,
    File { path: "css/equal.css", old: Content::Text("p { }"), new: Content::Text("p { }") },
    File { path: "js/added.js", old: Content::Nothing, new: Content::Text("added()") },
    File { path: "js/removed.js", old: Content::Text("removed()"), new: Content::Nothing },
    File { path: "js/mended.js", old: Content::Loop, new: Content::Text("mended()") },
    File { path: "js/broken.js", old: Content::Text("broken()"), new: Content::Loop },
];

pub(crate) const CHANGED: File = File {
    path: "css/app.css",
    old: Content::Text("body { color: old }"),
    new: Content::Text("body { color: new }"),
};

/// Has a pre-compressed sibling in both releases.
pub(crate) const ZIPPED: File = File {
    path: "css/zipped.css",
    old: Content::Text("body { color: old; margin: 0 }"),
    new: Content::Text("body { color: new; margin: 0 }"),
};

/// One request of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// The release whose page has linked the file; nobody's URL has no version.
    pub(crate) link: Option<Release>,
    /// The node that answers, unless the cache does.
    pub(crate) node: Release,
}

impl Step {
    /// As all are before a deploy, and after it.
    pub(crate) const fn settled(release: Release) -> Self {
        Self { link: Some(release), node: release }
    }

    pub(crate) fn all() -> impl Iterator<Item = Self> + Clone {
        let links = [Some(Release::Old), Some(Release::New), None];
        links.into_iter().flat_map(|link| Release::ALL.map(|node| Self { link, node }))
    }
}

/// Every sequence of so many steps.
pub(crate) fn sequences(length: usize) -> Vec<Vec<Step>> {
    let mut sequences = vec![vec![]];
    for _ in 0..length {
        let longer = |sequence: Vec<Step>| {
            Step::all().map(move |step| [sequence.clone(), vec![step]].concat())
        };
        sequences = sequences.into_iter().flat_map(longer).collect();
    }
    sequences
}

/// What the nodes have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nodes {
    /// Each its own release.
    Alone,
    /// Every release that is kept.
    WithReleases,
}

impl Nodes {
    /// The release whose file a node sends.
    pub(crate) fn release(self, Step { link, node }: Step) -> Release {
        match self {
            Self::Alone => node,
            Self::WithReleases => link.unwrap_or(node),
        }
    }

    /// Whether a URL gets the file that it names.
    pub(crate) fn is_exact(self, step: Step) -> bool {
        step.link == Some(self.release(step))
    }

    fn content(self, file: &File, step: Step) -> Content {
        let release = self.release(step);
        match file.content(release) {
            // A kept release has only what it lists, and such a link is not listed.
            Content::Loop if release != step.node => Content::Nothing,
            content => content,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Expected {
    pub(crate) content: Content,
    pub(crate) cache_control: &'static str,
    pub(crate) is_from_cache: bool,
}

/// What a cache keeps of one file: the releases whose URL has its own bytes, forever.
pub(crate) struct Kept {
    nodes: Nodes,
    releases: BTreeSet<Release>,
}

impl Kept {
    pub(crate) fn new(nodes: Nodes) -> Self {
        Self { nodes, releases: BTreeSet::new() }
    }

    pub(crate) fn next(&mut self, file: &File, step: Step) -> Expected {
        if let Some(release) = step.link.filter(|link| self.releases.contains(link)) {
            let content = file.content(release);
            return Expected { content, cache_control: YEAR, is_from_cache: true };
        }
        let content = self.nodes.content(file, step);
        let cache_control = match content {
            Content::Nothing | Content::Loop => "no-store",
            Content::Text(_) if self.nodes.is_exact(step) => YEAR,
            Content::Text(_) => "no-cache",
        };
        if cache_control == YEAR {
            self.releases.insert(self.nodes.release(step));
        }
        Expected { content, cache_control, is_from_cache: false }
    }
}
