//! The project's own chores. `cargo xtask` lists them.

use anyhow::Result;

#[tokio::main]
async fn main() -> Result<()> {
    let cluster = greenlight_test_cluster::Cluster::start().await?;
    println!("export KUBECONFIG={}", cluster.kubeconfig().display());
    tokio::signal::ctrl_c().await?;
    cluster.stop();
    Ok(())
}
