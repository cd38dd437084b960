//! The project's own chores. `cargo xtask --help` lists them.

mod bench;
mod contract;
mod demo;
mod generate;
mod image;
mod imports;
mod instructions;
mod licences;
mod mends;
mod prove;
mod reference;
mod shell;
mod site;
mod soak;
mod source;
mod storm;
mod test;
mod values;
mod workflows;

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use clap::{Parser, Subcommand};
use greenlight_test_cluster::Cluster;

/// Greenlight's chores.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Options {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Take the example through a whole release on a control plane of its own
    Demo {
        /// Stay up afterwards, to play with
        #[arg(long)]
        keep: bool,
    },
    /// Run every check and test
    Test(test::TestOptions),
    /// Build the image without a container engine, as an OCI archive
    Image {
        /// Its name
        #[arg(long, default_value = "docker.io/library/greenlight:0.1.0")]
        name: String,
        /// Where to write it
        #[arg(long, default_value = "target/image/greenlight.tar")]
        out: PathBuf,
        /// Cross-compile it for this kind of machine, by cargo-zigbuild (docs/quick-start.md installs it): aarch64
        #[arg(long)]
        arch: Option<String>,
    },
    /// Pack the optimised plugin for krew: an archive, and the manifest of all archives in the folder
    Krew {
        /// The folder
        #[arg(long, default_value = "target/krew")]
        out: PathBuf,
    },
    /// Build every pinned tool that the tests use
    Tools {
        /// Only the control plane of this version of Kubernetes: 1.33
        #[arg(long, value_name = "MINOR")]
        kubernetes: Option<String>,
    },
    /// Write the generated files (CRDs, plain manifests, references, the table of values) anew
    Generate {
        /// Only check that they are current
        #[arg(long)]
        check: bool,
    },
    /// Check the links of the documents, and build them as a site with search
    Site {
        /// Only check
        #[arg(long)]
        check: bool,
    },
    /// Check the workflows of GitHub Actions, and that the versions of a release agree
    Workflows,
    /// Search the core for a history that breaks a promise; `prove --help` lists its options
    Prove {
        /// Options of the search
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// Plant faults into the core, one at a time, and see that the search finds each
    Mutants {
        /// Options of the search
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// Take the mends of the operator out of a copy, one at a time, and see that the test of each fails
    Mends(mends::MendsOptions),
    /// Count the instructions of plans, of decoding and of encoding
    Instructions,
    /// Run releases on a real API server while everything between it and the operator goes wrong
    Storm(storm::StormOptions),
    /// Start a control plane with the CRDs, and keep it up until Ctrl-C
    Cluster,
    /// Measure the operator: CPU, memory, API requests and switch latency of many rollouts
    Bench(bench::BenchOptions),
    /// See whether the memory of the operator and of a standby grows: release after release, and a day of events
    Soak(soak::SoakOptions),
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        match Options::parse().chore {
            Chore::Demo { keep } => demo::run(keep).await,
            Chore::Test(options) => test::run(&options),
            Chore::Image { name, out, arch } => image::archive(&name, &out, arch.as_deref()),
            Chore::Krew { out } => {
                let plugin = shell::build_binaries(true)?.join("kubectl-greenlight");
                shell::run(Command::new(shell::root().join("deploy/krew/pack.sh")).arg(plugin).arg(out))
            }
            Chore::Tools { kubernetes: Some(minor) } => greenlight_test_cluster::ensure_control_plane(&minor).map(drop),
            Chore::Tools { kubernetes: None } => test::tools(),
            Chore::Generate { check } => generate::run(check),
            Chore::Site { check } => site::run(check),
            Chore::Workflows => workflows::check(),
            Chore::Prove { options } => prove::run("prove", &options),
            Chore::Mutants { options } => prove::run("mutants", &options),
            Chore::Instructions => instructions::run(),
            Chore::Storm(options) => storm::run(&options),
            Chore::Cluster => keep_cluster().await,
            Chore::Mends(options) => mends::run(&options),
            Chore::Bench(options) => bench::run(options).await,
            Chore::Soak(options) => soak::run(options).await,
        }
    })
}

async fn keep_cluster() -> Result<()> {
    let cluster = Cluster::start().await?;
    cluster.install_crds(&generate::crds()?)?;
    println!("export KUBECONFIG={}", cluster.kubeconfig().display());
    eprintln!("Up, with the CRDs; the operator is not running. Ctrl-C ends it.");
    shell::interrupted().await?;
    cluster.stop();
    Ok(())
}
