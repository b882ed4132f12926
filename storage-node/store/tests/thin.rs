//! thin
use dsm_store::{Log, LogConfig, disk::MemoryDisk};
use std::sync::Arc;
#[test]
fn appends_syncs_reads() {
    let disk = MemoryDisk::new();
    let mut config = LogConfig::new(7);
    config.segment_bytes = 4096;
    let (log, report) = Log::open(Arc::new(disk.clone()), config.clone()).unwrap();
    assert_eq!(report.head, 0);
    for n in 0..50u32 {
        log.append(1, &vec![n as u8; 300]).unwrap();
        if n % 3 == 0 {
            log.sync().unwrap();
        }
    }
    log.sync().unwrap();
    assert_eq!(log.iter(1).unwrap().map(|r| r.unwrap()).count(), 50);
    assert_eq!(log.reader().scrub(1).unwrap().damaged, 0);
    let head = log.head();
    drop(log);
    let (log, report) = Log::open(Arc::new(disk), config).unwrap();
    assert_eq!((report.head, report.digest), head);
    assert!(report.segments > 3, "{report:?}");
    assert_eq!(log.iter(1).unwrap().map(|r| r.unwrap()).count(), 50);
}
