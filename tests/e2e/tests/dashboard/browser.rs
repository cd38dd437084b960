//! A real browser: Debian's Chromium, spoken to by its driver in the words of the W3C's WebDriver.

use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine;
use greenlight_e2e::{cluster, http};
use greenlight_test_cluster::{Process, free_ports};
use serde_json::{Value, json};

/// How long a page may take for anything.
const PATIENCE: Duration = Duration::from_secs(30);
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// It reaches nothing but loopback; `evil.test` is a name that somebody points there.
const RESOLVE: &str =
    "--host-resolver-rules=MAP evil.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost";

/// A browser with one window.
pub struct Browser {
    driver: String,
    session: String,
    _process: Process,
}

impl Browser {
    /// Starts one.
    pub fn start(name: &str) -> Browser {
        let [port] = free_ports().expect("a port");
        let args = vec![format!("--port={port}")];
        let process = Process::start(cluster().dir(), name, Path::new("/usr/bin/chromedriver"), &args, &[]);
        let process = process.expect("chromedriver starts");
        let driver = format!("127.0.0.1:{port}");
        let started = Instant::now();
        while TcpStream::connect(&driver).is_err() {
            assert!(started.elapsed() < PATIENCE, "chromedriver does not listen: {}", process.log_tail());
            std::thread::sleep(Duration::from_millis(50));
        }
        let switches = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
            "--hide-scrollbars",
            "--force-device-scale-factor=1",
            "--window-size=1280,900",
            RESOLVE,
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": switches, "binary": "/usr/bin/chromium"},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let answer = http(&driver, "POST", "/session", &[], &wanted.to_string()).body;
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        let session = answer["value"]["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {answer}"));
        Browser { driver, session: session.to_owned(), _process: process }
    }

    /// Goes to an address.
    pub fn open(&self, url: &str) {
        self.must("POST", "url", &json!({"url": url}));
    }

    /// Goes to an address of a dashboard for everybody, and signs in there with a token.
    pub fn sign_in(&self, url: &str, token: &str) {
        self.open(url);
        self.give_token(token);
    }

    /// Writes a token into the form in which one signs in, and sends it.
    pub fn give_token(&self, token: &str) {
        self.write("#token", token);
        self.click(".go");
    }

    /// Where it is.
    pub fn url(&self) -> String {
        self.must("GET", "url", &Value::Null).as_str().unwrap_or_default().to_owned()
    }

    /// Runs a script in the page; what it returns.
    pub fn run(&self, script: &str) -> Value {
        self.must("POST", "execute/sync", &json!({"script": script, "args": []}))
    }

    /// Runs a script that calls its last argument when it is done.
    pub fn run_async(&self, script: &str) -> Value {
        self.must("POST", "execute/async", &json!({"script": script, "args": []}))
    }

    /// What is to be read in the page.
    pub fn text(&self) -> String {
        self.run("return document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    /// Waits until a text can be read in the page.
    pub fn reads(&self, text: &str) {
        self.until(&format!("{text:?} to be read"), || self.text().contains(text));
    }

    /// Waits until something is so.
    pub fn until(&self, what: &str, is: impl Fn() -> bool) {
        let started = Instant::now();
        while !is() {
            assert!(started.elapsed() < PATIENCE, "{what}: not at {}:\n{}", self.url(), self.text());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Clicks what a selector finds, as a person would: it has to be there, to be seen and not to be covered. What changes under the
    /// pointer is looked for again.
    pub fn click(&self, selector: &str) {
        let mut last = Value::Null;
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            let clicked =
                self.find(selector).and_then(|id| self.ask("POST", &format!("element/{id}/click"), &json!({})));
            match clicked {
                Ok(_) => return,
                Err(error) => last = error,
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{selector} cannot be clicked at {}: {last}\n{}", self.url(), self.text());
    }

    /// Types into what a selector finds.
    pub fn write(&self, selector: &str, text: &str) {
        let id = self.find(selector).unwrap_or_else(|error| panic!("{selector}: {error}"));
        self.must("POST", &format!("element/{id}/value"), &json!({"text": text}));
    }

    /// Presses a key, wherever the focus is.
    pub fn press(&self, key: &str) {
        let strokes = json!([{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]);
        self.must("POST", "actions", &json!({"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]}));
    }

    /// Its cookies for this page, by name.
    pub fn cookies(&self) -> Vec<(String, String)> {
        let text = |cookie: &Value, key: &str| cookie[key].as_str().unwrap_or_default().to_owned();
        let cookies = self.must("GET", "cookie", &Value::Null);
        cookies.as_array().into_iter().flatten().map(|c| (text(c, "name"), text(c, "value"))).collect()
    }

    /// Whether a selector finds something.
    pub fn has(&self, selector: &str) -> bool {
        self.find(selector).is_ok()
    }

    /// Opens another window, and goes on there.
    pub fn open_window(&self) -> String {
        let window = self.must("POST", "window/new", &json!({"type": "window"}));
        let handle = window["handle"].as_str().expect("a handle").to_owned();
        self.go_to_window(&handle);
        handle
    }

    /// The window that it is in.
    pub fn window(&self) -> String {
        self.must("GET", "window", &Value::Null).as_str().expect("a handle").to_owned()
    }

    /// Goes to a window.
    pub fn go_to_window(&self, handle: &str) {
        self.must("POST", "window", &json!({"handle": handle}));
    }

    /// A command of Chromium's own protocol.
    pub fn chromium(&self, command: &str, params: &Value) {
        self.must("POST", "goog/cdp/execute", &json!({"cmd": command, "params": params}));
    }

    /// How the window is to be: its size, and whether its user likes it dark.
    pub fn shape(&self, width: u32, height: u32, dark: bool) {
        let phone = width < 600;
        let scale = if phone { 2 } else { 1 };
        self.chromium(
            "Emulation.setDeviceMetricsOverride",
            &json!({"width": width, "height": height, "deviceScaleFactor": scale, "mobile": phone}),
        );
        let scheme = json!({"name": "prefers-color-scheme", "value": if dark { "dark" } else { "light" }});
        self.chromium("Emulation.setEmulatedMedia", &json!({"features": [scheme]}));
    }

    /// As wide as this, and as high as it takes to see everything down to the end of what a selector finds.
    pub fn fit(&self, width: u32, selector: &str, dark: bool) {
        self.shape(width, 900, dark);
        self.run("scrollTo(0, 0)");
        let end = format!("return Math.ceil(document.querySelector('{selector}').getBoundingClientRect().bottom) + 24");
        let height = self.run(&end).as_u64().and_then(|height| u32::try_from(height).ok()).expect("a height");
        self.shape(width, height, dark);
    }

    /// Keeps a picture of what a selector finds, and of nothing around it.
    pub fn picture_of(&self, selector: &str, name: &str) {
        let id = self.find(selector).unwrap_or_else(|error| panic!("{selector}: {error}"));
        keep(&self.must("GET", &format!("element/{id}/screenshot"), &Value::Null), name);
    }

    /// Keeps a picture of what is to be seen: in `docs/pictures` if `GREENLIGHT_PICTURES` says so and a page shows it, else with the logs.
    pub fn picture(&self, name: &str) {
        keep(&self.must("GET", "screenshot", &Value::Null), name);
    }

    /// What its console said that a person should worry about.
    pub fn complaints(&self) -> Vec<String> {
        let log = self.must("POST", "se/log", &json!({"type": "browser"}));
        let worries = log.as_array().into_iter().flatten().filter(|entry| entry["level"] == "SEVERE");
        worries.filter_map(|entry| entry["message"].as_str().map(str::to_owned)).collect()
    }

    fn find(&self, selector: &str) -> Result<String, Value> {
        let found = self.ask("POST", "element", &json!({"using": "css selector", "value": selector}))?;
        Ok(found[ELEMENT].as_str().unwrap_or_default().to_owned())
    }

    fn must(&self, method: &str, path: &str, body: &Value) -> Value {
        self.ask(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, Value> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = http(&self.driver, method, &format!("/session/{}/{path}", self.session), &[], &body);
        let value: Value = serde_json::from_str(&answer.body).expect("JSON");
        if answer.status == 200 { Ok(value["value"].clone()) } else { Err(value["value"]["message"].clone()) }
    }
}

fn keep(picture: &Value, name: &str) {
    let png = base64::engine::general_purpose::STANDARD.decode(picture.as_str().expect("a picture")).expect("base64");
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let page = std::fs::read_to_string(docs.join("dashboard.md")).expect("the page");
    let is_shown = page.contains(&format!("(pictures/{name}.png)"));
    let folder = match std::env::var_os("GREENLIGHT_PICTURES") {
        Some(_) if is_shown => docs.join("pictures"),
        _ => cluster().dir().to_owned(),
    };
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join(format!("{name}.png")), png).expect("written");
}

impl Drop for Browser {
    /// The driver ends the browser; killed, it would leave it behind.
    fn drop(&mut self) {
        http(&self.driver, "DELETE", &format!("/session/{}", self.session), &[], "");
    }
}
