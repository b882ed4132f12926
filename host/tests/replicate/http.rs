//! The same over HTTP: levels in a query, the topology's routes, its events and metrics.

use crate::cluster::{Cluster, SHORTFALL, Storage};
use crate::world;
use dsm_sdk::client::{Client, ClientError};
use dsm_sdk::receipt::Durability;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

/// Serves the API of a cluster's core node for as long as the cluster lives.
fn serve(cluster: &Cluster) -> (SocketAddr, Client) {
    let listener = cluster.runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let node = cluster.world.node.clone();
    cluster.runtime.spawn(async move {
        dsm_host::api::serve(node, listener, std::future::pending()).await.unwrap();
    });
    (address, Client::new(&format!("http://{address}")).unwrap())
}

fn code(error: &ClientError) -> (&str, u16) {
    let ClientError::Problem(problem) = error else { panic!("{error}") };
    (&problem.code, problem.status)
}

#[test]
fn levels_travel_in_the_query_and_in_problems() {
    let mut cluster = Cluster::new(2);
    let (_, client) = serve(&cluster);
    let pay = |cluster: &Cluster| {
        let signed = world::sign(cluster.world.transfer(1), &[&cluster.world.alice]);
        dsm_abi::encode(&signed)
    };
    let receipt = client.submit_bytes_at(&pay(&cluster), Some(Durability::Replicated(2))).unwrap();
    assert_eq!(receipt.durability, Durability::Replicated(2));
    let refused = client.submit_bytes_at(&pay(&cluster), Some(Durability::Replicated(9))).unwrap_err();
    assert_eq!(code(&refused), ("too_few_storage_nodes", 422));
    cluster.stop(1);
    cluster.waits(SHORTFALL);
    let bytes = pay(&cluster);
    let short = client.submit_bytes_at(&bytes, Some(Durability::Replicated(2))).unwrap_err();
    assert_eq!(code(&short), ("not_replicated", 503));
    let ClientError::Problem(problem) = short else { unreachable!() };
    let shortfall = problem.shortfall.unwrap();
    assert_eq!(
        (shortfall.asked, shortfall.receipt.durability),
        (Durability::Replicated(2), Durability::Primary)
    );
    assert_eq!(client.receipt(&shortfall.receipt.transition).unwrap(), shortfall.receipt, "it stands");
}

#[test]
fn the_topology_is_shown_and_changed_over_http() {
    let mut cluster = Cluster::new(1);
    let (address, client) = serve(&cluster);
    let genesis = cluster.world.node.genesis().node.clone();
    let second = Storage::open(&cluster.runtime, &cluster.folder.path().join("storage-1"), &genesis);
    let unknown = client.add_peer(&second.peer.address, None).unwrap_err();
    assert_eq!(code(&unknown), ("unknown_key", 422));
    let added = client.add_peer(&second.peer.address, Some(second.peer.key.clone())).unwrap();
    assert_eq!(added.node, second.node);
    cluster.storages.push(second);
    cluster.caught_up();
    cluster.pay(Durability::Replicated(2)).unwrap();

    let view = client.topology().unwrap();
    assert_eq!((view.members.len(), view.standing.as_str(), view.epoch), (2, "leading", added.epoch));
    let promoted = client.promote(cluster.storages[1].node, false).unwrap();
    assert_eq!(promoted.primary, cluster.storages[1].node);
    let refused = client.remove_peer(promoted.primary, false).unwrap_err();
    assert_eq!(code(&refused), ("topology_refused", 409));
    let matrix = client.topology_matrix().unwrap();
    assert!(matrix.rows.iter().all(|row| row.reached && row.agrees == Some(true)), "{matrix:?}");
    let status = client.status().unwrap().replication.unwrap();
    assert_eq!((status.epoch, status.primary), (promoted.epoch, Some(promoted.primary)));

    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /v1/topology/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let data = BufReader::new(stream.take(1 << 20)).lines().map(Result::unwrap);
    let data = data.skip_while(|line| line != "event: replication").nth(1).unwrap();
    assert!(data.starts_with("data: {") && data.contains(&promoted.primary.to_string()), "{data}");

    let metrics = client.metrics().unwrap();
    for family in
        ["dsm_replication_acks_total", "dsm_replication_lag_records{node=", "dsm_link_sent_bytes_total"]
    {
        assert!(metrics.contains(family), "{family}");
    }
    let removed = client.remove_peer(cluster.storages[0].node, false).unwrap();
    assert_eq!(removed.primary, promoted.primary);
    assert_eq!(client.topology().unwrap().members.len(), 1);
}
