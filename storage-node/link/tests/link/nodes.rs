//! Honest nodes with their echo, and intruders that are quinn without our rules.

use dsm_abi::Digest;
use dsm_crypto::SecretKey;
use dsm_link::{Connection, Endpoint, LinkConfig, LinkMetrics, Pins, Refusal, TransportKey};
use quinn::crypto::rustls::QuicClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime, alg_id};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SigningKey, public_key_to_spki};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Against hanging only; nothing here takes that long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Fails the test instead of hanging.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// Waits until something is counted.
pub(crate) async fn until(what: &str, endpoint: &Endpoint, counted: impl Fn(&LinkMetrics) -> bool) {
    let poll = async {
        while !counted(&endpoint.metrics()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, poll).await;
    assert!(waited.is_ok(), "{what}: {:#?}", endpoint.metrics());
}

/// The key of the node with this number.
pub(crate) fn secret(number: u8) -> SecretKey {
    SecretKey::ml_dsa_65(&[number; 32]).unwrap()
}

pub(crate) fn key(number: u8) -> TransportKey {
    TransportKey::ml_dsa_65(&secret(number)).unwrap()
}

pub(crate) fn loopback() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// A set with the keys of these nodes.
pub(crate) fn pins(numbers: &[u8]) -> Pins {
    let pins = Pins::new();
    for number in numbers {
        pins.allow(key(*number).public_key()).unwrap();
    }
    pins
}

/// A node with a number, which speaks with those of `known`.
pub(crate) fn node(number: u8, known: &[u8], config: LinkConfig) -> Endpoint {
    Endpoint::bind(loopback(), &key(number), pins(known), config).unwrap()
}

/// Short times, so that the slow ones are caught while the test runs; long enough for honest ones on a busy machine.
pub(crate) fn impatient() -> LinkConfig {
    LinkConfig {
        frame_deadline: Duration::from_secs(5),
        rate_bytes_per_second_min: 1 << 20,
        frame_bytes_max: 1 << 20,
        frames_underway_bytes_max: 4 << 20,
        ..LinkConfig::default()
    }
}

pub(crate) const SERVER: u8 = 1;
pub(crate) const HONEST: u8 = 2;
/// Pinned at the server like the honest node, but in the hands of an intruder.
pub(crate) const TRAITOR: u8 = 3;
pub(crate) const STRANGER: u8 = 4;

/// A server that echoes frames, and an honest node that is connected to it all the time.
pub(crate) struct Scene {
    pub(crate) server: Endpoint,
    pub(crate) honest: Endpoint,
    pub(crate) connection: Connection,
}

impl Scene {
    pub(crate) async fn new(config: LinkConfig) -> Scene {
        let server = node(SERVER, &[HONEST, TRAITOR], config);
        tokio::spawn(echo(server.clone()));
        let honest = node(HONEST, &[SERVER, TRAITOR], LinkConfig::default());
        let connection = soon("connect", honest.connect(server.local_addr().unwrap(), server.node())).await;
        let scene = Scene { server, honest, connection: connection.unwrap() };
        scene.still_works().await;
        scene
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.local_addr().unwrap()
    }

    /// The honest node is served: on its old connection and on a new one.
    pub(crate) async fn still_works(&self) {
        soon("the old connection", exchange(&self.connection, b"still there")).await;
        let again = soon("connect again", self.honest.connect(self.address(), self.server.node())).await;
        let again = again.expect("an honest node connects");
        soon("a new connection", exchange(&again, &vec![7; 100_000])).await;
    }

    pub(crate) async fn refused(&self, reason: Refusal, times: u64) {
        until(reason.code(), &self.server, |metrics| metrics.refused(reason) >= times).await;
        assert!(self.server.recent_refusals().iter().any(|recent| recent.reason == reason));
    }
}

/// One frame there and back on a stream of its own.
pub(crate) async fn exchange(connection: &Connection, frame: &[u8]) {
    let mut stream = connection.open_stream().await.unwrap();
    stream.send(frame.to_vec()).await.unwrap();
    assert_eq!(stream.recv().await.unwrap(), frame);
    stream.finish();
}

/// Sends every frame back, for everybody who is let in.
pub(crate) async fn echo(server: Endpoint) {
    while let Some(connection) = server.accept().await {
        tokio::spawn(async move {
            while let Ok(mut stream) = connection.accept_stream().await {
                tokio::spawn(async move {
                    while let Ok(frame) = stream.recv().await {
                        if stream.send(frame).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
    }
}

/// A client that keeps to TLS and QUIC, and to nothing else that it is not told to.
pub(crate) struct Intruder {
    pub(crate) group: &'static dyn SupportedKxGroup,
    pub(crate) protocol: &'static [u8],
    pub(crate) shows: Shows,
    pub(crate) early_data: bool,
}

/// What an intruder shows as its key.
pub(crate) enum Shows {
    /// Raw public keys are not even spoken of.
    NoExtension,
    /// A raw public key is promised and not shown.
    Nothing,
    /// The first key is shown, the second one signs.
    Key(u8, u8),
}

impl Default for Intruder {
    fn default() -> Intruder {
        Intruder {
            group: aws_lc_rs::kx_group::X25519MLKEM768,
            protocol: b"dsm/1",
            shows: Shows::Key(TRAITOR, TRAITOR),
            early_data: false,
        }
    }
}

pub(crate) fn provider(group: &'static dyn SupportedKxGroup) -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![group];
    Arc::new(provider)
}

/// What TLS shows and signs with: the key of one node, and the signature of another.
pub(crate) fn certified(shown: u8, signs: u8) -> Arc<CertifiedKey> {
    let spki = public_key_to_spki(&alg_id::ML_DSA_65, key(shown).public_key());
    Arc::new(CertifiedKey::new(vec![spki.to_vec().into()], signing_key(signs)))
}

fn signing_key(number: u8) -> Arc<dyn SigningKey> {
    // RFC 9881's seed form: the seed stands last in the encoding.
    let mut pkcs8 =
        b"\x30\x34\x02\x01\x00\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x12\x04\x22\x80\x20".to_vec();
    pkcs8.extend_from_slice(&[number; 32]);
    aws_lc_rs::sign::any_supported_type(&PrivatePkcs8KeyDer::from(pkcs8).into()).unwrap()
}

impl Intruder {
    pub(crate) fn config(&self) -> quinn::ClientConfig {
        let raw = !matches!(self.shows, Shows::NoExtension);
        let tls = rustls::ClientConfig::builder_with_provider(provider(self.group))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServer { raw }));
        let mut tls = match self.shows {
            Shows::NoExtension => tls.with_no_client_auth(),
            Shows::Nothing => tls.with_client_cert_resolver(Arc::new(ShowsNothing)),
            Shows::Key(shown, signs) => {
                let key = certified(shown, signs);
                tls.with_client_cert_resolver(Arc::new(
                    rustls::client::AlwaysResolvesClientRawPublicKeys::new(key),
                ))
            }
        };
        tls.alpn_protocols = vec![self.protocol.to_vec()];
        tls.enable_early_data = self.early_data;
        let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
        let mut transport = quinn::TransportConfig::default();
        transport.max_idle_timeout(Some(PATIENCE.try_into().unwrap()));
        config.transport_config(Arc::new(transport));
        config
    }

    /// Connects as far as TLS lets it, which says nothing about what the server thinks.
    pub(crate) async fn connect(
        &self,
        address: SocketAddr,
    ) -> Result<(quinn::Endpoint, quinn::Connection), quinn::ConnectionError> {
        let endpoint = quinn::Endpoint::client(loopback()).unwrap();
        let connecting = endpoint.connect_with(self.config(), address, "dsm").unwrap();
        let connection = soon("an intruder's handshake", connecting).await?;
        Ok((endpoint, connection))
    }

    /// Connects, and returns why it did not last.
    pub(crate) async fn thrown_out(&self, address: SocketAddr) -> quinn::ConnectionError {
        match self.connect(address).await {
            Ok((_endpoint, connection)) => soon("being thrown out", connection.closed()).await,
            Err(error) => error,
        }
    }
}

#[derive(Debug)]
struct AnyServer {
    raw: bool,
}

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ML_DSA_65, SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.raw
    }
}

/// Takes every key.
#[derive(Debug)]
pub(crate) struct AnyClient;

impl ClientCertVerifier for AnyClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ML_DSA_65]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct ShowsNothing;

impl rustls::client::ResolvesClientCert for ShowsNothing {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn only_raw_public_keys(&self) -> bool {
        true
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// The node with this number.
pub(crate) fn id(number: u8) -> Digest {
    key(number).node()
}
