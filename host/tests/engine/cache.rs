//! The module cache: bounded, changeable while it runs, and never the reason for a verdict.

use crate::guest::{Guest, TestCrypto, engine};
use dsm_abi::Digest;
use dsm_host::engine::{AdmitError, CacheError, EngineConfig, ModuleCache};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

const HOUR: Duration = Duration::from_secs(3600);

fn cache(size: usize) -> ModuleCache {
    ModuleCache::new(Arc::new(engine()), size, HOUR)
}

/// A policy that differs from others by `n`, and its hash.
fn module(n: usize) -> (Digest, Vec<u8>) {
    let wasm = Guest { buf: format!("(i32.const {})", 65536 + n), ..Guest::default() }.wasm();
    (Digest(*blake3::hash(&wasm).as_bytes()), wasm)
}

#[test]
fn hits_do_not_load_and_the_least_recently_used_goes_first() {
    let cache = cache(2);
    let now = Instant::now();
    let modules: Vec<_> = (0..3).map(module).collect();
    let load = |n: usize| cache.module(modules[n].0, now, || Some(modules[n].1.clone())).unwrap();
    let kept = |n: usize| cache.module(modules[n].0, now, || None).is_ok();
    let first = load(0);
    assert!(Arc::ptr_eq(&first, &load(0)));
    load(1);
    load(0);
    load(2);
    assert!(kept(0) && kept(2) && !kept(1));
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.evictions, stats.modules), (4, 4, 1, 2));
    // Size changes while it runs; a module in use lives on.
    cache.configure(0, HOUR, now);
    assert_eq!(cache.stats().modules, 0);
    load(0);
    assert!(!kept(0));
    assert_eq!(first.hash(), modules[0].0);
}

#[test]
fn age_only_evicts() {
    let cache = cache(9);
    let now = Instant::now();
    let (hash, wasm) = module(0);
    cache.module(hash, now, || Some(wasm.clone())).unwrap();
    assert!(cache.module(hash, now + HOUR / 2, || None).is_ok());
    assert_eq!(cache.module(hash, now + HOUR, || None).unwrap_err(), CacheError::Missing);
    assert!(cache.module(hash, now + HOUR, || Some(wasm.clone())).is_ok());
    cache.configure(9, Duration::from_secs(1), now + HOUR * 2);
    assert_eq!(cache.stats().modules, 0);
}

#[test]
fn what_is_missing_wrong_or_refused_is_not_kept() {
    let cache = cache(9);
    let now = Instant::now();
    let ((hash, wasm), (other, other_wasm)) = (module(0), module(1));
    assert_eq!(cache.module(hash, now, || None).unwrap_err(), CacheError::Missing);
    let wrong = cache.module(hash, now, || Some(other_wasm)).unwrap_err();
    assert_eq!(wrong, CacheError::WrongBytes { found: other });
    let rubbish = Digest(*blake3::hash(b"rubbish").as_bytes());
    let refused = cache.module(rubbish, now, || Some(b"rubbish".to_vec())).unwrap_err();
    assert!(matches!(refused, CacheError::Admit(AdmitError::Refused { .. })), "{refused}");
    assert_eq!(cache.stats().modules, 0);
    assert!(cache.module(hash, now, || Some(wasm)).is_ok());
}

/// Of eight threads that want one module at once, one compiles it and all get the same.
#[test]
fn one_thread_compiles_for_all() {
    let cache = cache(9);
    let (hash, wasm) = module(0);
    let (loads, barrier) = (AtomicUsize::new(0), Barrier::new(8));
    let modules: Vec<_> = std::thread::scope(|scope| {
        let want = || {
            barrier.wait();
            let load = || {
                loads.fetch_add(1, Ordering::SeqCst);
                Some(wasm.clone())
            };
            cache.module(hash, Instant::now(), load).unwrap()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(want)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(loads.load(Ordering::SeqCst), 1);
    assert!(modules.iter().all(|module| Arc::ptr_eq(module, &modules[0])));
}

/// P14: a module carries the profile of the engine that admitted it, and the cache's key has both.
#[test]
fn modules_carry_their_profile() {
    let cache = cache(9);
    let (hash, wasm) = module(0);
    let module = cache.module(hash, Instant::now(), || Some(wasm)).unwrap();
    assert_eq!(module.profile(), cache.engine().profile());
    let other = dsm_host::engine::Engine::new(&EngineConfig::default(), Arc::new(TestCrypto)).unwrap();
    assert_eq!(other.profile(), module.profile());
}
