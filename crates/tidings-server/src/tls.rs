//! TLS for every connection: the certificate of the moment, which a reload may change.

use std::sync::Arc;

use anyhow::Context;
use arc_swap::ArcSwap;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config;

/// Protocols offered in the handshake, the better one first.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

#[derive(Debug)]
pub(crate) struct Tls {
    server: ArcSwap<ServerConfig>,
}

impl Tls {
    /// Nothing, when the settings name no certificate.
    pub(crate) fn load(settings: &config::Tls) -> anyhow::Result<Option<Self>> {
        let server = server_config(settings)?;
        Ok(server.map(|server| Self { server: ArcSwap::from(server) }))
    }

    /// Takes the files as they are now; on an error the old certificate stays.
    pub(crate) fn reload(&self, settings: &config::Tls) -> anyhow::Result<()> {
        if let Some(server) = server_config(settings)? {
            self.server.store(server);
        }
        Ok(())
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.server.load_full())
    }
}

fn server_config(settings: &config::Tls) -> anyhow::Result<Option<Arc<ServerConfig>>> {
    let (Some(cert), Some(key)) = (&settings.cert, &settings.key) else { return Ok(None) };
    let certificates = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("tls.cert: {cert} cannot be read as certificates in PEM form"))?;
    anyhow::ensure!(!certificates.is_empty(), "tls.cert: {cert} has no certificate");
    let key_der = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("tls.key: {key} cannot be read as a private key in PEM form"))?;
    let mut server = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .context("the TLS library does not support its own defaults")?
        .with_no_client_auth()
        .with_single_cert(certificates, key_der)
        .with_context(|| format!("tls: {key} is not the key of {cert}"))?;
    server.alpn_protocols = ALPN.map(<[u8]>::to_vec).into();
    Ok(Some(Arc::new(server)))
}
