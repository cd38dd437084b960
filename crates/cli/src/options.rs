//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use greenlight_overview::{Flags, quoted};

/// See and drive blue-green rollouts.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-greenlight",
    bin_name = "kubectl greenlight",
    version,
    about,
    after_help = "Exit codes: 0 done; 1 failed; 2 refused by the operator, the rollout is degraded, or lint, doctor or convert found \
                  something; 3 the rollout waits for a person; 4 no answer in time.\n\n\
                  Examples:\n  kubectl greenlight get rollouts -A\n  kubectl greenlight get rollout web --watch\n  \
                  kubectl greenlight promote web --reason 'the smoke test was good'\n  \
                  kubectl greenlight undo web --to-revision 3 --dry-run"
)]
pub struct Options {
    #[command(flatten)]
    pub cluster: ClusterOptions,
    #[command(subcommand)]
    pub command: Command,
}

/// Which cluster and namespace, and as whom: kubectl's flags.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Options of kubectl")]
pub struct ClusterOptions {
    /// Namespace [default: that of the context]
    #[arg(short, long, global = true)]
    pub namespace: Option<String>,
    /// Context of the kubeconfig
    #[arg(long, global = true)]
    pub context: Option<String>,
    /// Path of the kubeconfig [default: $KUBECONFIG, or ~/.kube/config]
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub kubeconfig: Option<PathBuf>,
    /// Cluster of the kubeconfig
    #[arg(long, global = true, hide_short_help = true)]
    pub cluster: Option<String>,
    /// User of the kubeconfig
    #[arg(long, global = true, hide_short_help = true)]
    pub user: Option<String>,
    /// Address of the API server
    #[arg(short, long, global = true, hide_short_help = true, value_name = "URL")]
    pub server: Option<String>,
    /// Bearer token, in the place of the kubeconfig's user
    #[arg(long, global = true, hide_short_help = true)]
    pub token: Option<String>,
    /// File with the certificate authority of the API server
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub certificate_authority: Option<PathBuf>,
    /// Trust any certificate of the API server. Not for production
    #[arg(long, global = true, hide_short_help = true, conflicts_with = "certificate_authority")]
    pub insecure_skip_tls_verify: bool,
    /// Name that has to be in the certificate of the API server [default: the host of its address]
    #[arg(long, global = true, hide_short_help = true, value_name = "NAME")]
    pub tls_server_name: Option<String>,
    /// Act as this user
    #[arg(id = "as", long = "as", global = true, hide_short_help = true, value_name = "USER")]
    pub act_as: Option<String>,
    /// Act as a member of this group; can be repeated
    #[arg(long = "as-group", global = true, hide_short_help = true, value_name = "GROUP", requires = "as")]
    pub act_as_group: Vec<String>,
    /// Act as the user with this UID
    #[arg(long = "as-uid", global = true, hide_short_help = true, value_name = "UID", requires = "as")]
    pub act_as_uid: Option<String>,
    /// How long one request may take; 0 is for ever. A command that waits has a --timeout of its own
    #[arg(long, global = true, hide_short_help = true, value_name = "DURATION", value_parser = duration)]
    pub request_timeout: Option<Duration>,
    /// From 6 on, show every request to the API server; never its headers, tokens or bodies
    #[arg(short = 'v', long = "v", global = true, hide_short_help = true, value_name = "LEVEL", default_value_t = 0)]
    pub verbosity: u8,
}

impl ClusterOptions {
    /// Those that chose the cluster and the user, to be typed again.
    pub fn flags(&self) -> Flags {
        Flags { of_cluster: self.of_cluster(), of_user: self.of_user() }
    }

    fn of_user(&self) -> String {
        let user = [("user", &self.user), ("as", &self.act_as), ("as-uid", &self.act_as_uid)];
        let user = user.into_iter().filter_map(|(flag, value)| Some((flag, value.as_deref()?)));
        let groups = self.act_as_group.iter().map(|group| ("as-group", group.as_str()));
        user.chain(groups).map(|(flag, value)| written(flag, value)).collect()
    }

    fn of_cluster(&self) -> String {
        let file = self.kubeconfig.as_ref().map(|file| file.display().to_string());
        let authority = self.certificate_authority.as_ref().map(|file| file.display().to_string());
        let flags = [
            ("kubeconfig", &file),
            ("context", &self.context),
            ("cluster", &self.cluster),
            ("server", &self.server),
            ("certificate-authority", &authority),
            ("tls-server-name", &self.tls_server_name),
        ];
        let flags = flags.into_iter().filter_map(|(flag, value)| Some((flag, value.as_deref()?)));
        let trust = self.insecure_skip_tls_verify.then(|| " --insecure-skip-tls-verify".to_owned());
        flags.map(|(flag, value)| written(flag, value)).chain(trust).collect()
    }
}

/// A flag as it is typed. A value that begins like a flag would be taken for one.
fn written(flag: &str, value: &str) -> String {
    let between = if value.starts_with('-') { "=" } else { " " };
    format!(" --{flag}{between}{}", quoted(value))
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show rollouts, or one: its state, what it needs from you, and its pods
    Get {
        #[command(subcommand)]
        what: GetWhat,
    },
    /// List rollouts; the same as `get rollouts`
    List(ListOptions),
    /// Wait until a rollout is healthy (0), degraded (2), or waits for a person (3)
    Status {
        #[command(flatten)]
        of: Named,
        /// Wait for this state instead, also while the rollout waits for a person; exit code 0 when it is reached
        #[arg(long, value_enum, value_name = "STATE")]
        until: Option<Until>,
        /// How long to wait; with 0s, only look
        #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration)]
        timeout: Duration,
        #[command(flatten)]
        output: Output,
    },
    /// List the revisions; an undo can return to those that were promoted
    History {
        #[command(flatten)]
        of: Named,
        #[command(flatten)]
        output: Output,
    },
    /// Show what differs between two revisions
    Diff {
        #[command(flatten)]
        of: Named,
        /// Numbers of two revisions [default: the one that serves, and the newest]
        #[arg(num_args = 2, value_names = ["REVISION", "REVISION"])]
        revisions: Vec<i64>,
        #[command(flatten)]
        output: Output,
    },
    /// Print the logs of a revision's pods
    Logs(LogsOptions),
    /// Move production to the revision in preview
    Promote {
        #[command(flatten)]
        of: Named,
        /// Skip analyses and gates
        #[arg(long)]
        full: bool,
        /// Hash of the revision to promote [default: the one in preview now]
        #[arg(long, value_name = "HASH")]
        revision: Option<String>,
        #[command(flatten)]
        asking: Asking,
    },
    /// Reject the revision that waits for its promotion, and keep what is active
    Abort {
        #[command(flatten)]
        of: Named,
        /// Hash of the revision to reject [default: the one in preview now]
        #[arg(long, value_name = "HASH")]
        revision: Option<String>,
        #[command(flatten)]
        asking: Asking,
    },
    /// Start a rejected revision over
    Retry {
        #[command(flatten)]
        of: Named,
        #[command(flatten)]
        asking: Asking,
    },
    /// Reject the revision that serves, and move production back. The spec is not changed
    Undo {
        #[command(flatten)]
        of: Named,
        /// Number of the revision to return to; it was promoted before [default: the one that served before]
        #[arg(long, value_name = "NUMBER")]
        to_revision: Option<i64>,
        #[command(flatten)]
        asking: Asking,
    },
    /// Replace the pods of the active revision one by one
    Restart {
        #[command(flatten)]
        of: Named,
        #[command(flatten)]
        asking: Asking,
    },
    /// List step by step what will happen if a manifest is applied, and what it takes; nothing is changed
    Plan {
        /// The manifest of one rollout, alone or among others
        #[arg(short = 'f', long = "file", required = true, value_hint = ValueHint::FilePath)]
        files: Vec<PathBuf>,
    },
    /// Show every rollout in a browser, with buttons for promote, undo and the others, until Ctrl-C
    Dashboard(greenlight_dashboard::local::LocalOptions),
    /// Find out what is wrong with a rollout, why, and the command that fixes it
    Doctor {
        #[command(flatten)]
        of: Named,
        #[command(flatten)]
        output: Output,
    },
    /// Hold back every promotion
    Pause {
        #[command(flatten)]
        of: Named,
        #[command(flatten)]
        change: Change,
    },
    /// Allow promotions again
    Resume {
        #[command(flatten)]
        of: Named,
        #[command(flatten)]
        change: Change,
    },
    /// Change a rollout's spec
    Set {
        #[command(subcommand)]
        what: SetWhat,
    },
    /// Check manifests offline: what the API server would refuse, and what would fail later
    Lint {
        /// Files, folders, or - for standard input; give all that belong together
        #[arg(required = true, value_hint = ValueHint::AnyPath)]
        files: Vec<PathBuf>,
        /// Warnings count as errors
        #[arg(long)]
        strict: bool,
    },
    /// Turn Argo Rollouts, or Deployments with their Services, into BlueGreenRollouts
    Convert {
        /// Files, folders, or - for standard input; give all that belong together
        #[arg(required = true, value_hint = ValueHint::AnyPath)]
        files: Vec<PathBuf>,
        /// Convert only the objects with this name, and the analyses; can be repeated
        #[arg(long, value_name = "NAME")]
        only: Vec<String>,
        /// Write the Argo Rollouts, paused, instead of the converted manifests: they stay beside these until production has moved
        #[arg(long)]
        pause: bool,
    },
    /// Print the version
    Version,
    /// Print the completion script of a shell, or the one for kubectl: a file kubectl_complete-greenlight on the PATH
    Completion {
        /// The shell, or kubectl
        #[arg(value_enum)]
        of: CompletionOf,
    },
    /// Write the manual pages into a folder
    #[command(hide = true)]
    Man {
        /// The folder; it is created if it does not exist
        folder: PathBuf,
    },
    /// Answer kubectl's question for what may come next
    #[command(name = "__complete", hide = true)]
    Complete {
        /// The words so far, the unfinished one last
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
}

/// Which rollout.
#[derive(Clone, Debug, Args)]
pub struct Named {
    /// The rollout
    #[arg(value_parser = object_name)]
    pub name: String,
}

/// What to show.
#[derive(Debug, Subcommand)]
pub enum GetWhat {
    /// A rollout with its revisions, ReplicaSets and pods; without a name, the list
    #[command(visible_aliases = ["rollouts", "bgr"], alias = "bluegreenrollouts", alias = "bluegreenrollout")]
    Rollout {
        /// The rollout
        #[arg(value_parser = object_name, conflicts_with_all = ["labels", "all_namespaces"])]
        name: Option<String>,
        #[command(flatten)]
        list: ListOptions,
    },
}

/// Which rollouts to list, and how.
#[derive(Clone, Debug, Args)]
pub struct ListOptions {
    /// List those of all namespaces
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// List only those with these labels, as in app=web,tier!=test,team in (a,b)
    #[arg(short = 'l', long = "selector", value_name = "LABELS")]
    pub labels: Option<String>,
    /// Keep showing: in place on a terminal, line by line otherwise
    #[arg(short, long)]
    pub watch: bool,
    /// Print more columns, only names, or all facts instead of text for people
    #[arg(short, long, value_enum)]
    pub output: Option<ListFormat>,
}

/// Which logs to print.
#[derive(Clone, Debug, Args)]
pub struct LogsOptions {
    #[command(flatten)]
    pub of: Named,
    /// Print the logs of the revision that serves; this is the default
    #[arg(long, conflicts_with = "preview")]
    pub active: bool,
    /// Print the logs of the revision in preview
    #[arg(long)]
    pub preview: bool,
    /// Print the logs of the revision with this number
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["active", "preview"])]
    pub revision: Option<i64>,
    /// Print new lines as they come, also those of new pods and of containers that begin anew
    #[arg(short, long)]
    pub follow: bool,
    /// Print the logs of the containers before their last restart
    #[arg(short, long, conflicts_with = "follow")]
    pub previous: bool,
    /// Print only the logs of this container
    #[arg(short, long)]
    pub container: Option<String>,
    /// Print only this many lines from the end of each; -1 means all
    #[arg(long, value_name = "LINES", allow_negative_numbers = true)]
    pub tail: Option<i64>,
    /// Print only lines that are not older than this
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub since: Option<Duration>,
}

/// What to set.
#[derive(Debug, Subcommand)]
pub enum SetWhat {
    /// Set another image, which makes a new revision
    Image {
        #[command(flatten)]
        of: Named,
        /// CONTAINER=IMAGE; `*` names every container, also init containers
        #[arg(required = true, value_parser = assignment)]
        images: Vec<(String, String)>,
        #[command(flatten)]
        change: Change,
    },
}

/// How to print.
#[derive(Clone, Copy, Debug, Args)]
pub struct Output {
    /// Print the facts instead of text for people
    #[arg(short, long, value_enum)]
    pub output: Option<Format>,
}

/// A format for machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// JSON
    Json,
    /// YAML
    Yaml,
}

/// A format of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// More columns
    Wide,
    /// Names only, as kubectl takes them
    Name,
    /// JSON
    Json,
    /// YAML
    Yaml,
}

/// What `status` waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Until {
    /// The rollout waits for a person
    Paused,
    /// The revision of the spec serves, confirmed by EndpointSlices
    Promoted,
    /// The rollout is healthy
    Healthy,
}

/// How a request is made, and what is done then.
#[derive(Clone, Debug, Args)]
pub struct Asking {
    #[command(flatten)]
    pub change: Change,
    #[command(flatten)]
    pub wait: Wait,
}

/// Why something is changed, and whether it is.
#[derive(Clone, Debug, Args)]
pub struct Change {
    /// The reason; the rollout keeps it, and others can read it
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub reason: Option<String>,
    /// Change nothing; print whether the API server would accept it, and the steps that would follow
    #[arg(long = "dry-run", value_name = "HOW", num_args = 0..=1, require_equals = true, default_value = "none",
          default_missing_value = "server", value_parser = dry_run, hide_default_value = true)]
    pub dry_run: bool,
}

/// Whether and how long to wait for what comes of a request.
#[derive(Clone, Copy, Debug, Args)]
pub struct Wait {
    /// Make the request, and do not wait for the outcome
    #[arg(long)]
    pub no_wait: bool,
    /// How long to wait for the outcome
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub timeout: Duration,
}

/// What completion is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CompletionOf {
    /// kubectl, in any shell; it also completes names
    Kubectl,
    /// Bash
    Bash,
    /// Elvish
    Elvish,
    /// Fish
    Fish,
    /// PowerShell
    #[value(name = "powershell")]
    PowerShell,
    /// Zsh
    Zsh,
}

fn dry_run(text: &str) -> Result<bool, String> {
    match text {
        "none" => Ok(false),
        "server" => Ok(true),
        _ => Err("write --dry-run or --dry-run=server: what a request would do depends on the cluster".to_owned()),
    }
}

/// Longer than anybody waits, and short enough to be added to the time that it is.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// As kubectl takes it: seconds, or what Go writes.
fn duration(text: &str) -> Result<Duration, String> {
    let duration = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => greenlight_api::analysis::duration(text)?.unsigned_abs(),
    };
    if duration > LONGEST { Err("write a shorter time".to_owned()) } else { Ok(duration) }
}

fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((container, image)) if !container.is_empty() && !image.is_empty() => Ok((container.into(), image.into())),
        _ => Err("write CONTAINER=IMAGE, for instance web=registry.example/web:v2".to_owned()),
    }
}

/// What may stand before a name, as in `bgr/web`, for kubectl and in what `-o name` prints.
const KINDS: [&str; 7] = [
    "rollout",
    "rollouts",
    "bgr",
    "bluegreenrollout",
    "bluegreenrollouts",
    "bluegreenrollout.greenlight.dev",
    "bluegreenrollouts.greenlight.dev",
];

/// The name of a rollout, as Kubernetes has them, with or without the kind before it.
fn object_name(text: &str) -> Result<String, String> {
    let name = match text.split_once('/') {
        Some((kind, name)) if KINDS.contains(&kind) => name,
        Some((kind, _)) => {
            return Err(format!("there are only rollouts here, and no {kind:?}: write NAME, or bgr/NAME"));
        }
        None => text,
    };
    let is_plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-.".contains(letter);
    if name.is_empty() {
        return Err("write the name of a rollout: kubectl greenlight list shows them".to_owned());
    }
    match name.chars().find(|letter| !is_plain(*letter)) {
        Some(letter) => Err(format!("no rollout can have this name: there is a {letter:?} in it")),
        None if name.starts_with(['-', '.']) => {
            Err("no rollout can have this name: it begins with neither a letter nor a digit".to_owned())
        }
        None => Ok(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// The flags of a command and of those below it.
    fn flags(command: &clap::Command) -> Vec<(String, Option<char>)> {
        let own = command.get_arguments().filter_map(|arg| Some((arg.get_long()?.to_owned(), arg.get_short())));
        let below = command.get_subcommands().filter(|below| !below.is_hide_set()).flat_map(flags);
        own.chain(below).collect()
    }

    #[test]
    fn the_page_on_the_plugin_has_every_command_and_every_flag() {
        let page = include_str!("../../../docs/plugin.md");
        let plugin = Options::command();
        for command in plugin.get_subcommands().filter(|command| !command.is_hide_set()) {
            assert!(page.contains(&format!("`{}", command.get_name())), "no command {}", command.get_name());
        }
        for (long, short) in flags(&plugin) {
            let has_short = short.is_some_and(|short| page.contains(&format!("-{short}")));
            assert!(has_short || page.contains(&format!("--{long}")), "no flag --{long}");
        }
    }

    #[test]
    fn what_chose_the_cluster_is_typed_again_and_no_token_is() {
        let typed = |flags: &[&str]| {
            let args = ["kubectl-greenlight", "list"].iter().chain(flags);
            Options::try_parse_from(args).expect("flags").cluster.flags().to_string()
        };
        assert_eq!(typed(&["-n", "shop", "-v", "6"]), "", "the namespace is told with each command");
        assert_eq!(typed(&["--context", "prod", "--token", "s3cret"]), " --context prod");
        let as_them = typed(&["--kubeconfig", "/a b", "--as", "ann", "--as-group", "it's"]);
        assert_eq!(as_them, " --kubeconfig '/a b' --as ann --as-group 'it'\\''s'");
        let odd = typed(&[
            "--context=-n",
            "--server",
            "https://a",
            "--insecure-skip-tls-verify",
            "--as",
            "ann",
            "--as-uid",
            "7",
        ]);
        assert_eq!(odd, " --context=-n --server https://a --insecure-skip-tls-verify --as ann --as-uid 7");
        let again: Vec<&str> = odd.split_whitespace().collect();
        assert_eq!(typed(&again), odd, "it is taken for what it was");
        let args = ["kubectl-greenlight", "list", "--context", "prod", "--as", "ann"];
        let flags = Options::try_parse_from(args).expect("flags").cluster.flags();
        assert_eq!(flags.of_cluster, " --context prod", "who lacks a right does not give it to themselves");
    }

    #[test]
    fn a_name_may_have_its_kind_before_it_and_is_no_path() {
        for text in ["web", "bgr/web", "rollout/web", "bluegreenrollout.greenlight.dev/web"] {
            assert_eq!(object_name(text), Ok("web".to_owned()));
        }
        for (text, told) in [
            ("pod/web", "there are only rollouts here, and no \"pod\": write NAME, or bgr/NAME"),
            ("bgr/web/log", "there is a '/' in it"),
            ("bgr/", "write the name of a rollout"),
            ("", "write the name of a rollout"),
            ("Web", "there is a 'W' in it"),
            ("..", "begins with neither a letter nor a digit"),
        ] {
            assert!(object_name(text).is_err_and(|error| error.contains(told)), "{text}");
        }
    }

    #[test]
    fn durations_are_those_that_kubectl_takes() {
        for (text, milliseconds) in [("0", 0), ("30", 30_000), ("1m30s", 90_000), ("500ms", 500), ("1.5h", 5_400_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "s", "5 minutes", "-1s", "1d", "99999999999999999999h", "18446744073709551615", "1000000h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
