//! Facts for machines.

use anyhow::Result;
use serde::Serialize;

use crate::options::Format;

/// Prints anything for machines.
pub fn print_facts(facts: &impl Serialize, format: Format) -> Result<()> {
    match format {
        Format::Json => println!("{}", serde_json::to_string_pretty(facts)?),
        // By way of JSON values, so that both formats have the same keys.
        Format::Yaml => print!("{}", serde_saphyr::to_string(&serde_json::to_value(facts)?)?),
    }
    Ok(())
}
