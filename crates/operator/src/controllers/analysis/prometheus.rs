//! The provider `prometheus`.

use std::time::Duration;

use greenlight_api::analysis::PrometheusProvider;
use serde_json::Value;

use super::arguments::Secrets;
use crate::web::client::{Answer, Question, WebClient};

/// Makes an instant query. A vector is a list of numbers, a scalar a number; NaN and infinity are the words for them. `shown` is the query as
/// it is written, which messages name.
pub async fn measure(
    http: &WebClient,
    prometheus: &PrometheusProvider,
    shown: &PrometheusProvider,
    secrets: &Secrets,
) -> Result<Value, String> {
    let query: String = form_urlencoded::byte_serialize(prometheus.query.as_bytes()).collect();
    let url = format!("{}/api/v1/query?query={query}", prometheus.address.trim_end_matches('/'));
    let question = Question {
        method: Default::default(),
        url: &url,
        shown: &shown.address,
        headers: &prometheus.headers,
        body: String::new(),
        insecure: prometheus.insecure == Some(true),
        timeout: Duration::from_secs(prometheus.timeout.unwrap_or(30).unsigned_abs()),
    };
    let Answer { code, body, .. } = http.ask(&question).await?;
    let answer: Value = serde_json::from_str(&body).unwrap_or_default();
    if answer["status"] != "success" {
        let why = match answer["error"].as_str() {
            // It quotes what it was asked.
            Some(_) if !secrets.is_empty() => "its reason is not shown, since the question has a secret in it",
            Some(why) => why,
            None => "no reason given",
        };
        return Err(format!("Prometheus answers {code}: {why}"));
    }
    let data = &answer["data"];
    match data["resultType"].as_str() {
        Some("scalar") => Ok(number(&data["result"])),
        Some("vector") => {
            Ok(data["result"].as_array().into_iter().flatten().map(|sample| number(&sample["value"])).collect())
        }
        kind => {
            Err(format!("the query gives a {}: write one that gives a vector or a scalar", kind.unwrap_or("nothing")))
        }
    }
}

/// Of a pair of time and number.
fn number(sample: &Value) -> Value {
    let text = sample[1].as_str().unwrap_or("NaN");
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => number.into(),
        _ => text.into(),
    }
}
