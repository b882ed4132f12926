//! A signed policy as a CAR file (version 1): its document, its module and the author's signature as blocks that any
//! content-addressed tool can keep, move and check.
//!
//! ```text
//! varint length ‖ header            DAG-CBOR {"roots": [document, envelope], "version": 1}
//! varint length ‖ CID ‖ document    DAG-CBOR; its CID is the policy's
//! varint length ‖ CID ‖ module      raw
//! varint length ‖ CID ‖ envelope    DAG-CBOR {"key", "suite", "policy": link to the document, "signature"}
//! ```
//!
//! There is one file for one package: [`read()`] takes exactly what [`write()`] makes, hashes every block again and
//! believes no name. It says nothing about the signature: [`Package::verify`] does.

use crate::package::{DAG_CBOR, RAW};
use crate::package::{Envelope, PACKAGE_BYTES_MAX, Package, PolicyDocument, cid, module_cid, policy_cid};
use cid::Cid;
use dsm_abi::{PolicyId, Suite};
use dsm_core::PublicKey;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// Bytes of a CAR file: a package's parts, and what frames them.
pub const CAR_BYTES_MAX: usize = PACKAGE_BYTES_MAX + 1024;
/// Bytes of a CID of BLAKE3-256: version, codec, hash, length, digest.
const CID_BYTES: usize = 36;

/// What the first section says.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    roots: Vec<Cid>,
    version: u64,
}

/// The author's signature as a node of its own, with a link to what is signed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    key: ByteBuf,
    suite: Suite,
    policy: Cid,
    signature: ByteBuf,
}

/// Why a CAR file is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CarError {
    /// Not the one file that [`write()`] makes of a package.
    #[error("not a CAR file of a policy: {what}, at byte {offset}")]
    Malformed {
        /// Where.
        offset: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// A block's bytes are not what its CID says.
    #[error("a block is named {named}, its bytes are {found}")]
    CidMismatch {
        /// The CID before the block.
        named: Box<Cid>,
        /// What the bytes hash to.
        found: Box<Cid>,
    },
    /// The document, the module or the signature is missing.
    #[error("the block {0} is missing")]
    Incomplete(Box<Cid>),
}

impl CarError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            CarError::Malformed { .. } => "car_malformed",
            CarError::CidMismatch { .. } => "car_cid_mismatch",
            CarError::Incomplete(_) => "car_incomplete",
        }
    }
}

/// Whether these bytes begin as a CAR file does: neither a module nor a package can.
pub fn is_car(bytes: &[u8]) -> bool {
    bytes.get(1..8) == Some(b"\xa2eroots")
}

/// The CAR file of a package.
pub fn write(package: &Package) -> Vec<u8> {
    let policy = policy_cid(&package.envelope.policy);
    let envelope = encode(&Signed {
        key: ByteBuf::from(package.envelope.key.bytes.as_slice()),
        suite: package.envelope.key.suite,
        policy,
        signature: ByteBuf::from(package.envelope.signature.as_slice()),
    });
    let signed = cid(DAG_CBOR, blake3::hash(&envelope).as_bytes());
    let mut file = Vec::with_capacity(package.module.len() + package.document.len() + envelope.len() + 256);
    push(&mut file, &[&encode(&Header { roots: vec![policy, signed], version: 1 })]);
    push(&mut file, &[&policy.to_bytes(), &package.document]);
    push(&mut file, &[&module_cid(&package.module).to_bytes(), &package.module]);
    push(&mut file, &[&signed.to_bytes(), &envelope]);
    file
}

/// The package in a CAR file: every block hashed again, and nothing but the three blocks there.
///
/// # Errors
/// [`CarError`].
pub fn read(bytes: &[u8]) -> Result<Package, CarError> {
    if bytes.len() > CAR_BYTES_MAX {
        return Err(CarError::Malformed { offset: CAR_BYTES_MAX, what: "longer than a package may be" });
    }
    let mut sections = Sections { bytes, at: 0 };
    let malformed = |what| CarError::Malformed { offset: 0, what };
    let header = sections.next()?.ok_or_else(|| malformed("the file is empty"))?;
    let header: Header = decode(header).ok_or_else(|| malformed("the header is not canonical DAG-CBOR"))?;
    if header.version != 1 {
        return Err(malformed("the version is not 1"));
    }
    let [policy, signed] = header.roots[..] else {
        return Err(malformed("the roots are not a document and its signature"));
    };
    let mut blocks = Vec::new();
    while let Some(section) = sections.next()? {
        if blocks.len() == 3 {
            return Err(CarError::Malformed { offset: sections.at, what: "more than three blocks" });
        }
        blocks.push(block(section, sections.at - section.len())?);
    }
    let find = |wanted: &Cid| {
        let found = blocks.iter().find(|(name, _)| name == wanted);
        found.map(|(_, data)| *data).ok_or_else(|| CarError::Incomplete(Box::new(*wanted)))
    };
    let document = find(&policy)?;
    let described = PolicyDocument::decode(document)
        .map_err(|_| malformed("the first root is not a policy's document"))?;
    let module = find(&described.module)?;
    let envelope = find(&signed)?;
    let envelope: Signed =
        decode(envelope).ok_or_else(|| malformed("the second root is not an author's signature"))?;
    let key = PublicKey { suite: envelope.suite, bytes: envelope.key.into_vec() };
    let digest = envelope.policy.hash().digest().try_into().map(PolicyId);
    let package = Package {
        module: module.to_vec(),
        document: document.to_vec(),
        envelope: Envelope {
            policy: digest.map_err(|_| malformed("the signature is for no policy"))?,
            key,
            signature: envelope.signature.into_vec(),
        },
    };
    // One file for one package: no other order, no longer varint, no signature of another document.
    let again = write(&package);
    if again != bytes {
        let offset = again.iter().zip(bytes).take_while(|(one, other)| one == other).count();
        return Err(CarError::Malformed { offset, what: "written otherwise than a policy's file is" });
    }
    Ok(package)
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    serde_ipld_dagcbor::to_vec(value).expect("writing to memory does not fail")
}

fn decode<T: Serialize + for<'de> Deserialize<'de>>(bytes: &[u8]) -> Option<T> {
    let value = serde_ipld_dagcbor::from_slice(bytes).ok()?;
    (encode(&value) == bytes).then_some(value)
}

/// Appends one section: the length as a varint (unsigned LEB128), then the parts.
fn push(file: &mut Vec<u8>, parts: &[&[u8]]) {
    let mut length: usize = parts.iter().map(|part| part.len()).sum();
    while length >= 0x80 {
        file.push(length as u8 | 0x80);
        length >>= 7;
    }
    file.push(length as u8);
    parts.iter().for_each(|part| file.extend_from_slice(part));
}

/// The sections of a file, one after the other.
struct Sections<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Sections<'a> {
    fn next(&mut self) -> Result<Option<&'a [u8]>, CarError> {
        if self.at == self.bytes.len() {
            return Ok(None);
        }
        let offset = self.at;
        let malformed = |what| CarError::Malformed { offset, what };
        let mut length = 0_usize;
        // Three groups of seven bits hold more than the longest file.
        for group in 0.. {
            let byte = *self.bytes.get(self.at).ok_or_else(|| malformed("the file ends in a length"))?;
            self.at += 1;
            length |= usize::from(byte & 0x7f) << (7 * group);
            if byte < 0x80 {
                break;
            }
            if group == 2 {
                return Err(malformed("a section is longer than a file may be"));
            }
        }
        let rest = &self.bytes[self.at..];
        let section = rest.get(..length).ok_or_else(|| malformed("the file ends in a section"))?;
        self.at += length;
        Ok(Some(section))
    }
}

/// A block's name and its bytes, which have been hashed.
fn block(section: &[u8], offset: usize) -> Result<(Cid, &[u8]), CarError> {
    let malformed = |what| CarError::Malformed { offset, what };
    let (name, data) =
        section.split_at_checked(CID_BYTES).ok_or_else(|| malformed("a block is shorter than its name"))?;
    let named = Cid::try_from(name).map_err(|_| malformed("a block's name is not a CID"))?;
    if ![RAW, DAG_CBOR].contains(&named.codec()) {
        return Err(malformed("a block is neither raw nor DAG-CBOR"));
    }
    let found = cid(named.codec(), blake3::hash(data).as_bytes());
    if named != found {
        return Err(CarError::CidMismatch { named: Box::new(named), found: Box::new(found) });
    }
    Ok((named, data))
}
