//! The provider `web`.

use std::time::Duration;

use greenlight_api::analysis::{Header, WebProvider};
use serde_json::Value;
use serde_json_path::JsonPath;

use crate::web_client::{Answer, Question, WebClient};

/// Asks, and picks the result out of the answer.
pub async fn measure(http: &WebClient, web: &WebProvider) -> Result<Value, String> {
    let mut headers = web.headers.clone();
    let body = match (&web.json_body, &web.body) {
        (Some(json), _) => {
            headers.push(Header { key: "content-type".into(), value: "application/json".into() });
            Value::Object(json.clone()).to_string()
        }
        (None, body) => body.clone().unwrap_or_default(),
    };
    let timeout = Duration::from_secs(web.timeout_seconds.unwrap_or(10).unsigned_abs());
    let question = Question {
        method: web.method.unwrap_or_default(),
        url: &web.url,
        headers: &headers,
        body,
        insecure: web.insecure == Some(true),
        timeout,
    };
    let Answer { code, body, .. } = http.ask(&question).await?;
    if !(200..300).contains(&code) {
        return Err(format!("{} answers {code}", web.url));
    }
    pick(&body, web.json_path.as_deref())
}

/// `{$.a}` (as Argo Rollouts and kubectl write it) or `$.a`.
fn pick(body: &str, path: Option<&str>) -> Result<Value, String> {
    let answer = serde_json::from_str(body);
    let Some(path) = path else { return Ok(answer.unwrap_or_else(|_| Value::from(body))) };
    let answer: Value = answer.map_err(|error| format!("the answer is not JSON: {error}"))?;
    let bare = path.trim().trim_start_matches('{').trim_end_matches('}').trim();
    let bare = if bare.starts_with('$') { bare.to_owned() } else { format!("${bare}") };
    let parsed = JsonPath::parse(&bare).map_err(|error| format!("jsonPath {path:?}: {error}"))?;
    let found = parsed.query(&answer).all();
    match found.as_slice() {
        [] => Err(format!("the answer has nothing at {path}")),
        [only] => Ok((*only).clone()),
        several => Ok(several.iter().map(|value| (*value).clone()).collect()),
    }
}
