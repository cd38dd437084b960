//! A smoke test of a preview, for an analysis Job: so that it takes no other image.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use greenlight_api::analysis::{Header, WebMethod};

use crate::web::client::{Answer, Question, WebClient};

/// What to ask, and what to expect.
#[derive(Clone, Debug, Args)]
pub struct ProbeOptions {
    /// Address to ask; can be repeated
    #[arg(long = "url", required = true)]
    urls: Vec<String>,
    /// How often to ask each, at least once
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    requests: u32,
    /// Text that every answer must have in it
    #[arg(long)]
    contains: Option<String>,
    /// Seconds to wait for an answer
    #[arg(long, default_value_t = 5)]
    timeout_seconds: u64,
}

/// Asks, and prints a summary.
///
/// # Errors
/// An answer is missing, is not a success, or lacks the text.
pub async fn run(options: &ProbeOptions) -> Result<()> {
    let client = WebClient::default();
    // A connection that is kept would ask one pod only.
    let headers = [Header { key: "connection".into(), value: "close".into() }];
    let mut failed = 0;
    for url in &options.urls {
        let mut passed = 0;
        for _ in 0..options.requests {
            let question = Question {
                method: WebMethod::Get,
                url,
                shown: url,
                headers: &headers,
                body: String::new(),
                insecure: false,
                timeout: Duration::from_secs(options.timeout_seconds),
                reads: true,
            };
            let problem = match client.ask(&question).await {
                Ok(Answer { code: 200..=299, body, .. }) => match &options.contains {
                    Some(text) if !body.contains(text) => Some(format!("{text:?} is not in the answer")),
                    _ => None,
                },
                Ok(Answer { code, .. }) => Some(format!("it answers {code}")),
                Err(error) => Some(error),
            };
            match problem {
                None => passed += 1,
                Some(problem) => eprintln!("✖ {url}: {problem}"),
            }
        }
        failed += options.requests - passed;
        println!(
            "{} {url}: {passed} of {} passed",
            if passed == options.requests { "✔" } else { "✖" },
            options.requests
        );
    }
    if failed > 0 {
        bail!("{failed} requests failed");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Called {
        #[command(flatten)]
        options: ProbeOptions,
    }

    #[test]
    fn a_smoke_test_that_asks_nothing_is_none() {
        let with = |requests: &str| Called::try_parse_from(["probe", "--url=http://shop", "--requests", requests]);
        assert_eq!(with("1").map(|called| called.options.requests).ok(), Some(1));
        assert!(with("0").is_err());
    }
}
