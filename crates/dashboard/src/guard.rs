//! Who may come in, from where. Each rule stands for an attack, and [`docs/dashboard.md`](../../../docs/dashboard.md) has the table.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::row::is_name;

/// The names under which it may be called, without ports. With any other, a page of somebody else's that had its name point here
/// (DNS rebinding) would be let in.
pub struct Hosts(pub Vec<String>);

const LOOPBACK: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];
/// A form that never ends, or an API server that never answers, holds nobody longer. What is streamed has begun by then.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);
const SLOW: &str =
    "The API server has not answered within a minute. What was asked of it may have been done: look, and ask again.";
/// Nothing from anywhere else, nothing inline, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

impl Hosts {
    fn know(&self, host: &str) -> bool {
        let name = without_port(host);
        LOOPBACK.contains(&name) || self.0.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.chars().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Whether a request is to this machine by one of the names of loopback.
pub fn is_to_loopback(headers: &HeaderMap) -> bool {
    headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .is_some_and(|host| LOOPBACK.contains(&without_port(host)))
}

/// Lets in what comes from a page of ours or from a person, and adds what keeps the answer from being used otherwise.
pub async fn guard(State(hosts): State<Arc<Hosts>>, request: Request, next: Next) -> Response {
    // The kubelet asks by address.
    let is_probe = request.uri().path() == "/healthz";
    let mut response = match refusal(&hosts, request.method(), request.headers()) {
        None if !is_plain(request.uri().path()) => (StatusCode::NOT_FOUND, "Nothing has such a name.").into_response(),
        Some(why) if !is_probe => (StatusCode::FORBIDDEN, why).into_response(),
        _ => match tokio::time::timeout(ANSWERED_WITHIN, next.run(request)).await {
            Ok(response) => response,
            Err(_) => (StatusCode::GATEWAY_TIMEOUT, SLOW).into_response(),
        },
    };
    let headers = [
        ("content-security-policy", POLICY),
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        // With `no-referrer`, a browser would not say where a form comes from.
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-store"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Whether a path is made of names as Kubernetes has them. They become parts of the API server's paths, where others would mean something
/// else.
fn is_plain(path: &str) -> bool {
    path == "/" || path.trim_start_matches('/').split('/').all(is_name)
}

/// Why a request is not let in.
fn refusal(hosts: &Hosts, method: &Method, headers: &HeaderMap) -> Option<String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST.as_str()).unwrap_or_default();
    if !hosts.know(host) {
        return Some(format!(
            "This dashboard is not called {host}. In a cluster, name it in dashboard.hosts of the chart."
        ));
    }
    let from = text("sec-fetch-site").unwrap_or("none");
    let is_link = *method == Method::GET && text("sec-fetch-mode") == Some("navigate");
    if !matches!(from, "same-origin" | "none") && !is_link {
        return Some("This request comes from a page of another origin.".to_owned());
    }
    if matches!(*method, Method::GET | Method::HEAD) {
        return None;
    }
    let origin = text(header::ORIGIN.as_str()).unwrap_or_default();
    let of_origin = origin.split_once("://").map(|(_, host)| host);
    (of_origin != Some(host)).then(|| "A form of another origin sends this.".to_owned())
}

/// A link that was followed from elsewhere: the browser keeps our cookie back then, and sends it when the page asks for itself.
pub fn is_followed_link(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    matches!(text("sec-fetch-site"), Some("cross-site" | "same-site")) && text("sec-fetch-mode") == Some("navigate")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &Method, headers: &[(&'static str, &str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().expect("a value"));
        }
        refusal(&Hosts(vec!["releases.example.com".into()]), method, &map).is_none()
    }

    #[test]
    fn a_path_is_made_of_names() {
        let plain = ["/", "/n/shop/web", "/n/shop/web.v1/ask/promote-full", "/assets/app.js", "/healthz"];
        assert!(plain.into_iter().all(is_plain));
        let odd =
            ["/n/shop/..%2f..%2fsecrets", "/n/../x", "/n/shop/web%3fwatch", "/n//web", "/n/shop/%2e%2e", "/n/shop/W"];
        assert!(!odd.into_iter().any(is_plain));
    }

    #[test]
    fn only_its_own_names_and_pages_are_let_in() {
        for host in ["127.0.0.1:8080", "localhost:1", "[::1]:8080", "releases.example.com", "Releases.example.com:443"]
        {
            assert!(asked(&Method::GET, &[("host", host)]), "{host}");
        }
        for host in ["evil.example.com", "evil.example.com:8080", "127.0.0.1.evil.example.com", ""] {
            assert!(!asked(&Method::GET, &[("host", host)]), "{host}");
        }
        let host = ("host", "localhost:8080");
        assert!(asked(&Method::POST, &[host, ("origin", "http://localhost:8080"), ("sec-fetch-site", "same-origin")]));
        assert!(!asked(&Method::POST, &[host]), "no browser, no origin");
        assert!(!asked(&Method::POST, &[host, ("origin", "null")]));
        assert!(!asked(&Method::POST, &[host, ("origin", "http://localhost:9090")]));
        let cross = ("sec-fetch-site", "cross-site");
        assert!(!asked(&Method::POST, &[host, ("origin", "http://localhost:8080"), cross]));
        assert!(asked(&Method::GET, &[host, cross, ("sec-fetch-mode", "navigate")]), "a link in a chat");
        assert!(!asked(&Method::GET, &[host, cross, ("sec-fetch-mode", "cors")]));
    }
}
