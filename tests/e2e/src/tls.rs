//! A TLS server of a test: what it needs, as an API server has it.

use std::sync::Arc;

use anyhow::Result;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// A server at 127.0.0.1 that speaks HTTP/2 and HTTP/1.1, with a certificate that it signed itself, and that certificate in PEM.
///
/// # Errors
///
/// If no certificate can be made.
pub fn tls_server() -> Result<(ServerConfig, String)> {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((config, made.cert.pem()))
}
