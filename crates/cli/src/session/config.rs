//! Which API server, and as whom: the kubeconfig, and what kubectl's flags change of it.
//!
//! All flags are turned into the entry of a kubeconfig that would say the same, so that there is one way from there to a client.

use std::io::ErrorKind;
use std::path::{self, PathBuf};

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

/// The configuration that kubectl would use with these flags, and what the caller calls the cluster.
pub async fn config(options: &ClusterOptions) -> Result<(Config, String)> {
    let Some(file) = kubeconfig(options, &paths())? else {
        let config = Config::incluster().map_err(|_| {
            anyhow!(
                "no cluster: there is no kubeconfig at $KUBECONFIG or ~/.kube/config. Give --kubeconfig, or --server"
            )
        })?;
        return Ok((in_pod(config, options)?, String::new()));
    };
    let config = Config::from_custom_kubeconfig(chosen(&file, options)?, &KubeConfigOptions::default()).await?;
    Ok((config, name(&file, options)))
}

/// Options that choose the same cluster and the same user when they are typed much later: in another folder, with another current context,
/// or where $KUBECONFIG names another file. No flag names several files, so then $KUBECONFIG has to be the same.
pub fn lasting(options: &ClusterOptions) -> Result<ClusterOptions> {
    lasting_beside(options, &paths(), usual_path().as_ref())
}

/// The same, where kubeconfigs are at these paths, and would usually be at that one.
fn lasting_beside(options: &ClusterOptions, paths: &[PathBuf], usual_path: Option<&PathBuf>) -> Result<ClusterOptions> {
    let current = kubeconfig(options, paths)?.and_then(|file| file.current_context).filter(|name| !name.is_empty());
    let there: Vec<&PathBuf> = paths.iter().filter(|path| path.exists()).collect();
    let unusual = match there.as_slice() {
        [only] if Some(*only) != usual_path => Some((*only).clone()),
        _ => None,
    };
    let absolute = |path: PathBuf| path::absolute(&path).unwrap_or(path);
    Ok(ClusterOptions {
        // Also beside --cluster and --server, since it says who the user is.
        context: options.context.clone().or(current),
        kubeconfig: options.kubeconfig.clone().or(unusual).map(absolute),
        certificate_authority: options.certificate_authority.clone().map(absolute),
        ..options.clone()
    })
}

/// What somebody has chosen the cluster by: the flag that decides which one it is, or the current context.
fn name(file: &Kubeconfig, options: &ClusterOptions) -> String {
    let chosen = options.server.as_ref().or(options.cluster.as_ref()).or(options.context.as_ref());
    chosen.or(file.current_context.as_ref()).cloned().unwrap_or_default()
}

/// The configuration of the pod that this runs in, as the flags want it. What is chosen by name needs a kubeconfig: without one it would be
/// another cluster, or another user, than the one that was named.
fn in_pod(mut config: Config, options: &ClusterOptions) -> Result<Config> {
    for (what, name) in [("context", &options.context), ("cluster", &options.cluster), ("user", &options.user)] {
        if let Some(name) = name {
            bail!("there is no kubeconfig, so there is no {what} {name}. Give --kubeconfig, or --server");
        }
    }
    config.auth_info = signed(config.auth_info, options)?;
    if let Some(path) = &options.certificate_authority {
        config.root_cert_file = Some(path.clone());
    }
    config.accept_invalid_certs |= options.insecure_skip_tls_verify;
    config.tls_server_name = options.tls_server_name.clone().or(config.tls_server_name);
    Ok(config)
}

/// Where kubeconfigs are: as $KUBECONFIG lists them, or at the usual place.
fn paths() -> Vec<PathBuf> {
    let listed = std::env::var_os("KUBECONFIG").unwrap_or_default();
    let mut paths: Vec<PathBuf> = std::env::split_paths(&listed).filter(|path| !path.as_os_str().is_empty()).collect();
    if paths.is_empty() {
        paths.extend(usual_path());
    }
    paths
}

fn usual_path() -> Option<PathBuf> {
    std::env::home_dir().map(|home| home.join(".kube").join("config"))
}

/// The kubeconfig that is named, or else that of these paths, where there is one. With `--server` an empty one is enough.
fn kubeconfig(options: &ClusterOptions, paths: &[PathBuf]) -> Result<Option<Kubeconfig>> {
    if let Some(path) = &options.kubeconfig {
        let file = Kubeconfig::read_from(path).with_context(|| format!("cannot read {}", path.display()))?;
        return Ok(Some(file));
    }
    Ok(merged(paths)?.or_else(|| options.server.is_some().then(Kubeconfig::default)))
}

/// Kubeconfigs as one. Those that do not exist are passed over, as by kubectl.
fn merged(paths: &[PathBuf]) -> Result<Option<Kubeconfig>> {
    let mut merged: Option<Kubeconfig> = None;
    for path in paths {
        let read = match Kubeconfig::read_from(path) {
            Err(KubeconfigError::ReadConfig(error, _)) if error.kind() == ErrorKind::NotFound => continue,
            read => read.with_context(|| format!("cannot read {}", path.display()))?,
        };
        merged = Some(match merged {
            Some(before) => before.merge(read)?,
            None => read,
        });
    }
    Ok(merged)
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
    fn a_cluster_is_called_what_it_was_chosen_by() {
        let called = |flags: &[&str]| {
            let args = ["kubectl-greenlight"].iter().chain(flags).chain(&["version"]);
            name(&file(), &Options::try_parse_from(args).expect("flags").cluster)
        };
        assert_eq!((called(&[]), called(&["--context", "two"])), ("one".to_owned(), "two".to_owned()));
        assert_eq!(called(&["--context", "two", "--cluster", "a"]), "a");
        assert_eq!(called(&["--cluster", "a", "--server", "https://x"]), "https://x");
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

    #[test]
    fn in_a_pod_the_flags_count_as_well_and_no_name_leads_to_another_cluster() {
        let in_pod = |flags: &[&str]| {
            let args = ["kubectl-greenlight"].iter().chain(flags).chain(&["version"]);
            let options = Options::try_parse_from(args).expect("flags");
            let mut config = Config::new("https://10.0.0.1".parse().expect("an address"));
            config.auth_info.token_file = Some("/var/run/token".to_owned());
            in_pod(config, &options.cluster)
        };
        let pod = in_pod(&["--as", "ann"]).expect("a configuration");
        assert_eq!(pod.auth_info.impersonate.as_deref(), Some("ann"));
        assert_eq!(pod.auth_info.token_file.as_deref(), Some("/var/run/token"));
        let ann = in_pod(&["--token", "hers", "--tls-server-name", "x"]).expect("a configuration");
        assert!(ann.auth_info.token.is_some() && ann.auth_info.token_file.is_none(), "she is not the pod");
        assert_eq!(ann.tls_server_name.as_deref(), Some("x"));
        assert!(in_pod(&["--insecure-skip-tls-verify"]).expect("a configuration").accept_invalid_certs);
        for flag in ["--context", "--cluster", "--user"] {
            let error = in_pod(&[flag, "production"]).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains("there is no kubeconfig") && error.contains("production"), "{flag}: {error}");
        }
    }

    #[test]
    fn what_is_told_for_long_chooses_the_same_cluster_and_user_from_anywhere() {
        let folder = std::env::temp_dir().join(format!("greenlight-lasting-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let write = |name: &str| {
            let path = folder.join(name);
            let text = r#"{"current-context": "prod", "contexts": [{"name": "prod"}]}"#;
            std::fs::write(&path, text).expect("written");
            path
        };
        let (one, two, missing) = (write("one"), write("two"), folder.join("missing"));
        let lasting = |flags: &[&str], paths: &[&PathBuf], usual_path: Option<&PathBuf>| {
            let args = ["kubectl-greenlight"].iter().chain(flags).chain(&["version"]);
            let options = Options::try_parse_from(args).expect("flags");
            let paths: Vec<PathBuf> = paths.iter().map(|path| (*path).clone()).collect();
            lasting_beside(&options.cluster, &paths, usual_path).expect("it can be read").flags().to_string()
        };
        let of_one = format!(" --kubeconfig {} --context prod", one.display());
        assert_eq!(lasting(&[], &[&one], None), of_one);
        assert_eq!(lasting(&[], &[&missing, &one], None), of_one, "the other one says nothing");
        assert_eq!(lasting(&[], &[&one], Some(&one)), " --context prod", "everybody's commands read that one");
        assert_eq!(lasting(&[], &[&one, &two], None), " --context prod", "no flag names two");
        assert_eq!(lasting(&[], &[&missing], None), "", "in a pod there is none");
        assert_eq!(lasting(&["--context", "test"], &[&one], Some(&one)), " --context test");
        for (flag, value) in [("--cluster", "a"), ("--server", "https://a")] {
            let told = lasting(&[flag, value], &[&one], Some(&one));
            assert_eq!(told, format!(" --context prod {flag} {value}"), "nobody else's token goes there");
        }
        let here = std::env::current_dir().expect("a folder");
        let told = lasting(&["--certificate-authority", "ca.crt"], &[&missing], None);
        assert_eq!(told, format!(" --certificate-authority {}", here.join("ca.crt").display()));
        let up: PathBuf = here.components().skip(1).map(|_| "..").collect();
        let relative = up.join(one.strip_prefix("/").expect("an absolute path"));
        let told = lasting(&["--kubeconfig", relative.to_str().expect("UTF-8")], &[&two], None);
        assert!(told.starts_with(&format!(" --kubeconfig {}", here.display())), "{told}");
        std::fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn a_kubeconfig_of_several_files_need_not_have_all_of_them() {
        let folder = std::env::temp_dir().join(format!("greenlight-kubeconfigs-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).expect("written");
            path
        };
        let one = write("one", r#"{"current-context": "one", "contexts": [{"name": "one"}]}"#);
        let two = write("two", r#"{"current-context": "two", "contexts": [{"name": "two"}]}"#);
        let broken = write("broken", "clusters: {");
        let missing = folder.join("missing");
        let found = merged(&[missing.clone(), one, two]).expect("read").expect("there are some");
        let names: Vec<_> = found.contexts.iter().map(|context| context.name.as_str()).collect();
        assert_eq!((found.current_context.as_deref(), names.as_slice()), (Some("one"), ["one", "two"].as_slice()));
        assert!(merged(std::slice::from_ref(&missing)).expect("read").is_none());
        let error = merged(&[missing, broken]).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("broken"), "it says which one: {error}");
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
