//! Which upgrades are measured?

use tower_static_url::Fingerprinted;

/// A front end before and after an upgrade.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) name: &'static str,
    pub(crate) source: Source,
    pub(crate) versions: [&'static str; 2],
    /// The directories of the package that a site serves, laid into one. `{version}` stands for
    /// the version.
    pub(crate) directories: &'static [&'static str],
    /// How a site with this front end names its fingerprinted files.
    pub(crate) rule: Option<fn() -> Fingerprinted>,
}

/// Where the files come from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    /// A package of the npm registry.
    Npm(&'static str),
    /// A wheel of the Python Package Index.
    PyPi(&'static str),
    /// An application that is built here, once as it is and once with one changed line.
    App,
}

impl Pair {
    pub(crate) fn title(&self) -> String {
        let [old, new] = self.versions;
        format!("{} {old} → {new}", self.name)
    }
}

/// What each app of Wagtail brings, as `collectstatic` puts it together.
const WAGTAIL: [&str; 9] = [
    "wagtail/admin/static",
    "wagtail/contrib/search_promotions/static",
    "wagtail/contrib/styleguide/static",
    "wagtail/contrib/table_block/static",
    "wagtail/contrib/typed_table_block/static",
    "wagtail/documents/static",
    "wagtail/embeds/static",
    "wagtail/images/static",
    "wagtail/snippets/static",
];

pub(crate) const PAIRS: &[Pair] = &[
    Pair {
        name: "bootstrap",
        source: Source::Npm("bootstrap"),
        versions: ["5.3.8", "5.3.9"],
        directories: &["dist"],
        rule: None,
    },
    Pair {
        name: "swagger-ui-dist",
        source: Source::Npm("swagger-ui-dist"),
        versions: ["5.34.1", "5.35.0"],
        directories: &["."],
        rule: None,
    },
    Pair {
        name: "tinymce",
        source: Source::Npm("tinymce"),
        versions: ["8.9.1", "8.9.2"],
        directories: &["."],
        rule: None,
    },
    Pair {
        name: "three",
        source: Source::Npm("three"),
        versions: ["0.186.1", "0.187.0"],
        directories: &["."],
        rule: None,
    },
    Pair {
        name: "monaco-editor",
        source: Source::Npm("monaco-editor"),
        versions: ["0.56.0", "0.57.0"],
        directories: &["min"],
        rule: Some(|| Fingerprinted::vite().below("vs")),
    },
    Pair {
        name: "django-admin",
        source: Source::PyPi("django"),
        versions: ["5.2.18", "5.2.19"],
        directories: &["django/contrib/admin/static"],
        rule: None,
    },
    Pair {
        name: "wagtail",
        source: Source::PyPi("wagtail"),
        versions: ["8.0", "8.0.1"],
        directories: &WAGTAIL,
        rule: None,
    },
    Pair {
        name: "jupyterlab",
        source: Source::PyPi("jupyterlab"),
        versions: ["4.6.5", "4.6.6"],
        directories: &["jupyterlab-{version}.data/data/share/jupyter/lab/static"],
        rule: Some(Fingerprinted::webpack),
    },
    Pair {
        name: "admin-lte",
        source: Source::Npm("admin-lte"),
        versions: ["4.9.1", "4.10.0"],
        directories: &["dist"],
        rule: None,
    },
    Pair {
        name: "vite-app",
        source: Source::App,
        versions: ["before", "after"],
        directories: &["."],
        rule: Some(Fingerprinted::vite),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_different() {
        let mut names = PAIRS.iter().map(|pair| pair.name).collect::<Vec<_>>();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), PAIRS.len());
    }
}
