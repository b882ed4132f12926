//! Compiled modules, kept by module hash and engine profile. Only a cache: whatever it does, a module that
//! comes out has been admitted by this engine from bytes with the hash that was asked for.

use super::fault::AdmitError;
use super::runtime::{Engine, Module};
use dsm_abi::Digest;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Why there is no module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CacheError {
    /// Nobody has the module's bytes.
    #[error("the module's bytes are missing")]
    Missing,
    /// The bytes have another hash than was asked for.
    #[error("the module's bytes hash to {found}")]
    WrongBytes {
        /// The hash of the bytes that came.
        found: Digest,
    },
    /// The module is not admitted.
    #[error(transparent)]
    Admit(#[from] AdmitError),
}

/// What the cache has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheStats {
    /// Modules found in the cache.
    pub hits: u64,
    /// Modules not found in the cache, or too old.
    pub misses: u64,
    /// Modules removed for their age or to make room.
    pub evictions: u64,
    /// Modules in the cache.
    pub modules: usize,
}

/// A bounded cache of admitted modules. Of several threads that want one module, one compiles it.
pub struct ModuleCache {
    engine: Arc<Engine>,
    shelf: Mutex<Shelf>,
}

/// Module hash and engine profile.
type Key = (Digest, Digest);
/// A place to wait for a module that some thread is compiling.
type Slot = Arc<Mutex<Option<Arc<Module>>>>;

struct Shelf {
    size: usize,
    ttl: Duration,
    entries: HashMap<Key, Entry>,
    flights: HashMap<Key, Slot>,
    clock: u64,
    stats: CacheStats,
}

struct Entry {
    module: Arc<Module>,
    /// When it was admitted.
    since: Instant,
    /// The shelf's clock at the last use.
    used: u64,
}

impl ModuleCache {
    /// An empty cache of at most `size` modules, each kept for `ttl`.
    pub fn new(engine: Arc<Engine>, size: usize, ttl: Duration) -> ModuleCache {
        let shelf = Shelf {
            size,
            ttl,
            entries: HashMap::new(),
            flights: HashMap::new(),
            clock: 0,
            stats: CacheStats::default(),
        };
        ModuleCache { engine, shelf: Mutex::new(shelf) }
    }

    /// The engine that admits.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Changes size (`policy-cache-size`) and age (`policy-ttl`); what no longer fits is removed now.
    pub fn configure(&self, size: usize, ttl: Duration, now: Instant) {
        let mut shelf = self.shelf.lock();
        (shelf.size, shelf.ttl) = (size, ttl);
        shelf.evict(now);
    }

    /// What the cache has done so far.
    pub fn stats(&self) -> CacheStats {
        let shelf = self.shelf.lock();
        CacheStats { modules: shelf.entries.len(), ..shelf.stats }
    }

    /// The module with hash `hash`, from the cache or admitted from the bytes that `load` gives. `now` is the
    /// caller's monotonic time.
    ///
    /// # Errors
    /// [`CacheError`]; nothing is kept then, so the next call tries again.
    pub fn module(
        &self,
        hash: Digest,
        now: Instant,
        load: impl FnOnce() -> Option<Vec<u8>>,
    ) -> Result<Arc<Module>, CacheError> {
        let key = (hash, self.engine.profile());
        let slot = {
            let mut shelf = self.shelf.lock();
            if let Some(module) = shelf.find(&key, now) {
                return Ok(module);
            }
            Arc::clone(shelf.flights.entry(key).or_default())
        };
        // Whoever gets the slot first compiles; the others find the module in it. After a failure they try.
        let mut landed = slot.lock();
        if let Some(module) = &*landed {
            return Ok(Arc::clone(module));
        }
        let admitted = self.admit(hash, load);
        let mut shelf = self.shelf.lock();
        if shelf.flights.get(&key).is_some_and(|flight| Arc::ptr_eq(flight, &slot)) {
            shelf.flights.remove(&key);
        }
        let module = admitted?;
        shelf.insert(key, Arc::clone(&module), now);
        drop(shelf);
        *landed = Some(Arc::clone(&module));
        Ok(module)
    }

    fn admit(&self, hash: Digest, load: impl FnOnce() -> Option<Vec<u8>>) -> Result<Arc<Module>, CacheError> {
        let bytes = load().ok_or(CacheError::Missing)?;
        let found = Digest(*blake3::hash(&bytes).as_bytes());
        if found != hash {
            return Err(CacheError::WrongBytes { found });
        }
        Ok(self.engine.admit(&bytes)?)
    }
}

impl core::fmt::Debug for ModuleCache {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ModuleCache").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Shelf {
    fn find(&mut self, key: &Key, now: Instant) -> Option<Arc<Module>> {
        self.clock += 1;
        let (clock, ttl) = (self.clock, self.ttl);
        let fresh =
            self.entries.get_mut(key).filter(|entry| now.saturating_duration_since(entry.since) < ttl);
        let Some(entry) = fresh else {
            self.stats.misses += 1;
            return None;
        };
        entry.used = clock;
        self.stats.hits += 1;
        Some(Arc::clone(&entry.module))
    }

    fn insert(&mut self, key: Key, module: Arc<Module>, now: Instant) {
        self.clock += 1;
        self.entries.insert(key, Entry { module, since: now, used: self.clock });
        self.evict(now);
    }

    fn evict(&mut self, now: Instant) {
        let before = self.entries.len();
        let ttl = self.ttl;
        self.entries.retain(|_, entry| now.saturating_duration_since(entry.since) < ttl);
        while self.entries.len() > self.size {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| *key);
            let Some(oldest) = oldest else { break };
            self.entries.remove(&oldest);
        }
        self.stats.evictions += (before - self.entries.len()) as u64;
    }
}
