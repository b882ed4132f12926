//! Evidence packages over HTTP: what a client is given is what the node cuts.

use crate::server::Server;
use crate::world::sign;
use dsm_abi::TransitionId;
use dsm_sdk::evidence::EvidencePackage;

#[test]
fn a_client_is_given_the_package_or_told_why_not() {
    let server = Server::new();
    let client = server.client();
    let payment = client.submit(&sign(server.world.transfer(10), &[&server.world.alice])).unwrap().transition;
    let code = |asked: &[TransitionId]| client.evidence(asked, false).unwrap_err().code().to_owned();
    assert_eq!(code(&[payment]), "no_checkpoint");
    client.take_checkpoint().unwrap();
    let later = client.submit(&sign(server.world.transfer(11), &[&server.world.alice])).unwrap().transition;
    let rows: [(&[TransitionId], &str); 3] =
        [(&[later], "not_checkpointed"), (&[TransitionId([7; 32])], "not_found"), (&[], "malformed_request")];
    for (asked, expected) in rows {
        assert_eq!(code(asked), expected);
    }
    for whole in [false, true] {
        let bytes = client.evidence(&[payment], whole).unwrap();
        let package = EvidencePackage::decode(&bytes).unwrap();
        assert_eq!(package, server.world.node.evidence(&[payment], whole).unwrap());
    }
}
