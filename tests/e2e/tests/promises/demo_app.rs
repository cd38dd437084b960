//! The example's application behaves as one in a cluster should.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use greenlight_e2e::{binary, cluster};
use greenlight_test_cluster::{Process, free_ports};

fn ask(address: &str, method: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n").expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("read");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    (head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status"), body.to_owned())
}

#[test]
fn it_shows_its_version_can_fail_its_readiness_and_ends_without_losing_a_request() {
    let [port] = free_ports().expect("a port");
    let address = format!("127.0.0.1:{port}");
    let args = ["demo-app", "--version=v7", "--colour=#1565c0", "--drain-seconds=2", "--listen", &address];
    let args = args.map(str::to_owned);
    let mut app = Process::start(cluster().dir(), "demo-app", &binary("greenlight"), &args, &[]).expect("it starts");
    let began = Instant::now();
    while TcpStream::connect(&address).is_err() {
        assert!(began.elapsed() < Duration::from_secs(60), "it does not listen: {}", app.log_tail());
        std::thread::sleep(Duration::from_millis(20));
    }
    let (code, page) = ask(&address, "GET", "/");
    assert!(code == 200 && page.contains("v7") && page.contains("#1565c0"), "{page}");
    let (_, version) = ask(&address, "GET", "/version");
    assert!(version.contains(r#""version":"v7""#), "{version}");
    assert!(ask(&address, "GET", "/metrics").1.contains(r#"demo_app_requests_total{version="v7"} 1"#));
    assert_eq!(ask(&address, "POST", "/fail").0, 204);
    assert_eq!(ask(&address, "GET", "/readyz").0, 503);
    assert_eq!(ask(&address, "GET", "/healthz").0, 200, "it is well, it only does not want requests");
    assert_eq!(ask(&address, "POST", "/recover").0, 204);
    assert_eq!(ask(&address, "GET", "/readyz").0, 200);

    let download = {
        let address = address.clone();
        std::thread::spawn(move || ask(&address, "GET", "/download?seconds=4").1.len())
    };
    std::thread::sleep(Duration::from_millis(500));
    let pid = app.pid().expect("it runs").to_string();
    let began = Instant::now();
    std::process::Command::new("kill").args(["-TERM", &pid]).status().expect("kill");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(ask(&address, "GET", "/readyz").0, 503, "no new requests, please");
    assert_eq!(ask(&address, "GET", "/version").0, 200, "but whoever has not heard of it is served");
    assert_eq!(download.join().expect("it arrives"), 4 * 4 * 1024, "what had begun is finished");
    while app.exit_code().is_none() && began.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(app.exit_code(), Some(0), "{}", app.log_tail());
}

#[test]
fn a_colour_that_is_none_is_refused() {
    let output = std::process::Command::new(binary("greenlight"))
        .args(["demo-app", "--colour=<script>"])
        .output()
        .expect("it runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("write a CSS colour"), "{error}");
}
