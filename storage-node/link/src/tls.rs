//! TLS 1.3 with one group, one signature scheme, raw public keys, and nothing that outlives a connection.

use crate::error::{ConnectError, Refusal, close};
use crate::key::{TransportKey, key_in_spki, node_of};
use crate::pins::Pins;
use dsm_abi::Digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::{
    AlertDescription, CertificateError, DigitallySignedStruct, DistinguishedName, PeerIncompatible,
    SignatureScheme,
};
use std::sync::Arc;

/// The protocol and its version, as TLS negotiates it (ALPN).
pub(crate) const PROTOCOL: &[u8] = b"dsm/1";
/// TLS wants a name; keys are what is checked.
pub(crate) const SERVER_NAME: &str = "dsm";

/// The provider with X25519MLKEM768 as its only group: a peer without it fails the handshake.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519MLKEM768];
    Arc::new(provider)
}

/// What the server end of TLS is.
pub(crate) fn server(key: &TransportKey, pins: &Pins) -> Result<quinn::ServerConfig, rustls::Error> {
    let provider = provider();
    let verifier = Arc::new(PinnedClient { pins: pins.clone(), signatures: Signatures(provider.clone()) });
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(key.certified())));
    tls.alpn_protocols = vec![PROTOCOL.to_vec()];
    tls.max_early_data_size = 0;
    tls.send_tls13_tickets = 0;
    tls.session_storage = Arc::new(NoServerSessionStorage {});
    let tls = quinn::crypto::rustls::QuicServerConfig::try_from(tls).map_err(no_initial_suite)?;
    Ok(quinn::ServerConfig::with_crypto(Arc::new(tls)))
}

/// What the client end of TLS is, for connections to one node.
pub(crate) fn client(
    key: &TransportKey,
    pins: &Pins,
    expected: Digest,
) -> Result<quinn::ClientConfig, rustls::Error> {
    let provider = provider();
    let signatures = Signatures(provider.clone());
    let verifier = Arc::new(PinnedServer { pins: pins.clone(), expected, signatures });
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(key.certified())));
    tls.alpn_protocols = vec![PROTOCOL.to_vec()];
    tls.enable_early_data = false;
    tls.enable_sni = false;
    tls.resumption = Resumption::disabled();
    let tls = quinn::crypto::rustls::QuicClientConfig::try_from(tls).map_err(no_initial_suite)?;
    let mut client = quinn::ClientConfig::new(Arc::new(tls));
    client.token_store(Arc::new(quinn::NoneTokenStore));
    Ok(client)
}

fn no_initial_suite(error: quinn::crypto::rustls::NoInitialCipherSuite) -> rustls::Error {
    rustls::Error::General(error.to_string())
}

/// The node whose key the other end proved.
pub(crate) fn peer_of(connection: &quinn::Connection) -> Option<Digest> {
    let shown = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    key_in_spki(shown.first()?).map(node_of)
}

/// Checks signatures over handshakes: ML-DSA-65 and nothing else.
#[derive(Debug)]
struct Signatures(Arc<CryptoProvider>);

impl Signatures {
    fn verify(
        &self,
        message: &[u8],
        spki: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if signed.scheme != SignatureScheme::ML_DSA_65 {
            return Err(CertificateError::BadSignature.into());
        }
        let spki = SubjectPublicKeyInfoDer::from(spki.as_ref());
        verify_tls13_signature_with_raw_key(message, &spki, signed, &self.0.signature_verification_algorithms)
    }
}

fn not_pinned() -> rustls::Error {
    CertificateError::ApplicationVerificationFailure.into()
}

fn no_tls_1_2() -> rustls::Error {
    rustls::Error::PeerIncompatible(PeerIncompatible::Tls13RequiredForQuic)
}

#[derive(Debug)]
struct PinnedClient {
    pins: Pins,
    signatures: Signatures,
}

impl ClientCertVerifier for PinnedClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let node = key_in_spki(end_entity).map(node_of).ok_or_else(not_pinned)?;
        if self.pins.contains(&node) { Ok(ClientCertVerified::assertion()) } else { Err(not_pinned()) }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(no_tls_1_2())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        spki: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signatures.verify(message, spki, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ML_DSA_65]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct PinnedServer {
    pins: Pins,
    expected: Digest,
    signatures: Signatures,
}

impl ServerCertVerifier for PinnedServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let node = key_in_spki(end_entity).map(node_of).ok_or_else(not_pinned)?;
        let pinned = node == self.expected && self.pins.contains(&node);
        if pinned { Ok(ServerCertVerified::assertion()) } else { Err(not_pinned()) }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(no_tls_1_2())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        spki: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signatures.verify(message, spki, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ML_DSA_65]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// The TLS alert within an error code of QUIC (RFC 9001, 4.8).
fn alert(code: quinn::TransportErrorCode) -> Option<AlertDescription> {
    let code = u64::from(code);
    (0x100..0x200).contains(&code).then(|| AlertDescription::from((code & 0xff) as u8))
}

/// What ended a handshake that a client began.
pub(crate) fn refusal_of(error: &quinn::ConnectionError) -> Refusal {
    use quinn::ConnectionError as E;
    match error {
        E::TransportError(error) => match alert(error.code) {
            Some(AlertDescription::AccessDenied) => Refusal::UnknownKey,
            Some(AlertDescription::CertificateRequired) => Refusal::NoKey,
            Some(AlertDescription::NoApplicationProtocol) => Refusal::OtherProtocol,
            // Two reasons have one alert; rustls's own words for them are compared with what quinn passes on.
            Some(AlertDescription::HandshakeFailure) => {
                let is = |reason| error.reason == rustls::Error::PeerIncompatible(reason).to_string();
                if is(PeerIncompatible::NoKxGroupsInCommon) {
                    Refusal::NoCommonGroup
                } else if is(PeerIncompatible::IncorrectCertificateTypeExtension) {
                    Refusal::NoKey
                } else {
                    Refusal::BadHandshake
                }
            }
            _ => Refusal::BadHandshake,
        },
        E::TimedOut => Refusal::TimedOut,
        E::ConnectionClosed(_) | E::ApplicationClosed(_) | E::Reset | E::LocallyClosed => Refusal::Aborted,
        E::VersionMismatch | E::CidsExhausted => Refusal::BadHandshake,
    }
}

/// What ended a handshake that this end began.
pub(crate) fn connect_error_of(error: quinn::ConnectionError, expected: Digest) -> ConnectError {
    use quinn::ConnectionError as E;
    match &error {
        E::TransportError(error) if alert(error.code) == Some(AlertDescription::AccessDenied) => {
            ConnectError::WrongKey(expected)
        }
        E::ConnectionClosed(end) if end.error_code == quinn::TransportErrorCode::CONNECTION_REFUSED => {
            ConnectError::Busy
        }
        E::ConnectionClosed(end) => match alert(end.error_code) {
            Some(AlertDescription::AccessDenied) => ConnectError::UnknownThere,
            Some(AlertDescription::NoApplicationProtocol) => ConnectError::OtherProtocol,
            Some(AlertDescription::HandshakeFailure) => ConnectError::Incompatible,
            _ => ConnectError::Closed(error.into()),
        },
        E::ApplicationClosed(end) if end.error_code == close::BUSY.into() => ConnectError::Busy,
        E::TimedOut => ConnectError::TimedOut,
        _ => ConnectError::Closed(error.into()),
    }
}
