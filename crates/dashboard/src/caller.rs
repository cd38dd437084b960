//! With whose credentials the cluster is asked. On a person's machine: theirs, for whoever shows the secret of the address. In a cluster:
//! those of whoever looks, by the token that their browser or the proxy before us sends. It is in memory while they look, and nowhere
//! else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::{HeaderMap, header};
use greenlight_overview::again::{self, Again};
use greenlight_overview::{Flags, Session, is_answer, sentence};
use kube::Config;
use sha2::{Digest, Sha256};

use crate::desk::Desk;
use crate::guard::is_to_loopback;
use crate::kept::Kept;
use crate::silence::said;

/// How long it is known who a caller is before the API server is asked again.
const VERIFIED_FOR: Duration = Duration::from_secs(10);
/// How many people can look at the same time.
const MOST_DESKS: usize = 500;
const TOO_MANY: &str = "Too many people look at the same time. Try again in a minute.";
const NO_KEY: &str = "Open the address that kubectl greenlight dashboard printed: it has a key in it, and is good for one browser. For \
                      another one, start it again.";
const BAD_TOKEN: &str = "The API server does not take this token. Is it complete, and has it not run out?";

/// The cookie in which the browser keeps the token that somebody pasted. With this beginning of its name, no other host of the domain can
/// set one, under which people would act as somebody else without knowing. Browsers keep such a cookie only of what comes by https.
pub fn token_cookie(headers: &HeaderMap) -> &'static str {
    if is_to_loopback(headers) { "greenlight-token" } else { "__Host-greenlight-token" }
}

/// Whose credentials are used.
pub enum Access {
    /// Those of who started it.
    Own {
        /// Asks as them; with the namespace of their context.
        session: Box<Session>,
        /// What lets a browser in.
        secret: Secret,
        /// The address of the page that it is led to then.
        first: String,
    },
    /// Those of whoever looks.
    Tokens {
        /// The cluster, without credentials.
        cluster: Box<Config>,
    },
}

/// What lets a browser in: a key that is good once, and the cookie that it is exchanged for.
pub struct Secret {
    key: String,
    used: AtomicBool,
    cookie: String,
    /// Cookies know no ports.
    name: String,
}

impl Secret {
    /// A new one, for a server at this port.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn new(port: u16) -> anyhow::Result<Secret> {
        let name = format!("greenlight-{port}");
        Ok(Secret { key: random()?, used: AtomicBool::new(false), cookie: random()?, name })
    }

    /// What stands in the address, once.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The cookie for this key, the first time that it is shown.
    pub fn exchange(&self, key: &str) -> Option<String> {
        let is_key = same(key, &self.key) && !self.used.swap(true, Ordering::SeqCst);
        is_key.then(|| format!("{}={}; Path=/; HttpOnly; SameSite=Strict", self.name, self.cookie))
    }
}

/// Somebody who looks.
pub struct Caller {
    /// What they see.
    pub desk: Arc<Desk>,
    /// What only a page that was made for them knows.
    pub csrf: String,
    /// Asks as them. Of whoever looks from elsewhere nothing is known but their token: not what they call the cluster, nor how they choose it.
    pub session: Session,
}

impl Caller {
    /// Asks as the caller, in a namespace.
    pub fn session(&self, namespace: &str) -> Session {
        Session { namespace: namespace.to_owned(), ..self.session.clone() }
    }
}

/// Why somebody is not let in.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// They show no secret, or no token that the API server takes.
    Unknown(String),
    /// Nobody says who they are: the API server does not answer, or does not take the kubeconfig of who started this. That may pass.
    NotNow(String),
}

/// Who is let in.
pub struct Door {
    /// Whose credentials are used.
    pub access: Access,
    desks: Kept<[u8; 32], Desk>,
}

impl Door {
    /// Nobody is there yet.
    pub fn new(access: Access) -> Door {
        Door { access, desks: Kept::default() }
    }

    /// Who this is; or why nobody is let in, as far as it helps to know.
    ///
    /// # Errors
    /// Whoever it is, they show no secret, or no token that the API server takes; or nobody says who they are.
    pub async fn enter(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        match &self.access {
            Access::Own { session, secret, .. } => {
                let shown = cookie(headers, &secret.name).unwrap_or_default();
                if !same(&shown, &secret.cookie) {
                    return Err(Refusal::Unknown(NO_KEY.to_owned()));
                }
                let (csrf, session) = (csrf(&secret.cookie), Session::clone(session));
                if let Some(desk) = self.desks.get(&[0; 32]) {
                    return Ok(Caller { desk, csrf, session });
                }
                let user = session.user().await.map_err(|error| Refusal::NotNow(sentence(&said(&*error))))?;
                let open = || Desk::open(session.client.clone(), user, &session.namespace);
                let desk = self.desks.get_or([0; 32], MOST_DESKS, open).ok_or_else(too_many)?;
                Ok(Caller { desk, csrf, session })
            }
            Access::Tokens { cluster } => {
                let token = token(headers).ok_or_else(|| Refusal::Unknown(String::new()))?;
                let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
                let csrf = csrf(&token);
                let known = self.desks.get(&digest);
                let client = match &known {
                    Some(desk) => desk.client.clone(),
                    None => {
                        let mut config = (**cluster).clone();
                        config.auth_info.token = Some(token.into());
                        let client = again::client(config, &Again::quick());
                        client.map_err(|error| Refusal::Unknown(error.to_string()))?
                    }
                };
                let (namespace, flags, cluster) = ("default".to_owned(), Flags::default(), String::new());
                let session = Session { client, namespace, flags, cluster };
                if let Some(desk) = known.filter(|desk| desk.is_verified(VERIFIED_FOR)) {
                    return Ok(Caller { desk, csrf, session });
                }
                let user = match session.user().await {
                    Ok(user) if !user.is_empty() && user != "system:anonymous" => user,
                    // The token may be as good as it was.
                    Err(error) if is_silent(&error) => return Err(Refusal::NotNow(sentence(&said(&*error)))),
                    _ => {
                        self.desks.forget(&digest);
                        return Err(Refusal::Unknown(BAD_TOKEN.to_owned()));
                    }
                };
                let open = || Desk::open(session.client.clone(), user, "default");
                let desk = self.desks.get_or(digest, MOST_DESKS, open).ok_or_else(too_many)?;
                desk.verify(true);
                Ok(Caller { desk, csrf, session })
            }
        }
    }

    /// Forgets whoever has not looked for a while, and what they looked at.
    pub fn sweep(&self) {
        self.desks.all().iter().for_each(|desk| desk.sweep());
        self.desks.sweep();
    }
}

fn too_many() -> Refusal {
    Refusal::Unknown(TOO_MANY.to_owned())
}

/// Whether the API server has not said anything about a caller.
fn is_silent(error: &anyhow::Error) -> bool {
    error.downcast_ref::<kube::Error>().is_some_and(|error| !is_answer(error))
}

/// The token that a proxy before us, or else the browser, sends.
fn token(headers: &HeaderMap) -> Option<String> {
    forwarded(headers).or_else(|| cookie(headers, token_cookie(headers))).filter(|token| !token.is_empty())
}

/// Whether a proxy before us says whose token is used, so that there is none in the browser to be forgotten.
pub fn is_forwarded(headers: &HeaderMap) -> bool {
    forwarded(headers).is_some()
}

fn forwarded(headers: &HeaderMap) -> Option<String> {
    headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(bearer)
}

/// The token of a header of the scheme `Bearer`, whose name may be written in capitals and small letters. It is empty if a proxy has none of
/// whoever looks; then nobody is taken for somebody else, whose cookie the browser may still have.
fn bearer(value: &str) -> Option<String> {
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
}

/// What a form of ours shows, and a page of others cannot know. It says nothing of the secret that it was made of.
fn csrf(secret: &str) -> String {
    hex(&Sha256::digest(format!("greenlight dashboard form {secret}").as_bytes()))
}

/// Whether two secrets are the same, in a time that does not tell how much of them is.
pub fn same(a: &str, b: &str) -> bool {
    Sha256::digest(a.as_bytes()) == Sha256::digest(b.as_bytes())
}

fn random() -> anyhow::Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
    Ok(hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fake::{Asked, api_server, failure, session};

    #[tokio::test]
    async fn commands_have_the_flags_with_which_the_dashboard_was_started() {
        let client = api_server(|call: Asked| async move {
            if call.path.ends_with("/selfsubjectreviews") {
                (201, json!({"status": {"userInfo": {"username": "ann"}}}))
            } else {
                failure(403, "no")
            }
        });
        let flags = Flags { of_cluster: " --context prod".to_owned(), of_user: String::new() };
        let secret = Secret::new(8080).expect("a secret");
        let cookie = secret.exchange(secret.key()).expect("the first time");
        let cookie = cookie.split(';').next().and_then(|pair| pair.parse().ok()).expect("a pair");
        let session = Session { flags: flags.clone(), ..session(client) };
        let door = Door::new(Access::Own { session: Box::new(session), secret, first: "/".to_owned() });
        let Ok(caller) = door.enter(&HeaderMap::from_iter([(header::COOKIE, cookie)])).await else {
            panic!("nobody is let in");
        };
        assert_eq!(caller.session("shop").flags, flags);
    }

    #[tokio::test]
    async fn a_token_is_not_called_bad_because_the_api_server_does_not_answer() {
        for (code, is_kept) in [(401, false), (403, false), (503, true), (429, true)] {
            let client = api_server(move |_| async move { failure(code, "no") });
            let cluster = Box::new(Config::new("https://127.0.0.1:1".parse().expect("an address")));
            let door = Door::new(Access::Tokens { cluster });
            let digest: [u8; 32] = Sha256::digest(b"good").into();
            let desk = door.desks.get_or(digest, 1, || Desk::open(client, "ann".to_owned(), "shop"));
            desk.expect("room").verify(false);
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, "Bearer good".parse().expect("a value"))]);
            let Err(refusal) = door.enter(&headers).await else { panic!("nobody has said who it is") };
            assert_eq!(matches!(refusal, Refusal::NotNow(_)), is_kept, "{code}: {refusal:?}");
            assert_eq!(door.desks.get(&digest).is_some(), is_kept, "{code}: what they look at");
        }
    }

    #[test]
    fn a_key_is_good_once() {
        let secret = Secret::new(8080).expect("a secret");
        assert_eq!(secret.exchange("another"), None);
        let cookie = secret.exchange(secret.key()).expect("the first time");
        assert!(cookie.starts_with("greenlight-8080=") && cookie.contains("HttpOnly; SameSite=Strict"), "{cookie}");
        assert!(!cookie.contains(secret.key()));
        assert_eq!(secret.exchange(secret.key()), None);
    }

    #[test]
    fn the_proxys_token_goes_before_the_browsers() {
        let mut headers = HeaderMap::new();
        assert_eq!(token(&headers), None);
        headers.insert(header::HOST, "localhost:8080".parse().expect("a value"));
        headers.insert(header::COOKIE, "a=b; greenlight-token=pasted".parse().expect("a value"));
        assert_eq!(token(&headers).as_deref(), Some("pasted"));
        headers.insert(header::HOST, "releases.example.com".parse().expect("a value"));
        assert_eq!(token(&headers), None, "another host of the domain may have set it");
        headers
            .insert(header::COOKIE, "greenlight-token=set; __Host-greenlight-token=pasted".parse().expect("a value"));
        assert_eq!(token(&headers).as_deref(), Some("pasted"));
        headers.insert(header::AUTHORIZATION, "Bearer forwarded".parse().expect("a value"));
        assert_eq!(token(&headers).as_deref(), Some("forwarded"));
        assert!(is_forwarded(&headers), "there is nothing to be forgotten");
        headers.insert(header::AUTHORIZATION, "bearer forwarded".parse().expect("a value"));
        assert_eq!(token(&headers).as_deref(), Some("forwarded"), "the scheme's name has no case");
        headers.insert(header::AUTHORIZATION, "Bearer".parse().expect("a value"));
        assert_eq!(token(&headers), None, "the proxy knows no token, and the cookie may be somebody else's");
        headers.insert(header::AUTHORIZATION, "Basic dmVyYTp4".parse().expect("a value"));
        assert_eq!(token(&headers).as_deref(), Some("pasted"), "that is between the browser and the proxy");
        assert!(!is_forwarded(&headers), "so there is one to be forgotten");
    }
}
