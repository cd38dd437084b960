//! The command line. Every flag can also be given as an environment variable of the same name.

pub mod check;
pub mod demo_app;
pub mod probe;
pub mod remove_finalizers;

use clap::{Parser, Subcommand};

use crate::manager::ControllerOptions;
use check::CheckOptions;
use demo_app::DemoAppOptions;
use probe::ProbeOptions;
use remove_finalizers::RemoveFinalizersOptions;

/// Blue-green releases, natively.
#[derive(Debug, Parser)]
#[command(name = "greenlight", version, about)]
pub struct Options {
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the operator against the cluster of KUBECONFIG, or the one that it runs in
    Controller(ControllerOptions),
    /// Print the CustomResourceDefinitions
    Crd,
    /// Check with this ServiceAccount that everything is there that the operator needs; for `helm test`
    Check(CheckOptions),
    /// Take the operator's finalizers away, so that everything can be deleted without it; for `helm uninstall`
    #[command(alias = "let-go")]
    RemoveFinalizers(RemoveFinalizersOptions),
    /// Evaluate what an analysis measured; the operator calls itself for this
    #[command(hide = true)]
    Evaluate,
    /// Smoke-test a preview; for analysis Jobs
    Probe(ProbeOptions),
    /// Run the example's application: a page that shows its version and colour
    DemoApp(DemoAppOptions),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As of a variable that is set to nothing: in a namespace without a name nothing is ever found, and nobody told why.
    #[test]
    fn a_namespace_has_a_name() {
        for command in ["controller", "check", "remove-finalizers"] {
            let parsed = Options::try_parse_from(["greenlight", command, "--namespace", ""]);
            assert!(parsed.is_err(), "{command}");
        }
    }
}
