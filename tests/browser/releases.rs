//! Tabs that stay open over three deploys and a rollback, and what they load then.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::json;
use tempfile::{TempDir, tempdir};

use crate::{
    IS_MARKED, Recorder, Stage, files_below,
    spa::{Builds, Files, click, copy, shows},
    support::{YEAR, demo::Demo, tree, wire::Connection},
};

const LOAD: &str = "load().then(done, (error) => done(String(error)))";

#[test]
#[ignore = "needs chromium: tests/e2e/install.sh"]
fn modules_are_loaded_under_the_version_of_their_page() {
    let editions = [edition(1), edition(2), edition(3), edition(4)];
    let [first, second, third, fourth] = editions.each_ref().map(TempDir::path);
    let mut site = Site::publish(first, &[]);
    let Stage { browser, recorder, .. } = &Stage::before(&site.node);
    let version = site.version(recorder);
    browser.open(&format!("{}/static/{version}/index.html", recorder.origin()));
    browser.run("window.marker = true; done()");

    for root in [second, third, fourth, third] {
        site.deploy(root, recorder);
    }
    recorder.take();
    assert_eq!(browser.run(LOAD), json!(["panel 1", "rgb(1, 2, 3)"]));
    assert_eq!(browser.run(IS_MARKED), true, "no reload");
    for name in ["panel.js", "part.js", "panel.css"] {
        assert_loaded(recorder, &format!("/static/{version}/{name}"));
    }

    // The page of the release that the last deploy has left.
    let current = site.version(recorder);
    browser.open(&format!("{}/static/{current}/index.html", recorder.origin()));
    assert_eq!(browser.run(LOAD), json!(["panel 3", "rgb(3, 2, 3)"]));
}

/// Chunks have no version in their URL, and no other build has chunks of their names.
#[test]
#[ignore = "needs chromium and npm: tests/e2e/install.sh"]
fn chunks_of_vite_are_loaded_at_their_unversioned_url() {
    let editions = vite_editions();
    let [first, second, third, fourth] = editions.each_ref().map(PathBuf::as_path);
    let mut site = Site::publish(first, &["--fingerprinted", "vite"]);
    let Stage { browser, recorder, .. } = &Stage::before(&site.node);
    browser.open(&format!("{}/static/index.html", recorder.origin()));
    browser.run("window.marker = true; done()");

    for root in [second, third, fourth, third] {
        site.deploy(root, recorder);
    }
    recorder.take();
    for (page, chunk) in [("/about", "about.js"), ("/settings/profile", "profile.js")] {
        click(browser, page);
        browser.run(&shows(&format!("{page} 1")));
        let url = Files::of(first).url(chunk);
        for other in [second, third, fourth] {
            assert!(!other.join(url.trim_start_matches("/static/")).exists(), "{url}");
        }
        assert_loaded(recorder, &url);
    }
    assert_eq!(browser.run(IS_MARKED), true, "no reload");

    browser.open(&format!("{}/static/index.html", recorder.origin()));
    click(browser, "/about");
    browser.run(&shows("/about 3"));
}

/// A site with modules that fit only those of their own edition.
fn edition(number: u8) -> TempDir {
    let page = "<!doctype html><title>Modules</title><script type=module src=app.js></script>";
    let app = format!(
        "import {{ name_{number} }} from './name.js';
        window.load = async () => {{
            const {{ panel_{number} }} = await import('./panel.js');
            return [name_{number}(await panel_{number}()), await style()];
        }};
        const style = () => new Promise((resolve) => {{
            const link = document.createElement('link');
            link.rel = 'stylesheet';
            link.href = new URL('panel.css', import.meta.url);
            link.onload = () => resolve(getComputedStyle(document.body).color);
            document.head.append(link);
        }});"
    );
    let name = format!("export const name_{number} = (number) => `panel ${{number}}`;");
    // What the panel is made of has another name in each edition but the first and third.
    let part = if number % 2 == 1 { "part" } else { "piece" };
    let panel = format!(
        "import {{ part_{number} }} from './{part}.js';
        export const panel_{number} = async () => part_{number};"
    );
    tree([
        ("index.html", page),
        ("app.js", &app),
        ("name.js", &name),
        ("panel.js", &panel),
        (&format!("{part}.js"), &format!("export const part_{number} = {number};")),
        ("panel.css", &format!("body {{ color: rgb({number}, 2, 3) }}")),
    ])
}

/// The example built four times, each with other pages.
fn vite_editions() -> [PathBuf; 4] {
    let installed = &Builds::get().web;
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join("spa-releases");
    let _ = fs::remove_dir_all(&work);
    let web = work.join("web");
    copy(installed, &web);
    symlink(installed.join("node_modules"), web.join("node_modules")).unwrap();
    [1, 2, 3, 4].map(|number| {
        for (file, page) in [("about.js", "/about"), ("profile.js", "/settings/profile")] {
            let text = format!("export const content = () => \"{page} {number}\";\n");
            fs::write(web.join("src/pages").join(file), text).unwrap();
        }
        let dist = work.join(number.to_string());
        let mut vite = Command::new(web.join("node_modules/.bin/vite"));
        vite.args(["build", "--logLevel", "error", "--outDir"]).arg(&dist).current_dir(&web);
        assert!(vite.status().unwrap().success(), "{vite:?}");
        assert!(files_below(&dist).len() > 4, "{dist:?}");
        dist
    })
}

/// A node that publishes what it serves when it starts.
pub(crate) struct Site {
    pub(crate) node: Demo,
    options: &'static [&'static str],
    releases: TempDir,
}

impl Site {
    pub(crate) fn publish(root: &Path, options: &'static [&'static str]) -> Self {
        let releases = tempdir().unwrap();
        let node = Self::start(root, options, releases.path());
        Self { node, options, releases }
    }

    pub(crate) fn deploy(&mut self, root: &Path, recorder: &Recorder) {
        self.node = Self::start(root, self.options, self.releases.path());
        recorder.forward_to(&self.node);
    }

    fn start(root: &Path, options: &[&str], releases: &Path) -> Demo {
        let mut command = Demo::command("--no-watch", root);
        command.args(options).arg("--publish").arg("--releases").arg(releases);
        Demo::run(command)
    }

    pub(crate) fn version(&self, recorder: &Recorder) -> String {
        let page = Connection::to(recorder.address).exchange("GET", "/", &[]).text();
        let (_, rest) = page.split_once("id=\"prefix\">/static/").expect(&page);
        rest.split_once('/').expect(&page).0.to_owned()
    }
}

/// Whether this was loaded once, for a year.
fn assert_loaded(recorder: &Recorder, url: &str) {
    let recorded = recorder.recorded.lock().unwrap();
    let of_url = recorded.iter().filter(|it| it.path == url).collect::<Vec<_>>();
    let [one] = of_url[..] else { panic!("{url}: {recorded:?}") };
    assert_eq!((one.status, &*one.cache_control), (200, YEAR), "{url}");
}
