//! The example with htmx, before and after a deploy.

use std::{fs, path::Path, process::Command};

use serde_json::json;
use tempfile::{TempDir, tempdir};

use crate::{
    Browser, IS_MARKED, Recorder, Stage,
    spa::copy,
    support::{YEAR, demo::Demo},
};

#[test]
#[ignore = "needs chromium: tests/e2e/install.sh"]
fn a_page_goes_on_until_the_user_leaves_it() {
    let (old, new) = (files(), files());
    crate::edit(&new.path().join("css/app.css"), "40rem", "30rem");
    let demo = Demo::start_htmx(old.path());
    let Stage { browser, recorder, .. } = &Stage::before(&demo);
    browser.open(&recorder.origin());
    let version = shown_version(browser);
    browser.run("window.marker = true; done()");

    // Without a deploy htmx puts the next page into this one.
    follow(browser, "/about", "About");
    follow(browser, "/", "Cities");
    assert_eq!(browser.run(IS_MARKED), true);

    let next = Demo::start_htmx(new.path());
    recorder.forward_to(&next);
    recorder.take_all();
    type_and_wait(browser, "ber", &["Bergen", "Berlin", "Bern"]);
    assert_eq!(browser.run(IS_MARKED), true, "not while somebody types");
    type_and_wait(browser, "bo", &["Bologna", "Bordeaux", "Boston"]);
    assert_eq!(browser.run(IS_MARKED), true, "and not the next time");
    assert_eq!(browser.run(TYPED), json!("bo"));
    assert_eq!(asked(recorder), ["/cities?start=ber", "/cities?start=bo"]);

    // The answer to htmx tells, and the browser asks once more.
    follow(browser, "/about", "About");
    assert_eq!(browser.run(IS_MARKED), false, "a new page with new files");
    let deployed = shown_version(browser);
    assert_ne!(deployed, version);
    let file = |path: &str| format!("/static/{deployed}/{path}");
    let mut expected = ["css/app.css", "js/deploys.js", "js/htmx.min.js"].map(file).to_vec();
    expected.extend(["/about".into(), "/about".into()]);
    assert_eq!(asked(recorder), expected);

    browser.run("window.marker = true; done()");
    follow(browser, "/", "Cities");
    assert_eq!(browser.run(IS_MARKED), true, "no other reload");
    assert_eq!(asked(recorder), ["/"]);
}

/// During a rolling deploy, a page of the new release may be followed by one of an old node.
#[test]
#[ignore = "needs chromium: tests/e2e/install.sh"]
fn an_old_node_does_not_make_a_page_reload_for_ever() {
    let (old, new) = (files(), files());
    crate::edit(&new.path().join("css/app.css"), "40rem", "30rem");
    let [old, new] = [&old, &new].map(|files| Demo::start_htmx(files.path()));
    let Stage { browser, recorder, .. } = &Stage::before(&new);
    browser.open(&recorder.origin());
    for (demo, path, title) in
        [(&old, "/about", "About"), (&new, "/", "Cities"), (&old, "/about", "About")]
    {
        recorder.forward_to(demo);
        browser.run("window.marker = true; done()");
        recorder.take_all();
        follow(browser, path, title);
        assert_eq!(browser.run(IS_MARKED), false);
        let pages = asked(recorder).into_iter().filter(|path| !path.starts_with("/static"));
        assert_eq!(pages.collect::<Vec<_>>(), [path, path]);
    }
}

#[test]
#[ignore = "needs npm: tests/e2e/install.sh"]
fn the_committed_htmx_is_that_of_npm() {
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join("htmx");
    let _ = fs::remove_dir_all(&work);
    copy(&example(), &work);
    let status = Command::new("sh").arg(work.join("build.sh")).arg(work.join("same")).status();
    assert!(status.unwrap().success());
    let read = |directory: &Path| fs::read(directory.join("htmx.min.js")).unwrap();
    let is_same = read(&work.join("same")) == read(&example().join("files/js"));
    assert!(is_same, "sh examples/htmx/build.sh");
}

fn example() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/htmx")
}

fn files() -> TempDir {
    let files = tempdir().unwrap();
    copy(&example().join("files"), files.path());
    files
}

fn shown_version(browser: &Browser) -> String {
    let version = browser.run("done(document.documentElement.dataset.version)");
    version.as_str().unwrap().to_owned()
}

/// Clicks on a link, and waits for the title of its page.
fn follow(browser: &Browser, path: &str, title: &str) {
    browser.run(&format!("document.querySelector('nav a[href={path:?}]').click(); done()"));
    browser.run_across_a_reload(&waits_for(&format!(
        "document.readyState === 'complete'
            && document.querySelector('h1')?.textContent === {}",
        json!(title)
    )));
}

/// As somebody who types, and reads what is found.
fn type_and_wait(browser: &Browser, text: &str, found: &[&str]) {
    browser.run(&format!(
        "const field = document.querySelector('input');
        field.focus();
        field.value = {};
        field.dispatchEvent(new Event('input', {{ bubbles: true }}));
        {}",
        json!(text),
        waits_for(&format!(
            "[...document.querySelectorAll('#found li')].map((city) => city.textContent).join()
                === {}",
            json!(found.join(","))
        ))
    ));
}

const TYPED: &str = "done(document.activeElement.value)";

fn waits_for(condition: &str) -> String {
    format!(
        "const look = () => {condition} ? done() : requestAnimationFrame(look);
        look();"
    )
}

fn asked(recorder: &Recorder) -> Vec<String> {
    let mut asked = Vec::new();
    for request in recorder.take_all() {
        if request.path.starts_with("/static") {
            assert_eq!(request.cache_control, YEAR, "{request:?}");
        }
        asked.push(request.path);
    }
    asked.sort_by_key(|path| !path.starts_with("/static"));
    let files = asked.iter().take_while(|path| path.starts_with("/static")).count();
    asked[..files].sort();
    asked
}
