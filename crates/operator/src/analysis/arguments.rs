//! Arguments: `{{args.name}}` in a metric.

use greenlight_api::analysis::{Argument, Metric};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use serde_json::{Value, json};

/// Puts the values into every text of a JSON value. What has no value stays.
pub fn fill(value: &mut Value, values: &[(String, String)]) {
    match value {
        Value::String(text) => {
            for (name, value) in values {
                for spelling in [format!("{{{{args.{name}}}}}"), format!("{{{{ args.{name} }}}}")] {
                    if text.contains(&spelling) {
                        *text = text.replace(&spelling, value);
                    }
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, values)),
        Value::Object(map) => map.values_mut().for_each(|item| fill(item, values)),
        _ => {}
    }
}

/// The metric with the values of its secret arguments, which are written nowhere.
pub async fn with_secrets(
    client: &Client,
    namespace: &str,
    arguments: &[Argument],
    metric: &Metric,
) -> Result<Metric, String> {
    let mut json = json!(metric);
    let mut values = Vec::new();
    for argument in arguments {
        let secret = argument.value_from.as_ref().and_then(|from| from.secret_key_ref.as_ref());
        let used = json.to_string().contains(&format!("args.{}", argument.name));
        let Some(secret) = secret.filter(|_| used) else { continue };
        let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
        let read = api.get(&secret.name).await.map_err(|error| unreadable(&secret.name, &error))?;
        let bytes = read.data.and_then(|mut data| data.remove(&secret.key));
        let bytes = bytes.ok_or_else(|| format!("Secret {} has no key {}", secret.name, secret.key))?;
        let text =
            String::from_utf8(bytes.0).map_err(|_| format!("Secret {}: {} is not text", secret.name, secret.key))?;
        values.push((argument.name.clone(), text.trim_end_matches('\n').to_owned()));
    }
    fill(&mut json, &values);
    serde_json::from_value(json).map_err(|error| error.to_string())
}

fn unreadable(secret: &str, error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 403 => {
            format!("the operator may not read Secret {secret}. Install its chart with analysis.readSecrets=true")
        }
        _ => format!("Secret {secret}: {error}"),
    }
}
