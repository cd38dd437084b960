//! Git repositories on loopback, served over HTTP by Git's own backend.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use tokio::io::AsyncWriteExt;

use crate::cluster;

/// It serves as long as the tests run, so on a thread of its own.
static SERVER: LazyLock<SocketAddr> = LazyLock::new(|| {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    listener.set_nonblocking(true).expect("a socket");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    std::thread::spawn(move || {
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            axum::serve(listener, Router::new().fallback(serve)).await
        })
    });
    address
});

/// Where clients find the repository of this name.
pub fn url(name: &str) -> String {
    format!("http://{}/{name}", *SERVER)
}

fn folder() -> PathBuf {
    cluster().dir().join("git")
}

async fn serve(method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    match backend(&method, &uri, &headers, &body).await {
        Ok(response) => response,
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")).into_response(),
    }
}

/// `git http-backend` is a CGI program: the request stands in the environment, head and body of the answer in its output.
async fn backend(method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Result<Response> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut child = tokio::process::Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", folder())
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_PROTOCOL", header("git-protocol"))
        .env("REQUEST_METHOD", method.as_str())
        .env("PATH_INFO", uri.path())
        .env("QUERY_STRING", uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("a pipe")?.write_all(body).await?;
    let output = child.wait_with_output().await?.stdout;
    let end = output.windows(4).position(|window| window == b"\r\n\r\n").context("no head")?;
    let mut response = Response::builder();
    for line in std::str::from_utf8(&output[..end])?.lines() {
        let (name, value) = line.split_once(": ").context("a header")?;
        response = match name {
            "Status" => response.status(value.split(' ').next().unwrap_or_default()),
            _ => response.header(name, value),
        };
    }
    Ok(response.body(output[end + 4..].to_vec().into())?)
}

/// A Git repository that is served.
pub struct Repository(PathBuf);

impl Repository {
    /// An empty one.
    pub fn create(name: &str) -> Result<Repository> {
        let path = folder().join(name);
        std::fs::create_dir_all(&path)?;
        let repository = Repository(path);
        repository.git(&["init", "--quiet", "--initial-branch=main"])?;
        Ok(repository)
    }

    /// Commits these files; the commit.
    pub fn commit(&self, message: &str, files: &[(&str, String)]) -> Result<String> {
        for (name, text) in files {
            std::fs::write(self.0.join(name), text)?;
        }
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--message", message])?;
        self.head()
    }

    /// Commits the removal of these files; the commit.
    pub fn remove(&self, message: &str, names: &[String]) -> Result<String> {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.git(&[&["rm", "--quiet"], &names[..]].concat())?;
        self.git(&["commit", "--quiet", "--message", message])?;
        self.head()
    }

    /// `git revert` of the last commit; the commit that does it.
    pub fn revert(&self) -> Result<String> {
        self.git(&["revert", "--no-edit", "HEAD"])?;
        self.head()
    }

    fn head(&self) -> Result<String> {
        Ok(self.git(&["rev-parse", "HEAD"])?.trim().to_owned())
    }

    fn git(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new("git")
            .args(["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"])
            .args(arguments)
            .current_dir(&self.0)
            .output()?;
        ensure!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }
}
