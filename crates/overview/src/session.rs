//! The cluster, as one caller sees it.

use std::fmt::{self, Display, Formatter};

use anyhow::{Context, Result};
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::{Api, Client};

/// The API server refuses to say or to do something, as against: it cannot be reached.
pub fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

/// The API server has answered, as against: it cannot be reached, or has no time just now.
pub fn is_answer(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code < 500 && status.code != 429)
}

/// What an error of a request says to a person: the API server's own words, if it has answered.
pub fn reason(error: &kube::Error) -> String {
    match error {
        // Of a path that is not there the message is the bare page of a web server, or nothing.
        kube::Error::Api(status)
            if status.code == 404 && status.details.as_ref().is_none_or(|of| of.kind.is_empty()) =>
        {
            "the cluster does not know this kind: install Greenlight first, with its CRDs".to_owned()
        }
        kube::Error::Api(status) if status.code == 401 => {
            "the API server does not know who you are (401): the token or certificate is wrong, or has expired"
                .to_owned()
        }
        kube::Error::Api(status) if status.message.is_empty() => format!("status {}", status.code),
        kube::Error::Api(status) => status.message.clone(),
        kube::Error::Service(error) => {
            let mut told = error.to_string();
            let mut cause = error.source();
            while let Some(error) = cause {
                told = format!("{told}: {error}");
                cause = error.source();
            }
            told
        }
        other => other.to_string(),
    }
}

/// The flags of kubectl with which somebody chose the cluster and the user, each after a space. A command that they are told ends with
/// them: without them it would be about another cluster. Empty where none was typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// Those that chose the cluster. They are enough for a command of another user, who may do more.
    pub of_cluster: String,
    /// Those that chose the user. A token is never among them.
    pub of_user: String,
}

impl Display for Flags {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        write!(to, "{}{}", self.of_cluster, self.of_user)
    }
}

/// A client and a namespace.
#[derive(Clone)]
pub struct Session {
    /// The client.
    pub client: Client,
    /// The namespace.
    pub namespace: String,
    /// What a command that the caller is told ends with.
    pub flags: Flags,
    /// What the caller calls the cluster: the name of its context, or the address that they gave. Empty where they have not named it.
    pub cluster: String,
}

impl Session {
    /// An API in the namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The caller's user name, as the API server knows it.
    ///
    /// # Errors
    /// The API server does not know the caller.
    pub async fn user(&self) -> Result<String> {
        Ok(self.user_and_time().await?.0)
    }

    /// The caller's user name, and what time it is by the clock of the API server, in whole seconds.
    ///
    /// # Errors
    /// The API server does not know the caller.
    pub async fn user_and_time(&self) -> Result<(String, Option<Timestamp>)> {
        let api: Api<SelfSubjectReview> = Api::all(self.client.clone());
        let review = api.create(&Default::default(), &SelfSubjectReview::default()).await;
        let review = review.context("cannot ask the API server who you are")?;
        let user = review.status.and_then(|status| status.user_info).and_then(|user| user.username);
        Ok((user.unwrap_or_default(), review.metadata.creation_timestamp.map(|time| time.0)))
    }
}
