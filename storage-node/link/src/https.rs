//! TLS for the HTTP API: certificates that strangers' programs understand, where the nodes among themselves have keys.
//!
//! TLS 1.3 alone. X25519MLKEM768 is offered first and the classical groups behind it, because browsers and libraries of
//! clients do not all speak it yet: who records such a connection may read it one day, and nothing of the protocol
//! depends on it, since everything that counts is signed by itself.
//!
//! Left out on purpose: certificates of clients, resumption, the lists of certificate authorities that systems keep.

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// Certificates that a server shows.
const CERTIFICATES_MAX: usize = 64;
/// Certificates that a client trusts: systems keep some 150 authorities.
const ROOTS_MAX: usize = 512;

/// Why certificates or a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Neither a certificate in PEM, or one that is none, or too many.
    #[error("there is no certificate in PEM, or something is wrong with it: {0}")]
    Certificate(String),
    /// No key in PEM, or one of a kind that TLS 1.3 does not sign with.
    #[error("there is no private key in PEM that can be used: {0}")]
    Key(String),
    /// The key is another certificate's.
    #[error("the certificate and the private key do not fit: {0}")]
    Pair(String),
}

impl CertificateError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            CertificateError::Certificate(_) => "tls_certificate",
            CertificateError::Key(_) => "tls_key",
            CertificateError::Pair(_) => "tls_pair",
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    use aws_lc_rs::kx_group::{SECP256R1, X25519, X25519MLKEM768};
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![X25519MLKEM768, X25519, SECP256R1];
    Arc::new(provider)
}

/// Makes connections of those that strangers open.
#[derive(Clone)]
pub struct Acceptor(TlsAcceptor);

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Acceptor")
    }
}

impl Acceptor {
    /// Shows this chain of certificates, the server's own first, and signs with this key; both in PEM.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Acceptor, CertificateError> {
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(certificates).take(CERTIFICATES_MAX).collect();
        let chain = chain.map_err(|error| CertificateError::Certificate(error.to_string()))?;
        if chain.is_empty() {
            return Err(CertificateError::Certificate("the file holds none".to_owned()));
        }
        let key =
            PrivateKeyDer::from_pem_slice(key).map_err(|error| CertificateError::Key(error.to_string()))?;
        let pair = |error: rustls::Error| CertificateError::Pair(error.to_string());
        let mut tls = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(pair)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(pair)?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        tls.max_early_data_size = 0;
        tls.send_tls13_tickets = 0;
        tls.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Acceptor(TlsAcceptor::from(Arc::new(tls))))
    }

    /// A connection whose handshake is made when it is first read: whoever accepts waits for nobody.
    pub fn accept(&self, stream: TcpStream) -> ServerStream {
        ServerStream(State::Shaking(Box::new(self.0.accept(stream))))
    }
}

/// A connection over TLS, from its first byte on.
pub struct ServerStream(State);

enum State {
    Shaking(Box<Accept<TcpStream>>),
    Open(Box<TlsStream<TcpStream>>),
    /// The handshake failed.
    Over,
}

impl ServerStream {
    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<io::Result<&mut TlsStream<TcpStream>>> {
        if let State::Shaking(accept) = &mut self.0 {
            let shaken = ready!(Pin::new(&mut **accept).poll(context));
            self.0 = State::Over;
            self.0 = State::Open(Box::new(shaken?));
        }
        Poll::Ready(match &mut self.0 {
            State::Open(stream) => Ok(stream),
            State::Shaking(_) | State::Over => Err(io::ErrorKind::BrokenPipe.into()),
        })
    }
}

impl AsyncRead for ServerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = ready!(self.poll_open(context))?;
        Pin::new(stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for ServerStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let stream = ready!(self.poll_open(context))?;
        Pin::new(stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = ready!(self.poll_open(context))?;
        Pin::new(stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            State::Open(stream) => Pin::new(&mut **stream).poll_shutdown(context),
            // Nobody is told the end of what never began.
            State::Shaking(_) | State::Over => Poll::Ready(Ok(())),
        }
    }
}

/// What a client trusts: these certificates, in PEM, and none besides.
///
/// # Errors
/// [`CertificateError::Certificate`].
pub fn trusting(certificates: &[u8]) -> Result<TlsConfig, CertificateError> {
    let mut trusted: Vec<Certificate<'static>> = Vec::new();
    for item in parse_pem(certificates).take(ROOTS_MAX) {
        let item = item.map_err(|error| CertificateError::Certificate(error.to_string()))?;
        // A key beside it is somebody's mistake, and nothing to trust.
        if let PemItem::Certificate(certificate) = item {
            trusted.push(certificate);
        }
    }
    if trusted.is_empty() {
        return Err(CertificateError::Certificate("the file holds none".to_owned()));
    }
    Ok(TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(trusted)))
        .unversioned_rustls_crypto_provider(provider())
        .build())
}
