//! A small authenticating proxy, as it stands before the dashboard in a cluster: who has signed in to it has a session, and each of their
//! requests gets the token of whoever they are. Their browser never sees that.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::{StatusCode, header};
use kube::{Client, Config};
use tokio::net::TcpListener;

/// The session of a person is a cookie of this name; a real proxy would not take anybody's word for who they are.
pub const SESSION: &str = "proxy-session";

/// Passes on what people ask of a dashboard, with their tokens.
pub struct SignInProxy {
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

/// The dashboard as each person, by name.
type People = Arc<BTreeMap<String, Client>>;

impl SignInProxy {
    /// Starts one before the dashboard at this address, for people with these names and tokens.
    ///
    /// # Panics
    /// It cannot listen.
    pub async fn before(dashboard: &str, people: &[(&str, &str)]) -> SignInProxy {
        let as_person = |token: &str| {
            let mut config = Config::new(dashboard.parse().expect("an address"));
            config.auth_info.token = Some(token.to_owned().into());
            Client::try_from(config).expect("a client")
        };
        let people: People =
            Arc::new(people.iter().map(|(name, token)| ((*name).to_owned(), as_person(token))).collect());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let app = Router::new().fallback(pass).with_state(people);
        let task = tokio::spawn(async move { drop(axum::serve(listener, app).await) });
        SignInProxy { address, task }
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// An address of the dashboard behind it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for SignInProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(State(people): State<People>, request: Request) -> Response {
    if let Some(name) = request.uri().path().strip_prefix("/sign-in/") {
        let cookie = format!("{SESSION}={name}; Path=/; HttpOnly; SameSite=Lax");
        return ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response();
    }
    let cookies = request.headers().get(header::COOKIE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut pairs = cookies.split(';').filter_map(|pair| pair.trim().split_once('='));
    let session = pairs.find(|(name, _)| *name == SESSION).map(|(_, value)| value.to_owned());
    let Some(client) = session.and_then(|name| people.get(&name)) else {
        return (StatusCode::UNAUTHORIZED, "The proxy does not know you.").into_response();
    };
    let (mut parts, body) = request.into_parts();
    // Nobody brings a token of their own, and the connection to the dashboard is another one.
    for hop in [header::AUTHORIZATION, header::CONNECTION, header::TRANSFER_ENCODING] {
        parts.headers.remove(hop);
    }
    let Ok(body) = to_bytes(body, 1 << 20).await else { return StatusCode::BAD_REQUEST.into_response() };
    let request = http::Request::from_parts(parts, kube::client::Body::from(body.to_vec()));
    match client.send(request).await {
        Ok(response) => {
            let mut response = response.map(Body::new);
            response.headers_mut().remove(header::TRANSFER_ENCODING);
            response
        }
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}
