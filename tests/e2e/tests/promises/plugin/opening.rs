//! `kubectl greenlight dashboard` opens a browser, and ends with Ctrl-C. The browser is a script here, which says what it was told to open.

use std::fs::Permissions;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use greenlight_e2e::{cluster, http};

use super::admin;

const PATIENCE: Duration = Duration::from_secs(30);

/// A folder with nothing in it but an `xdg-open` that does this.
fn folder(name: &str, script: &str) -> PathBuf {
    let folder = cluster().dir().join(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("xdg-open");
    std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).expect("written");
    std::fs::set_permissions(&file, Permissions::from_mode(0o755)).expect("it can be run");
    folder
}

/// The dashboard, which finds programs in this folder alone; and the address that it prints.
fn dashboard(path: &Path, more: &[&str]) -> (Child, String) {
    let mut command = admin(&[&["dashboard"], more].concat());
    // As a shell has it with what is typed: Ctrl-C is for all that belongs to one command.
    command.env("PATH", path).process_group(0).stdout(Stdio::piped());
    let mut child = command.spawn().expect("it runs");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let line = lines.next().expect("a line").expect("text");
    let printed = line.strip_prefix("The dashboard is at ").unwrap_or_else(|| panic!("{line}"));
    (child, printed.to_owned())
}

fn until<T>(what: &str, mut is: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(so) = is() {
            return so;
        }
        assert!(started.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A line that the script has written into a file beside itself.
fn written(folder: &Path, file: &str) -> String {
    let whole = || std::fs::read_to_string(folder.join(file)).ok()?.strip_suffix('\n').map(str::to_owned);
    until(file, whole)
}

/// Sends a signal to a process, or to all of a group.
fn kill(signal: &str, whom: &str) {
    let sent = Command::new("bash").args(["-c", &format!("kill -{signal} -- {whom}")]).status().expect("it runs");
    assert!(sent.success(), "kill -{signal} {whom}");
}

/// Ends a dashboard as a person does; its exit code.
fn ctrl_c(child: &mut Child) -> Option<i32> {
    kill("INT", &format!("-{}", child.id()));
    let ended = until("the end", || child.try_wait().expect("it is ours"));
    ended.code()
}

#[test]
fn a_browser_is_opened_at_the_address_and_ctrl_c_ends_the_dashboard_and_not_the_browser() {
    let script = "echo \"$1\" > \"$0.told\"; echo $$ > \"$0.pid\"; exec /bin/sleep 120";
    let folder = folder("opens", script);
    let (mut child, printed) = dashboard(&folder, &[]);
    assert_eq!(written(&folder, "xdg-open.told"), printed);
    let browser = written(&folder, "xdg-open.pid");
    // What was opened is let in.
    let (address, path) = printed.strip_prefix("http://").and_then(|rest| rest.split_once('/')).expect("an address");
    let answer = http(address, "GET", &format!("/{path}"), &[], "");
    assert!(answer.status == 303 && answer.head.contains("set-cookie: greenlight-"), "{}", answer.head);
    // A page that is open does not hold it.
    let cookie = answer.head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
    let cookie = cookie.split(';').next().expect("a pair");
    let page = http(address, "GET", "/", &[("Cookie", cookie), ("x-part", "rows")], "").body;
    let live = page.split("data-live=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a stream");
    let request = format!("GET {} HTTP/1.1\r\nHost: {address}\r\nCookie: {cookie}\r\n\r\n", live.replace("&amp;", "&"));
    let mut open = TcpStream::connect(address).expect("it listens");
    open.write_all(request.as_bytes()).expect("sent");
    let mut begun = [0; 12];
    open.read_exact(&mut begun).expect("an answer");
    assert!(begun.ends_with(b"200"), "{}", String::from_utf8_lossy(&begun));
    assert_eq!(ctrl_c(&mut child), Some(0));
    assert!(TcpStream::connect(address).is_err(), "nobody serves any more");
    let comm = std::fs::read_to_string(format!("/proc/{browser}/comm")).unwrap_or_default();
    assert_eq!(comm.trim(), "sleep", "the browser goes on");
    kill("TERM", &browser);
}

#[test]
fn what_opens_the_browser_leaves_nothing_behind_and_is_not_needed() {
    let quick = folder("opens-quickly", "echo $$ > \"$0.pid\"");
    let (mut child, _) = dashboard(&quick, &[]);
    let opener = written(&quick, "xdg-open.pid");
    until("no zombie is left", || (!Path::new(&format!("/proc/{opener}")).exists()).then_some(()));
    assert_eq!(ctrl_c(&mut child), Some(0));

    // Without one, and where nobody wants one.
    let nothing = cluster().dir().join("opens-nothing");
    std::fs::create_dir_all(&nothing).expect("a folder");
    let unwanted = folder("opens-unasked", "echo $$ > \"$0.pid\"");
    for (path, more) in [(&nothing, &[] as &[&str]), (&unwanted, &["--no-open"])] {
        let (mut child, printed) = dashboard(path, more);
        let address = printed.split('/').nth(2).expect("an address");
        assert_eq!(http(address, "GET", "/", &[], "").status, 401, "it serves");
        assert_eq!(ctrl_c(&mut child), Some(0));
    }
    assert!(!unwanted.join("xdg-open.pid").exists(), "--no-open opens nothing");
}
