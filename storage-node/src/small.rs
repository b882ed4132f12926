//! Small files on a [`Disk`] that are either the old bytes or the new ones, whatever happens in between.
//!
//! | name | content |
//! |---|---|
//! | `topology` | the promised topology with the core node's key |
//! | `evidence-` + 20 digits | a piece of evidence, numbered in the order in which they were found |
//! | 64 hexadecimal digits | in a folder of their own: the keys of an account whose record retention removed |
//!
//! A file is the length of its content (4 bytes, little-endian), the BLAKE3-256 of the content, the content.

use dsm_store::Disk;
use std::io;

/// What the names of pieces of evidence begin with.
const EVIDENCE: &str = "evidence-";
const FRAME_HEAD: usize = 36;
/// Bytes of one frame's content: a topology of 16 members with addresses, two signed documents, a few records.
const CONTENT_BYTES_MAX: usize = 1 << 20;

fn frame(content: &[u8]) -> io::Result<Vec<u8>> {
    let too_long = || io::Error::new(io::ErrorKind::InvalidInput, "longer than a small file may be");
    let length = u32::try_from(content.len()).ok().filter(|_| content.len() <= CONTENT_BYTES_MAX);
    let mut bytes = Vec::with_capacity(FRAME_HEAD + content.len());
    bytes.extend_from_slice(&length.ok_or_else(too_long)?.to_le_bytes());
    bytes.extend_from_slice(blake3::hash(content).as_bytes());
    bytes.extend_from_slice(content);
    Ok(bytes)
}

/// The content of a file.
fn unframe(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (digest, content) = rest.split_first_chunk::<32>()?;
    let whole = u32::from_le_bytes(*length) as usize == content.len();
    (whole && blake3::hash(content).as_bytes() == digest).then_some(content)
}

fn read_file(disk: &dyn Disk, name: &str, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match disk.open(name) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let size = file.size()?;
    if size > bytes_max {
        return Err(damaged(name));
    }
    let mut bytes = vec![0; size as usize];
    file.read_at(&mut bytes, 0)?;
    Ok(Some(bytes))
}

fn damaged(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the file {name} is damaged"))
}

/// Makes `name` hold `content`, durably: temporary file, sync, rename, sync of the directory.
pub(crate) fn replace(disk: &dyn Disk, name: &str, content: &[u8]) -> io::Result<()> {
    let bytes = frame(content)?;
    let temporary = format!("tmp-{name}");
    let file = match disk.create(&temporary) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // An earlier try was interrupted.
            disk.remove(&temporary)?;
            disk.create(&temporary)?
        }
        created => created?,
    };
    file.write_at(&bytes, 0)?;
    file.sync_data()?;
    disk.rename(&temporary, name)?;
    disk.sync_dir()
}

/// What `name` holds.
pub(crate) fn read(disk: &dyn Disk, name: &str) -> io::Result<Option<Vec<u8>>> {
    let Some(bytes) = read_file(disk, name, (FRAME_HEAD + CONTENT_BYTES_MAX) as u64)? else {
        return Ok(None);
    };
    unframe(&bytes).map(|content| Some(content.to_vec())).ok_or_else(|| damaged(name))
}

/// What was found against peers: one file for each piece, never removed.
pub(crate) struct Journal {
    next: u64,
    left: usize,
}

impl Journal {
    /// Opens the journal and gives what it holds. It takes nothing more once it has `pieces_max` pieces. A piece that is
    /// damaged is left where it is, and counts.
    pub(crate) fn open(disk: &dyn Disk, pieces_max: usize) -> io::Result<(Journal, Vec<Vec<u8>>)> {
        let mut journal = Journal { next: 1, left: pieces_max };
        let mut found = Vec::new();
        for name in disk.list()? {
            let Some(number) = name.strip_prefix(EVIDENCE) else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            journal.next = journal.next.max(number.saturating_add(1));
            journal.left = journal.left.saturating_sub(1);
            match read(disk, &name) {
                Ok(content) => found.extend(content),
                Err(error) => tracing::warn!(%error, "a piece of evidence cannot be read"),
            }
        }
        Ok((journal, found))
    }

    /// Adds a piece, durably. Whether there was room.
    pub(crate) fn append(&mut self, disk: &dyn Disk, content: &[u8]) -> io::Result<bool> {
        if self.left == 0 {
            return Ok(false);
        }
        replace(disk, &format!("{EVIDENCE}{:020}", self.next), content)?;
        self.next += 1;
        self.left -= 1;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dsm_store::disk::{FaultyDisk, MemoryDisk, every_crash};

    #[test]
    fn o2_a_replaced_file_is_the_old_one_or_the_new_one_after_every_crash() {
        let workload = |disk: &FaultyDisk| {
            let mut acknowledged = 0;
            for generation in 1..=3u8 {
                if replace(disk, "topology", &[generation; 600]).is_err() {
                    break;
                }
                acknowledged = generation;
            }
            acknowledged
        };
        let checked = every_crash(4, workload, |point, disk, acknowledged| {
            let found = read(&disk, "topology").unwrap_or_else(|error| panic!("{point:?}: {error}"));
            let generation = found.map_or(0, |bytes| bytes[0]);
            assert!(generation >= *acknowledged && generation <= 3, "{point:?}: {generation}");
        });
        assert!(checked > 100, "only {checked} crashes");
    }

    #[test]
    fn o2_a_journal_keeps_what_was_acknowledged_after_every_crash() {
        let workload = |disk: &FaultyDisk| {
            let Ok((mut journal, _)) = Journal::open(disk, 100) else { return 0 };
            let mut acknowledged = 0;
            for entry in 1..=4u8 {
                match journal.append(disk, &[entry; 700]) {
                    Ok(true) => acknowledged = entry,
                    Ok(false) | Err(_) => break,
                }
            }
            acknowledged
        };
        every_crash(4, workload, |point, disk, acknowledged| {
            let opened = Journal::open(&disk, 100);
            let (_, found) = opened.unwrap_or_else(|error| panic!("{point:?}: {error}"));
            assert!(found.len() >= usize::from(*acknowledged), "{point:?}");
            assert!((1..).zip(&found).all(|(entry, content)| *content == vec![entry; 700]), "{point:?}");
        });
    }

    #[test]
    fn o5_every_flipped_byte_of_a_small_file_is_seen() {
        let disk = MemoryDisk::new();
        replace(&disk, "topology", b"members and a signature").unwrap();
        let file = disk.open("topology").unwrap();
        for offset in 0..file.size().unwrap() {
            let mut byte = [0];
            file.read_at(&mut byte, offset).unwrap();
            file.write_at(&[byte[0] ^ 0x40], offset).unwrap();
            assert!(read(&disk, "topology").is_err(), "offset {offset}");
            file.write_at(&byte, offset).unwrap();
        }
        assert!(read(&disk, "topology").is_ok());
    }

    #[test]
    fn a_journal_that_is_full_takes_nothing_more_and_loses_one_piece_to_rot_at_most() {
        let disk = MemoryDisk::new();
        let (mut journal, _) = Journal::open(&disk, 2).unwrap();
        assert!(journal.append(&disk, &[1; 100]).unwrap());
        assert!(journal.append(&disk, &[2; 100]).unwrap());
        assert!(!journal.append(&disk, &[3; 100]).unwrap());
        assert_eq!(Journal::open(&disk, 3).unwrap().1, vec![vec![1; 100], vec![2; 100]]);
        disk.open("evidence-00000000000000000001").unwrap().write_at(&[0], 50).unwrap();
        let (mut journal, found) = Journal::open(&disk, 3).unwrap();
        assert_eq!(found, vec![vec![2; 100]]);
        assert!(journal.append(&disk, &[3; 100]).unwrap());
        assert_eq!(Journal::open(&disk, 3).unwrap().1, vec![vec![2; 100], vec![3; 100]]);
    }
}
