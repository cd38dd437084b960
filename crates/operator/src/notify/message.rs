//! How a notification is written for each kind of sink.

use greenlight_api::text::one_line;
use greenlight_api::{BlueGreenRollout, names};
use kube::Resource;
use serde_json::{Value, json};

use super::Notification;
use super::config::Format;

const RED: &str = "#c62828";
const GREEN: &str = "#2e7d32";

/// A notification as it is sent.
pub struct Message {
    /// That of the notification.
    pub id: String,
    /// Of the body.
    pub content_type: &'static str,
    /// JSON.
    pub body: String,
}

impl Message {
    /// Writes it.
    pub fn of(notification: &Notification, format: Format) -> Message {
        let (content_type, body) = match format {
            Format::Cloudevents => ("application/cloudevents+json", cloud_event(notification)),
            Format::Slack => ("application/json", slack(notification)),
            Format::Teams => ("application/json", teams(notification)),
        };
        Message { id: notification.id.clone(), content_type, body: body.to_string() }
    }
}

/// CloudEvents 1.0, structured content mode.
fn cloud_event(notification: &Notification) -> Value {
    let Notification { id, at, rollout, event } = notification;
    let status = rollout.status.clone().unwrap_or_default();
    let url = BlueGreenRollout::url_path(&(), Some(&rollout.namespace));
    json!({
        "specversion": "1.0",
        "id": id,
        "source": format!("{url}/{}", rollout.name),
        "type": format!("dev.{}.rollout.{}", names::FIELD_MANAGER, event.reason.to_lowercase()),
        "subject": format!("{}/{}", rollout.namespace, rollout.name),
        "time": at.to_string(),
        "datacontenttype": "application/json",
        "data": {
            "namespace": rollout.namespace,
            "rollout": rollout.name,
            "uid": rollout.uid,
            "reason": event.reason,
            "warning": event.warning,
            "message": event.note,
            "by": event.by,
            "image": one_line(&rollout.template.image),
            "updatedRevision": status.updated_revision,
            "activeRevision": status.active_revision,
        },
    })
}

fn headline(notification: &Notification) -> String {
    let Notification { rollout, event, .. } = notification;
    format!("{}/{}: {}", rollout.namespace, rollout.name, event.reason)
}

fn slack(notification: &Notification) -> Value {
    // The three characters that its markup reserves.
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let color = if notification.event.warning { RED } else { GREEN };
    let text = format!("*{}*", escape(&headline(notification)));
    json!({"text": text, "attachments": [{"color": color, "text": escape(&notification.event.note)}]})
}

/// Teams makes links of others' words where they look like Markdown.
fn without_links(text: &str) -> String {
    text.replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]")
}

fn teams(notification: &Notification) -> Value {
    let color = if notification.event.warning { "Attention" } else { "Good" };
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": [
                    {"type": "TextBlock", "weight": "Bolder", "wrap": true, "color": color, "text": headline(notification)},
                    {"type": "TextBlock", "wrap": true, "text": without_links(&notification.event.note)},
                ],
            },
        }],
    })
}
