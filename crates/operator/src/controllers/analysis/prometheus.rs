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
        reads: true,
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
    result(&answer["data"])
}

/// What a query gives.
fn result(data: &Value) -> Result<Value, String> {
    match data["resultType"].as_str() {
        Some("scalar") => number(&data["result"]),
        Some("vector") => {
            data["result"].as_array().into_iter().flatten().map(|sample| number(&sample["value"])).collect()
        }
        kind => {
            Err(format!("the query gives a {}: write one that gives a vector or a scalar", kind.unwrap_or("nothing")))
        }
    }
}

/// Of a pair of time and number.
fn number(sample: &Value) -> Result<Value, String> {
    let Some(text) = sample[1].as_str() else {
        // A sample of a native histogram has none. As no number it would be good for a condition that only says what is bad.
        return Err("the query gives histograms: write one that gives numbers, by histogram_quantile() say".to_owned());
    };
    Ok(match text.parse::<f64>() {
        Ok(number) if number.is_finite() => number.into(),
        _ => text.into(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_result_is_numbers_and_words_for_what_is_none_and_nothing_else() {
        let result = |kind: &str, of: Value| result(&json!({"resultType": kind, "result": of}));
        assert_eq!(result("scalar", json!([1.5, "0.25"])), Ok(json!(0.25)));
        let vector = json!([{"metric": {}, "value": [1.5, "1"]}, {"metric": {}, "value": [1.5, "NaN"]}]);
        assert_eq!(result("vector", vector), Ok(json!([1.0, "NaN"])));
        assert_eq!(result("vector", json!([])), Ok(json!([])));
        let histogram = json!([{"metric": {}, "histogram": [1.5, {"count": "3", "sum": "2", "buckets": []}]}]);
        for (kind, of, words) in [
            ("vector", histogram, "gives histograms"),
            ("matrix", json!([]), "gives a matrix"),
            ("string", json!([1.5, "1"]), "gives a string"),
        ] {
            let told = result(kind, of).expect_err(kind);
            assert!(told.contains(words) && told.contains("write one that gives"), "{told}");
        }
    }
}
