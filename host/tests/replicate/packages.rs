//! Policies that are missing here and fetched from storage nodes, of which the first one asked lies.

use crate::cluster::{Cluster, eventually};
use crate::liar::{self, Liar, Lie};
use dsm_sdk::receipt::Durability;

#[test]
fn s3_a_missing_policy_is_fetched_and_a_lying_storage_node_is_passed_over() {
    let lies: [(&str, Lie, bool); 4] = [
        ("other content for a hash", liar::other_content, true),
        ("the right hash and no package", liar::no_package, false),
        ("a range that is none", liar::unsorted, true),
        ("the answer to another question", liar::misfit, true),
    ];
    for (what, lie, is_told) in lies {
        let mut liar = None;
        let cluster = Cluster::with_core(1, |core, runtime, config| {
            let opened = Liar::open(runtime, core, lie);
            config.first.insert(0, opened.peer.clone());
            liar = Some(opened);
        });
        let liar = liar.unwrap();
        assert_eq!(cluster.replication.topology().unwrap().primary, Some(liar.node), "asked first");
        cluster.pay(Durability::Replicated(2)).unwrap();
        let kept = cluster.storages[0].packages();
        eventually("the package is on the honest storage node", || {
            std::fs::read_dir(&kept).is_ok_and(|folder| folder.count() > 0)
        });
        let core = cluster.core();
        let mut cluster = cluster.lost();
        // The liar alone is there first.
        cluster.storages[0].stop(&cluster.runtime);
        std::fs::remove_dir_all(core.join("policies")).unwrap();
        let mut cluster = cluster.reopen(&core, |_| {});
        assert_eq!(cluster.world.node.shelf().missing().len(), 1, "{what}");
        eventually("the liar was asked", || *liar.lies.lock().unwrap() > 1 || !is_told);
        let trouble = || {
            let members = cluster.replication.topology().unwrap().members;
            members.into_iter().find(|one| one.node == liar.node).and_then(|one| one.trouble)
        };
        if is_told {
            eventually(what, || trouble().is_some());
        }
        assert_eq!(cluster.world.node.shelf().missing().len(), 1, "{what}: nothing of it was taken");
        cluster.start(0);
        eventually("the policy is here again", || cluster.world.node.shelf().missing().is_empty());
        cluster.ready();
        cluster.pay(Durability::Replicated(2)).unwrap();
    }
}
