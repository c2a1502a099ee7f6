//! The commands on the page "Rolling deploys" of the documentation, as somebody types them. Only
//! ports and directories are others.

mod cdn;
pub(crate) mod shell;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::runtime::Runtime;

use self::shell::Shell;
use crate::{
    command::static_url,
    support::{
        YEAR, etag_of,
        proxy::unused_address,
        store::{OWNER, Store},
        tree,
        wire::{Answer, Connection},
    },
};

const PAGE: &str = include_str!("../../src/docs/rolling_deploys.md");

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
#[ignore = "runs the demo"]
fn one_machine() {
    let mut desk = Desk::new();
    let [first, deploy, rollback, cleaning] = commands("One machine");
    let (old, new) = (version(&desk.dist), version(&desk.next));

    desk.run(&first);
    desk.assert_current(desk.app, &old);
    desk.run(&deploy);
    desk.assert_current(desk.app, &new);
    desk.assert_serves_both(desk.app);
    desk.run(&rollback);
    desk.assert_current(desk.app, &old);
    desk.assert_serves_both(desk.app);
    // A release that was never published.
    let url = "/static/0123456789abcdef/old.js";
    assert_eq!(get(desk.app, url).cache_control(), "no-cache");

    let said = desk.run(&cleaning);
    let lines = said.lines().collect::<Vec<_>>();
    assert!(lines[0].starts_with(&old) && lines[0].ends_with("current"), "{said}");
    assert!(lines[1].starts_with(&new) && lines[1].contains("superseded"), "{said}");
    assert_eq!(lines[2..], ["nothing to delete", "all files are as they were published"]);
}

#[test]
#[ignore = "runs the demo"]
fn a_publication_that_fails_stops_the_deploy() {
    let mut desk = Desk::new();
    let [first, deploy, ..] = commands::<4>("One machine");
    desk.run(&first);
    fs::remove_dir_all(&desk.next).unwrap();
    let said = desk.shell.run_to_its_end(&desk.replaced(&deploy));
    assert!(said.starts_with("error: "), "{said}");
    desk.assert_current(desk.app, &version(&desk.dist));
}

/// The old process finds what was published after it has started.
#[test]
#[ignore = "runs the demo"]
fn every_process_answers_from_the_moment_of_the_publication() {
    let mut desk = Desk::new();
    let [first, deploy, ..] = commands::<4>("One machine");
    desk.run(&first);
    let publication = deploy.lines().find(|line| line.starts_with("static-url publish")).unwrap();
    desk.run(publication);
    desk.assert_current(desk.app, &version(&desk.dist));
    desk.assert_serves_both(desk.app);
}

#[test]
#[ignore = "needs SeaweedFS: tests/e2e/install.sh"]
fn many_machines_and_a_bucket() {
    let runtime = Runtime::new().unwrap();
    let store = runtime.block_on(Store::seaweedfs());
    let mut desk = Desk { store: Some(store.address()), ..Desk::new() };
    let [settings, first, deploy, rest, cleaning] = commands("Many machines and a bucket");
    let (old, new) = (version(&desk.dist), version(&desk.next));
    let [one, two] = desk.nodes;

    desk.run(&settings);
    desk.run(&first);
    desk.assert_current(one, &old);
    desk.assert_current(two, &old);
    desk.run(&deploy);
    desk.assert_current(one, &new);
    desk.assert_current(two, &old);
    for node in [one, two] {
        desk.assert_serves_both(node);
    }
    desk.run(&rest);
    desk.assert_current(two, &new);
    for node in [one, two] {
        desk.assert_serves_both(node);
    }

    let said = desk.run(&cleaning);
    let lines = said.lines().collect::<Vec<_>>();
    assert!(lines[0].starts_with(&new) && lines[1].starts_with(&old), "{said}");
    assert_eq!(lines[2..], ["nothing to delete", "all files are as they were published"]);
}

#[test]
#[ignore = "needs nginx: tests/e2e/install.sh"]
fn nginx_in_front() {
    let mut desk = Desk::new();
    let [first, deploy, rollback, _] = commands("One machine");
    let [print, reload] = commands("nginx in front");
    let [server] = blocks("nginx in front", "nginx");
    desk.run(&first);
    let _nginx = desk.start_nginx();
    desk.run(&print);
    fs::write(desk.nginx().join("conf.d/site.conf"), desk.replaced(&server)).unwrap();
    desk.run(&reload);

    let front = desk.front;
    // nginx reloads in the background: the command returns before the address is bound.
    wait_for(front);
    for commands in ["", &deploy, &rollback] {
        if !commands.is_empty() {
            desk.run(commands);
            desk.assert_serves_both(front);
        }
        let own = format!("/static/{}/same.css", desk.current(front));
        let (by_nginx, by_the_app) = (get(front, &own), get(desk.app, &own));
        assert_eq!(by_nginx.body, by_the_app.body);
        assert_eq!((&*by_nginx.field("etag"), &*by_nginx.cache_control()), ("", YEAR));
        assert_eq!(by_the_app.field("etag"), etag_of(&by_the_app.body));
        let unversioned = get(front, "/static/same.css");
        assert_eq!(unversioned.field("etag"), by_the_app.field("etag"), "the application's");
    }
}

#[test]
#[ignore = "needs nginx: tests/e2e/install.sh"]
fn nginx_alone() {
    let mut desk = Desk::new();
    let [first, reload, deploy, directory] = commands("nginx alone");
    let [server] = blocks("nginx alone", "nginx");
    let (old, front) = (version(&desk.dist), desk.front);
    let _nginx = desk.start_nginx();
    desk.run(&first);
    fs::write(desk.nginx().join("conf.d/site.conf"), desk.replaced(&server)).unwrap();
    desk.run(&reload);
    wait_for(front);
    let new = version(&desk.next);
    let until = |path: &str, status: u16, policy: &str, body: &str| {
        let url = format!("/static/{path}");
        wait_until(|| {
            let answer = get(front, &url);
            let is_body = status != 200 || answer.text() == body;
            answer.status == status && answer.cache_control() == policy && is_body
        });
    };
    until("changed.js", 200, "no-cache", "one");
    until(&format!("{old}/changed.js"), 200, YEAR, "one");
    desk.run(&deploy);
    desk.assert_serves_both(front);
    until("changed.js", 200, "no-cache", "two");
    until("old.js", 404, "no-store", "");

    // And without releases.
    desk.run(&directory);
    desk.run(&reload);
    until(&format!("{old}/old.js"), 404, "no-store", "");
    until(&format!("{old}/changed.js"), 200, "no-cache", "two");
    until(&format!("{new}/changed.js"), 200, YEAR, "two");
}

#[test]
#[ignore = "needs Varnish: tests/e2e/install.sh"]
fn a_cdn_in_front() {
    let mut desk = Desk::new();
    let [first, deploy, rollback, _] = commands("One machine");
    let [cache] = commands("A CDN in front");
    // The shell knows its last child only, and the deploy stops that.
    let mut cdn = Shell::start(&desk.path(), &desk.folder("cdn"));
    desk.run(&first);
    cdn.run(&desk.replaced(&cache));
    let front = desk.front;
    desk.assert_current(front, &version(&desk.dist));
    for commands in [&deploy, &rollback, &deploy] {
        desk.run(commands);
        desk.assert_serves_both(front);
        let kept = get(front, &format!("/static/{}/old.js", version(&desk.dist)));
        let is_from_cache = kept.field("x-varnish").contains(' ');
        assert!(is_from_cache, "{kept:?}");
    }
    let missing = format!("/static/{}/missing.js", version(&desk.next));
    for _ in 0..2 {
        let missing = get(front, &missing);
        assert_eq!((missing.status, &*missing.cache_control()), (404, "no-store"));
        assert!(!missing.field("x-varnish").contains(' '), "{missing:?}");
    }
    desk.shell.run("kill $! && wait");
    cdn.run("kill $! && wait");
}

/// A place to type the commands, with two builds.
struct Desk {
    shell: Shell,
    folder: TempDir,
    dist: PathBuf,
    next: PathBuf,
    app: SocketAddr,
    front: SocketAddr,
    nodes: [SocketAddr; 2],
    store: Option<SocketAddr>,
    _builds: [TempDir; 2],
}

impl Desk {
    fn new() -> Self {
        let old = tree([("old.js", "old"), ("changed.js", "one"), ("same.css", "p { }")]);
        let new = tree([("new.js", "new"), ("changed.js", "two"), ("same.css", "p { }")]);
        // The workers of nginx are another user.
        [&old, &new].into_iter().for_each(|build| open_to_all(build.path()));
        let folder = public_folder();
        let path = shell::path(folder.path());
        Self {
            shell: Shell::start(&path, folder.path()),
            folder,
            dist: old.path().into(),
            next: new.path().into(),
            app: unused_address(),
            front: unused_address(),
            nodes: [(); 2].map(|()| unused_address()),
            store: None,
            _builds: [old, new],
        }
    }

    fn path(&self) -> std::ffi::OsString {
        shell::path(self.folder.path())
    }

    fn folder(&self, name: &str) -> PathBuf {
        let folder = self.folder.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn nginx(&self) -> PathBuf {
        self.folder.path().join("nginx")
    }

    /// Runs commands of the page, and returns what they print. Then waits for the servers that
    /// they have started.
    fn run(&mut self, commands: &str) -> String {
        let commands = self.replaced(commands);
        let said = self.shell.run(&commands);
        for address in [self.app, self.front].into_iter().chain(self.nodes) {
            if commands.contains(&format!("{address} ")) && commands.contains(" &\n") {
                wait_for(address);
            }
        }
        said
    }

    /// Puts the ports and directories of this test in place of those on the page.
    fn replaced(&self, commands: &str) -> String {
        let folder = |name: &str| self.folder.path().join(name).display().to_string();
        [
            ("127.0.0.1:3000", self.app.to_string()),
            ("127.0.0.1:8080", self.front.to_string()),
            ("127.0.0.1:3001", self.nodes[0].to_string()),
            ("127.0.0.1:3002", self.nodes[1].to_string()),
            ("127.0.0.1:9000", self.store.map(|store| store.to_string()).unwrap_or_default()),
            ("=publisher-secret", format!("={}", OWNER.secret)),
            ("=publisher", format!("={}", OWNER.id)),
            ("/var/lib/site", folder("site")),
            ("/var/cache/site", folder("cache")),
            ("/etc/nginx", folder("nginx")),
            ("/srv/site/42", self.next.display().to_string()),
            (" dist ", format!(" {} ", self.dist.display())),
            (" next ", format!(" {} ", self.next.display())),
        ]
        .iter()
        .fold(commands.to_owned(), |commands, (from, to)| commands.replace(from, to))
    }

    /// As the package has it, but for the directories.
    fn start_nginx(&self) -> Nginx {
        let folder = self.folder("nginx");
        for name in ["snippets", "conf.d"] {
            self.folder(&format!("nginx/{name}"));
        }
        let name = folder.display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|it| format!("{it}_temp_path {name}/{it};"))
            .join("\n");
        let config = format!(
            "worker_processes 1; pid {name}/pid; error_log {name}/log;
            events {{}}
            http {{
                access_log off; {temporary} include mime.types;
                include conf.d/*.conf;
            }}\n"
        );
        fs::write(folder.join("nginx.conf"), config).unwrap();
        fs::copy("/etc/nginx/mime.types", folder.join("mime.types")).unwrap();
        let program = self.folder.path().join("bin/nginx");
        shell::write_program(
            &program,
            &format!(
                "PATH=/usr/sbin:/sbin:/usr/bin exec nginx -p {name} -c {name}/nginx.conf \"$@\""
            ),
        );
        let nginx = Nginx { program };
        assert!(Command::new(&nginx.program).status().unwrap().success());
        nginx
    }

    fn current(&self, address: SocketAddr) -> String {
        let page = get(address, "/").text();
        let (_, rest) = page.split_once("id=\"prefix\">/static/").expect(&page);
        rest.split_once('/').expect(&page).0.to_owned()
    }

    fn assert_current(&self, address: SocketAddr, version: &str) {
        wait_for(address);
        assert_eq!(self.current(address), version);
    }

    /// Whether each URL of both releases has its own bytes, for a year.
    fn assert_serves_both(&self, address: SocketAddr) {
        for (root, absent) in [(&self.dist, "new.js"), (&self.next, "old.js")] {
            let version = version(root);
            for entry in fs::read_dir(root).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                let answer = get(address, &format!("/static/{version}/{name}"));
                assert_eq!((answer.status, &*answer.cache_control()), (200, YEAR), "{name}");
                assert_eq!(answer.body, fs::read(root.join(&name)).unwrap(), "{name}");
            }
            let answer = get(address, &format!("/static/{version}/{absent}"));
            assert_eq!((answer.status, &*answer.cache_control()), (404, "no-store"), "{absent}");
        }
    }
}

/// Ends with its handle.
struct Nginx {
    program: PathBuf,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = Command::new(&self.program).args(["-s", "stop"]).status();
    }
}

/// A directory that the workers of nginx, another user, can read.
fn public_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    open_to_all(folder.path());
    folder
}

fn open_to_all(directory: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
}

fn version(root: &Path) -> String {
    static_url(&["version", root.to_str().unwrap()])
}

fn get(address: SocketAddr, url: &str) -> Answer {
    Connection::to(address).exchange("GET", url, &[])
}

fn wait_for(address: SocketAddr) {
    let end = Instant::now() + PATIENCE;
    while std::net::TcpStream::connect(address).is_err() {
        assert!(Instant::now() < end, "nothing listens at {address}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// nginx reloads in the background, and for a moment its old workers answer as well.
fn wait_until(is_so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "nginx has not reloaded");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Returns the blocks of commands below a heading.
fn commands<const N: usize>(heading: &str) -> [String; N] {
    blocks(heading, "sh")
}

fn blocks<const N: usize>(heading: &str, language: &str) -> [String; N] {
    blocks_of(PAGE, heading, language)
}

/// Returns the blocks of code below a heading of a page.
fn blocks_of<const N: usize>(page: &str, heading: &str, language: &str) -> [String; N] {
    let (_, section) = page.split_once(&format!("# {heading}\n")).expect(heading);
    let section = section.split("\n# ").next().unwrap_or_default();
    let fenced = section.split("\n```").skip(1).step_by(2);
    let blocks = fenced.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n'));
    let blocks = blocks.map(|block| format!("{block}\n")).collect::<Vec<_>>();
    blocks.try_into().unwrap_or_else(|blocks| panic!("{heading}: {blocks:?}"))
}

/// So that no command is forgotten.
#[test]
fn every_command_of_the_page_is_run_by_a_test() {
    let fenced = PAGE.split("\n```").skip(1).step_by(2);
    let count = fenced.filter(|block| block.starts_with("sh\n")).count();
    let one = commands::<4>("One machine").len();
    let many = commands::<5>("Many machines and a bucket").len();
    let nginx = commands::<2>("nginx in front").len();
    let alone = commands::<4>("nginx alone").len();
    let cdn = commands::<1>("A CDN in front").len();
    assert_eq!(count, one + many + nginx + alone + cdn);
}
