//! Debian's Prometheus, for a test.

use anyhow::{Context, Result, ensure};
use greenlight_test_cluster::{Process, free_ports};
use serde_json::Value;

use crate::cluster;

/// A running Prometheus.
pub struct Prometheus {
    url: String,
    _process: Process,
}

impl Prometheus {
    /// Whether the tests that need one are to run. CI skips nothing; who has none is told.
    pub fn is_there() -> bool {
        let there = std::env::var_os("GREENLIGHT_WITHOUT_PROMETHEUS").is_none();
        if !there {
            println!("SKIPPED: there is no Prometheus on this machine");
        }
        there
    }

    /// Starts one with this configuration, in a folder of this name; files of rules may lie there.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(name: &str, config: &str) -> Result<Prometheus> {
        let dir = cluster().dir().join(name);
        std::fs::create_dir_all(&dir)?;
        let file = dir.join("prometheus.yml");
        std::fs::write(&file, config)?;
        let [port] = free_ports()?;
        let args = [
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}", dir.join("data").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
        ];
        let _process = Process::start(&dir, "prometheus", std::path::Path::new("/usr/bin/prometheus"), &args, &[])?;
        Ok(Prometheus { url: format!("http://127.0.0.1:{port}"), _process })
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The samples that a query returns now.
    ///
    /// # Errors
    /// It does not answer, or the query is wrong.
    pub async fn query(&self, query: &str) -> Result<Vec<Value>> {
        let form: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let address = self.url.trim_start_matches("http://").to_owned();
        let body = format!("query={form}");
        let answer = tokio::task::spawn_blocking(move || post(&address, "/api/v1/query", &body)).await??;
        let answer: Value = serde_json::from_str(&answer).with_context(|| answer.clone())?;
        ensure!(answer["status"] == "success", "{query}: {answer}");
        Ok(answer["data"]["result"].as_array().cloned().unwrap_or_default())
    }
}

fn post(address: &str, path: &str, form: &str) -> Result<String> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address)?;
    write!(
        stream,
        "POST {path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{form}",
        form.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}
