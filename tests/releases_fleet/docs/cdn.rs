//! The commands on the page "CDNs" of the documentation: releases are uploaded to a bucket, in the
//! layout of the URLs.

use std::{env, fs};

use tokio::runtime::Runtime;

use super::{Desk, blocks_of, get, shell, version};
use crate::{
    command::static_url,
    support::{
        YEAR,
        store::{BUCKET, OWNER, Store},
        wire::Answer,
        write,
    },
};

const PAGE: &str = include_str!("../../../src/docs/cdn.md");

#[test]
#[ignore = "needs the command aws and s3rver: tests/e2e/install.sh"]
fn an_upload() {
    let runtime = Runtime::new().unwrap();
    let store = runtime.block_on(Store::s3rver());
    let mut desk = Desk { store: Some(store.address()), ..Desk::new() };
    desk.lead_aws_to_the_store();
    let [upload, cleaning] = commands();
    for name in ["css/app.css", "dep.mjs", "add.wasm", "text.woff2", "site.webmanifest", "a b.txt"]
    {
        write(&desk.dist, name, name);
    }
    write(&desk.dist, "css/app.css.br", "a sibling");
    write(&desk.dist, ".env", "secret");
    let (old, new) = (version(&desk.dist), version(&desk.next));

    desk.run(&upload);
    for (name, content_type) in [
        ("css/app.css", "text/css"),
        ("old.js", "text/javascript"),
        ("dep.mjs", "text/javascript"),
        ("add.wasm", "application/wasm"),
        ("text.woff2", "font/woff2"),
        ("site.webmanifest", "application/manifest+json"),
        ("a%20b.txt", "text/plain"),
    ] {
        let answer = desk.uploaded(&format!("{old}/{name}"));
        assert_eq!((answer.status, &*answer.cache_control()), (200, YEAR), "{name}");
        assert_eq!(answer.field("content-type"), content_type, "{name}");
        let content = fs::read(desk.dist.join(name.replace("%20", " "))).unwrap();
        assert_eq!(answer.body, content, "{name}");
    }
    for name in [".env", "css/app.css.br"] {
        assert_eq!(desk.uploaded(&format!("{old}/{name}")).status, 404, "{name}");
    }

    desk.run(&upload.replace(" dist ", " next "));
    let both = [format!("{old}/old.js"), format!("{new}/new.js")];
    desk.assert_uploaded(&both, [200, 200]);
    // Both are kept: there is nothing to clean up.
    desk.run(&cleaning);
    desk.assert_uploaded(&both, [200, 200]);
    let releases = desk.folder("site").join("releases");
    static_url(&["withdraw", &old, releases.to_str().unwrap()]);
    desk.run(&cleaning);
    desk.assert_uploaded(&both, [404, 200]);
}

impl Desk {
    fn uploaded(&self, path: &str) -> Answer {
        get(self.store.unwrap(), &format!("/{BUCKET}/static/{path}"))
    }

    fn assert_uploaded<const N: usize>(&self, paths: &[String; N], statuses: [u16; N]) {
        let found = paths.each_ref().map(|path| self.uploaded(path).status);
        assert_eq!(found, statuses, "{paths:?}");
    }

    /// Not by a variable: older ones have none.
    fn lead_aws_to_the_store(&mut self) {
        let (own, store) = (env::var("PATH").unwrap(), self.store.unwrap());
        let script = format!("PATH='{own}' exec aws --endpoint-url http://{store} \"$@\"");
        shell::write_program(&self.folder.path().join("bin/aws"), &script);
        self.run(&format!(
            "export AWS_ACCESS_KEY_ID={} AWS_SECRET_ACCESS_KEY={} AWS_REGION=us-east-1
            export AWS_CONFIG_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true",
            OWNER.id, OWNER.secret
        ));
    }
}

fn commands() -> [String; 2] {
    blocks_of(PAGE, "Upload", "sh")
}

#[test]
fn every_command_of_the_page_is_run_by_a_test() {
    let fenced = PAGE.split("\n```").skip(1).step_by(2);
    let count = fenced.filter(|block| block.starts_with("sh\n")).count();
    assert_eq!(count, commands().len());
}
