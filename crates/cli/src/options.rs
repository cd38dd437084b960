//! The command line.

use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// See and drive blue-green rollouts.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-greenlight",
    bin_name = "kubectl greenlight",
    version,
    about,
    after_help = "Exit codes: 0 done; 1 failed; 2 refused by the operator, or the rollout is degraded; 3 it waits for a \
                  person; 4 no answer in time.\n\n\
                  Examples:\n  kubectl greenlight get rollout web --watch\n  kubectl greenlight promote web\n  \
                  kubectl greenlight undo web --to-revision 3"
)]
pub struct Options {
    #[command(flatten)]
    pub cluster: ClusterOptions,
    #[command(subcommand)]
    pub command: Command,
}

/// Which cluster and namespace, as for kubectl.
#[derive(Clone, Debug, Args)]
pub struct ClusterOptions {
    /// Namespace [default: that of the context]
    #[arg(short, long, global = true)]
    pub namespace: Option<String>,
    /// Context of the kubeconfig
    #[arg(long, global = true)]
    pub context: Option<String>,
    /// Path of the kubeconfig [default: $KUBECONFIG, or ~/.kube/config]
    #[arg(long, global = true)]
    pub kubeconfig: Option<std::path::PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show a rollout: its state, what it needs from you, and its pods
    Get {
        #[command(subcommand)]
        what: GetWhat,
    },
    /// List rollouts
    List {
        /// Of all namespaces
        #[arg(short = 'A', long)]
        all_namespaces: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Wait until a rollout is healthy (0), degraded (2), or waits for a person (3)
    Status {
        /// The rollout
        name: String,
        /// How long to wait; 0s only looks
        #[arg(long, default_value = "10m", value_parser = duration)]
        timeout: Duration,
        #[command(flatten)]
        output: Output,
    },
    /// List the revisions; those that were promoted can be rolled back to
    History {
        /// The rollout
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// Move production to the revision in preview
    Promote {
        /// The rollout
        name: String,
        /// Skip analyses and gates
        #[arg(long)]
        full: bool,
        /// Hash of the revision to promote [default: the one in preview now]
        #[arg(long)]
        revision: Option<String>,
        #[command(flatten)]
        wait: Wait,
    },
    /// Reject the revision that waits for its promotion, and keep what is active
    Abort {
        /// The rollout
        name: String,
        #[command(flatten)]
        wait: Wait,
    },
    /// Start a rejected revision over
    Retry {
        /// The rollout
        name: String,
        #[command(flatten)]
        wait: Wait,
    },
    /// Reject the revision that serves, and move production back. The spec is not changed
    Undo {
        /// The rollout
        name: String,
        /// Number of the revision to go back to; one that was promoted [default: the one that served before]
        #[arg(long)]
        to_revision: Option<i64>,
        #[command(flatten)]
        wait: Wait,
    },
    /// Replace the pods of the active revision one by one
    Restart {
        /// The rollout
        name: String,
        #[command(flatten)]
        wait: Wait,
    },
    /// List step by step what applying a manifest will do, and what it takes; nothing is changed
    Plan {
        /// The manifest of one rollout, alone or among others
        #[arg(short = 'f', long = "file", required = true)]
        files: Vec<std::path::PathBuf>,
    },
    /// Find out what is wrong with a rollout, why, and the command that fixes it
    Doctor {
        /// The rollout
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// Hold back every promotion
    Pause {
        /// The rollout
        name: String,
    },
    /// Allow promotions again
    Resume {
        /// The rollout
        name: String,
    },
    /// Change a rollout's spec
    Set {
        #[command(subcommand)]
        what: SetWhat,
    },
    /// Check manifests offline: what the API server would refuse, and what would fail later
    Lint {
        /// Files, folders, or - for standard input; give all that belong together
        #[arg(required = true)]
        files: Vec<std::path::PathBuf>,
        /// Warnings count as errors
        #[arg(long)]
        strict: bool,
    },
    /// Turn Argo Rollouts, or Deployments with their Services, into BlueGreenRollouts
    Convert {
        /// Files, folders, or - for standard input; give all that belong together
        #[arg(required = true)]
        files: Vec<std::path::PathBuf>,
        /// Convert only what has this name, and the analyses; can be repeated
        #[arg(long, value_name = "NAME")]
        only: Vec<String>,
    },
    /// Print the version
    Version,
    /// Print the completion script of a shell
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// What to show.
#[derive(Debug, Subcommand)]
pub enum GetWhat {
    /// A rollout with its revisions, ReplicaSets and pods
    #[command(visible_alias = "bgr")]
    Rollout {
        /// The rollout
        name: String,
        /// Keep showing it: in place on a terminal, line by line otherwise
        #[arg(short, long)]
        watch: bool,
        #[command(flatten)]
        output: Output,
    },
}

/// What to set.
#[derive(Debug, Subcommand)]
pub enum SetWhat {
    /// Ask for another image: a new revision
    Image {
        /// The rollout
        name: String,
        /// CONTAINER=IMAGE; `*` names every container
        #[arg(required = true, value_parser = assignment)]
        images: Vec<(String, String)>,
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

/// Whether and how long to wait for what comes of a request.
#[derive(Clone, Copy, Debug, Args)]
pub struct Wait {
    /// Only make the request
    #[arg(long)]
    pub no_wait: bool,
    /// How long to wait for what comes of it
    #[arg(long, default_value = "5m", value_parser = duration)]
    pub timeout: Duration,
}

fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| "write a number and s, m or h: 30s, 5m".to_owned())?;
    let seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err("write a number and s, m or h: 30s, 5m".to_owned()),
    };
    Ok(Duration::from_secs(number * seconds))
}

fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((container, image)) if !container.is_empty() && !image.is_empty() => Ok((container.into(), image.into())),
        _ => Err("write CONTAINER=IMAGE, for instance web=registry.example/web:v2".to_owned()),
    }
}
