//! Which API server, and as whom: the kubeconfig, and what kubectl's flags change of it.
//!
//! All flags are turned into the entry of a kubeconfig that would say the same, so that there is one way from there to a client.

use anyhow::{Context as _, Result, anyhow, bail};
use kube::Config;
use kube::config::{
    AuthInfo, Cluster, Context, KubeConfigOptions, Kubeconfig, KubeconfigError, NamedAuthInfo, NamedCluster,
    NamedContext,
};
use serde_json::json;

use crate::options::ClusterOptions;

/// The name of the one entry that is left of a kubeconfig.
const CHOSEN: &str = "chosen";

/// The configuration that kubectl would use with these flags.
pub async fn config(options: &ClusterOptions) -> Result<Config> {
    let Some(file) = kubeconfig(options)? else {
        let mut config = Config::incluster().map_err(|_| {
            anyhow!(
                "no cluster: there is no kubeconfig at $KUBECONFIG or ~/.kube/config. Give --kubeconfig, or --server"
            )
        })?;
        act_as(options, &mut config.auth_info);
        return Ok(config);
    };
    Ok(Config::from_custom_kubeconfig(chosen(&file, options)?, &KubeConfigOptions::default()).await?)
}

/// The kubeconfig, where there is one. With `--server` an empty one is enough.
fn kubeconfig(options: &ClusterOptions) -> Result<Option<Kubeconfig>> {
    if let Some(path) = &options.kubeconfig {
        let file = Kubeconfig::read_from(path).with_context(|| format!("cannot read {}", path.display()))?;
        return Ok(Some(file));
    }
    let missing = match Kubeconfig::read() {
        Ok(file) => return Ok(Some(file)),
        Err(KubeconfigError::ReadConfig(error, _)) => error.kind() == std::io::ErrorKind::NotFound,
        Err(KubeconfigError::FindPath) => true,
        Err(error) => return Err(error.into()),
    };
    match missing {
        true => Ok(options.server.is_some().then(Kubeconfig::default)),
        false => bail!("the kubeconfig cannot be read: look at $KUBECONFIG, or ~/.kube/config"),
    }
}

/// A kubeconfig with one entry of each kind: those that the flags choose, with what the flags change.
fn chosen(file: &Kubeconfig, options: &ClusterOptions) -> Result<Kubeconfig> {
    let mut context = context(file, options)?;
    let cluster = options.cluster.as_ref().or(Some(&context.cluster).filter(|name| !name.is_empty()));
    let cluster = match cluster {
        Some(name) => {
            let entry = file.clusters.iter().find(|entry| entry.name == *name).and_then(|entry| entry.cluster.clone());
            entry.ok_or_else(|| missing("cluster", name, file.clusters.iter().map(|entry| &entry.name)))?
        }
        None => Cluster::default(),
    };
    let user = options.user.as_ref().or(context.user.as_ref().filter(|name| !name.is_empty()));
    let user = match user {
        Some(name) => {
            let entry = file.auth_infos.iter().find(|entry| entry.name == *name);
            // kubectl takes a context whose user is not there for one of an anonymous.
            if entry.is_none() && options.user.is_some() {
                return Err(missing("user", name, file.auth_infos.iter().map(|entry| &entry.name)));
            }
            entry.and_then(|entry| entry.auth_info.clone()).unwrap_or_default()
        }
        None => AuthInfo::default(),
    };
    let cluster = changed(cluster, options);
    if cluster.server.is_none() {
        bail!("no cluster is chosen: give --context, or --server. {}", listed("context", contexts(file)));
    }
    (context.cluster, context.user) = (CHOSEN.to_owned(), Some(CHOSEN.to_owned()));
    let name = || CHOSEN.to_owned();
    Ok(Kubeconfig {
        clusters: vec![NamedCluster { name: name(), cluster: Some(cluster), ..NamedCluster::default() }],
        auth_infos: vec![NamedAuthInfo {
            name: name(),
            auth_info: Some(signed(user, options)?),
            ..NamedAuthInfo::default()
        }],
        contexts: vec![NamedContext { name: name(), context: Some(context), ..NamedContext::default() }],
        current_context: Some(name()),
        ..Kubeconfig::default()
    })
}

fn context(file: &Kubeconfig, options: &ClusterOptions) -> Result<Context> {
    let current = file.current_context.as_ref().filter(|name| !name.is_empty());
    let Some(name) = options.context.as_ref().or(current) else { return Ok(Context::default()) };
    let entry = file.contexts.iter().find(|entry| entry.name == *name).and_then(|entry| entry.context.clone());
    entry.ok_or_else(|| missing("context", name, contexts(file)))
}

fn contexts(file: &Kubeconfig) -> impl Iterator<Item = &String> {
    file.contexts.iter().map(|entry| &entry.name)
}

/// A cluster, as the flags want it.
fn changed(mut cluster: Cluster, options: &ClusterOptions) -> Cluster {
    if let Some(server) = &options.server {
        // As kubectl: a bare host is one of plain HTTP.
        let scheme = if server.contains("://") { "" } else { "http://" };
        cluster.server = Some(format!("{scheme}{server}"));
    }
    if let Some(path) = &options.certificate_authority {
        cluster.certificate_authority = Some(path.display().to_string());
        cluster.certificate_authority_data = None;
    }
    if options.insecure_skip_tls_verify {
        cluster.insecure_skip_tls_verify = Some(true);
        (cluster.certificate_authority, cluster.certificate_authority_data) = (None, None);
    }
    if let Some(name) = &options.tls_server_name {
        cluster.tls_server_name = Some(name.clone());
    }
    cluster
}

/// Who asks. A token says all of that, whatever the kubeconfig has beside it.
fn signed(mut user: AuthInfo, options: &ClusterOptions) -> Result<AuthInfo> {
    if let Some(token) = &options.token {
        user = serde_json::from_value(json!({"token": token}))?;
    }
    act_as(options, &mut user);
    Ok(user)
}

fn act_as(options: &ClusterOptions, user: &mut AuthInfo) {
    if let Some(name) = &options.act_as {
        user.impersonate = Some(name.clone());
        user.impersonate_groups = Some(options.act_as_group.clone()).filter(|groups| !groups.is_empty());
        user.impersonate_uid = options.act_as_uid.clone();
    }
}

fn missing<'a>(what: &str, name: &str, there: impl Iterator<Item = &'a String>) -> anyhow::Error {
    anyhow!("the kubeconfig has no {what} {name}. {}", listed(what, there))
}

fn listed<'a>(what: &str, there: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&str> = there.map(String::as_str).collect();
    match names.as_slice() {
        [] => format!("It has no {what} at all: is it the right file? See --kubeconfig"),
        names => format!("Its {what}s: {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::options::Options;

    fn file() -> Kubeconfig {
        serde_json::from_value(json!({
            "current-context": "one",
            "contexts": [
                {"name": "one", "context": {"cluster": "a", "user": "ann", "namespace": "shop"}},
                {"name": "two", "context": {"cluster": "b", "user": "nobody"}},
            ],
            "clusters": [
                {"name": "a", "cluster": {"server": "https://a", "certificate-authority-data": "QQ=="}},
                {"name": "b", "cluster": {"server": "https://b"}},
            ],
            "users": [{"name": "ann", "user": {"token": "hers", "as": "root"}}, {"name": "bob", "user": {"token": "his"}}],
        }))
        .expect("a kubeconfig")
    }

    fn chosen_by(flags: &[&str]) -> Result<serde_json::Value> {
        let args = ["kubectl-greenlight"].iter().chain(flags).chain(&["version"]);
        let options = Options::try_parse_from(args).expect("flags");
        Ok(serde_json::to_value(chosen(&file(), &options.cluster)?)?)
    }

    #[test]
    fn the_flags_choose_and_change_what_the_kubeconfig_says() {
        let all = chosen_by(&[]).expect("chosen");
        assert_eq!(all["clusters"][0]["cluster"]["server"], "https://a");
        assert_eq!(all["contexts"][0]["context"]["namespace"], "shop");
        let other = chosen_by(&["--context", "two", "--user", "bob"]).expect("chosen");
        assert_eq!(other["clusters"][0]["cluster"]["server"], "https://b");
        assert_eq!(other["users"][0]["user"]["token"], "his");
        let other = chosen_by(&["--cluster", "b", "--server", "localhost:8080"]).expect("chosen");
        assert_eq!(other["clusters"][0]["cluster"]["server"], "http://localhost:8080");
        let other = chosen_by(&["--insecure-skip-tls-verify", "--tls-server-name", "x"]).expect("chosen");
        let cluster = &other["clusters"][0]["cluster"];
        assert_eq!(cluster["insecure-skip-tls-verify"], true);
        assert_eq!((cluster["tls-server-name"].as_str(), cluster.get("certificate-authority-data")), (Some("x"), None));
        let other = chosen_by(&["--as", "cy", "--as-group", "g", "--as-group", "h", "--as-uid", "7"]).expect("chosen");
        let user = &other["users"][0]["user"];
        assert_eq!((&user["as"], &user["as-groups"], &user["as-uid"]), (&json!("cy"), &json!(["g", "h"]), &json!("7")));
    }

    #[test]
    fn a_token_is_all_of_who_asks() {
        let other = chosen_by(&["--token", "mine"]).expect("chosen");
        assert_eq!(other["users"][0]["user"], json!({"token": "mine"}));
    }

    #[test]
    fn what_is_not_there_is_told_with_what_is() {
        for (flags, wanted) in [
            (["--context", "three"], "has no context three. Its contexts: one, two"),
            (["--cluster", "c"], "has no cluster c. Its clusters: a, b"),
            (["--user", "eve"], "has no user eve. Its users: ann, bob"),
        ] {
            let error = chosen_by(&flags).expect_err("there is none").to_string();
            assert!(error.contains(wanted), "{error}");
        }
        assert_eq!(chosen_by(&["--context", "two"]).expect("an anonymous")["users"][0]["user"], json!({}));
    }
}
