//! Not written yet in this commit.
use anyhow::Result;

#[derive(clap::Args)]
pub(crate) struct BenchOptions {
    /// How many rollouts
    #[arg(long, default_value_t = 1000)]
    rollouts: usize,
}

pub(crate) async fn run(options: BenchOptions) -> Result<()> {
    anyhow::bail!("the benchmark of {} rollouts is not written yet", options.rollouts)
}
