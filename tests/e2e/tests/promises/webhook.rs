//! A webhook that changes objects as they are created, as meshes and mirrors have them.

use std::sync::Arc;

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use greenlight_e2e::{Lab, cluster, tls_server};
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// What it changes of an object, as a JSON patch.
type Change = fn(&Value) -> Value;

/// It is asked as long as this is there.
pub struct Webhook {
    configuration: String,
    task: JoinHandle<()>,
}

impl Webhook {
    /// From now on each of these objects in the namespace of this lab is changed so. It takes the API server a moment to know.
    pub async fn start(lab: &Lab, group: &str, resource: &str, change: Change) -> Webhook {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("https://{}/", listener.local_addr().expect("an address"));
        let (tls, certificate) = tls_server().expect("a certificate");
        let tls = TlsAcceptor::from(Arc::new(tls));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream, tls.clone(), change));
            }
        });
        let configuration = format!("{}-{resource}", lab.namespace);
        let object = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": configuration},
            "webhooks": [{
                "name": "rewrites.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"], "failurePolicy": "Fail",
                "clientConfig": {"url": url, "caBundle": STANDARD.encode(certificate)},
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": lab.namespace}},
                "rules": [{"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": [resource]}],
            }],
        });
        lab.apply(&object).expect("applied");
        Webhook { configuration, task }
    }
}

/// Without its server nothing could be created.
impl Drop for Webhook {
    fn drop(&mut self) {
        drop(cluster().kubectl(&["delete", "mutatingwebhookconfiguration", &self.configuration]));
        self.task.abort();
    }
}

async fn connection(stream: TcpStream, tls: TlsAcceptor, change: Change) {
    let Ok(stream) = tls.accept(stream).await else { return };
    let service = service_fn(move |request| answer(request, change));
    let server = auto::Builder::new(TokioExecutor::new());
    drop(server.serve_connection(TokioIo::new(stream), service).await);
}

async fn answer(request: Request<Incoming>, change: Change) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    let review: Value = serde_json::from_slice(&body).unwrap_or_default();
    let asked = &review["request"];
    let patch = STANDARD.encode(change(&asked["object"]).to_string());
    let answer = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "response": {"uid": asked["uid"], "allowed": true, "patchType": "JSONPatch", "patch": patch},
    });
    let answer = Response::builder()
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(answer.to_string())));
    Ok(answer.expect("an answer"))
}
