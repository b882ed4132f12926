//! Clients that write, and what they were told.

use crate::eventually;
use dsm_abi::{NetworkId, Suite, TransitionId, encode};
use dsm_core::{Genesis, KeySet};
use dsm_crypto::SecretKey;
use dsm_host::node::{Clock as _, SystemClock};
use dsm_sdk::client::{Client, ClientError};
use dsm_sdk::draft::{Draft, Window, public_key};
use dsm_sdk::receipt::Durability;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Clients that write at the same time.
const WRITERS: u64 = 8;
/// After an error: the node may be down.
const REST: Duration = Duration::from_millis(20);

/// Clients that open accounts at `replicated:2` and keep what was acknowledged.
pub(crate) struct Writing {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    paused: AtomicBool,
    number: AtomicU64,
    acknowledged: Mutex<Vec<(TransitionId, Instant)>>,
}

impl Writing {
    pub(crate) fn start(url: &str, network: NetworkId) -> Writing {
        let shared = Arc::new(Shared::default());
        let threads = (0..WRITERS)
            .map(|_| {
                let (shared, url) = (Arc::clone(&shared), url.to_owned());
                std::thread::spawn(move || shared.write(&Client::new(&url).unwrap(), network))
            })
            .collect();
        Writing { shared, threads }
    }

    fn count(&self) -> usize {
        self.shared.acknowledged.lock().unwrap().len()
    }

    /// Waits until so many more were acknowledged.
    pub(crate) fn more(&self, count: usize) {
        let goal = self.count() + count;
        eventually("clients are answered", || self.count() >= goal);
    }

    /// How long after an instant the first acknowledgement came that is no leftover of before.
    pub(crate) fn next_after(&self, cut: Instant) -> Duration {
        let settled = self.count();
        eventually("clients are answered again", || self.count() > settled);
        let acknowledged = self.shared.acknowledged.lock().unwrap();
        acknowledged[settled].1.duration_since(cut)
    }

    pub(crate) fn pause(&self) {
        self.shared.paused.store(true, Ordering::Relaxed);
    }

    pub(crate) fn stop(self) -> Vec<TransitionId> {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        self.shared.acknowledged.lock().unwrap().iter().map(|(id, _)| *id).collect()
    }
}

impl Shared {
    fn write(&self, client: &Client, network: NetworkId) {
        while !self.stop.load(Ordering::Relaxed) {
            if self.paused.load(Ordering::Relaxed) {
                std::thread::sleep(REST);
                continue;
            }
            let number = self.number.fetch_add(1, Ordering::Relaxed);
            // Whatever is not acknowledged may be lost: that is what the error says.
            match open_account(client, network, number, Durability::Replicated(2)) {
                Ok(id) => self.acknowledged.lock().unwrap().push((id, Instant::now())),
                Err(_) => std::thread::sleep(REST),
            }
        }
    }
}

/// The cheapest transition: an account opens itself.
pub(crate) fn open_account(
    client: &Client,
    network: NetworkId,
    number: u64,
    level: Durability,
) -> Result<TransitionId, ClientError> {
    let key = SecretKey::generate(Suite::MlDsa65).unwrap();
    let mut salt = [0; 32];
    salt[..8].copy_from_slice(&number.to_le_bytes());
    let genesis = Genesis { network, keys: KeySet::single(public_key(&key)), salt };
    let account = genesis.account();
    let now = SystemClock.now_ms();
    let window = Window { from_ms: now - 60_000, until_ms: now + 3_600_000 };
    let draft = Draft::new(network, window, salt).open(genesis);
    let signed = draft.sign_with(&[(account, &key, 0)]).unwrap();
    let receipt = client.submit_bytes_at(&encode(&signed), Some(level))?;
    assert!(receipt.durability >= level, "never downgraded: {receipt:?}");
    Ok(receipt.transition)
}
