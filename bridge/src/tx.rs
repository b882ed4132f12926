//! Transactions of the EVM chain: EIP-1559 where blocks have a base fee, EIP-155 elsewhere.

use crate::evm::{Address, Fees, Word};
use dsm_crypto::Secp256k1Key;
use dsm_evm_proof::keccak256;
use dsm_evm_proof::rlp::{Writer, write_list};

/// A transaction before it is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsigned {
    /// The chain: part of what is signed, so that it is worth nothing elsewhere.
    pub chain_id: u64,
    /// The account's nonce.
    pub nonce: u64,
    /// What gas may cost.
    pub fees: Fees,
    /// The gas limit.
    pub gas: u64,
    /// The receiver; `None` makes a contract.
    pub to: Option<Address>,
    /// Wei.
    pub value: u128,
    /// The call.
    pub data: Vec<u8>,
}

/// A signed transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Its bytes.
    pub raw: Vec<u8>,
    /// Its hash.
    pub hash: Word,
}

impl Unsigned {
    fn receiver(&self) -> &[u8] {
        self.to.as_ref().map_or(&[], |to| to.as_slice())
    }

    fn common(&self, fields: &mut Writer) {
        fields.number(self.gas.into()).bytes(self.receiver()).number(self.value).bytes(&self.data);
    }

    fn write(&self, end: impl FnOnce(&mut Writer)) -> Vec<u8> {
        match self.fees.tip {
            Some(tip) => {
                let mut bytes = vec![2];
                bytes.extend(write_list(|fields| {
                    fields.number(self.chain_id.into()).number(self.nonce.into());
                    fields.number(tip).number(self.fees.max);
                    self.common(fields);
                    // No access list.
                    fields.list(|_| {});
                    end(fields);
                }));
                bytes
            }
            None => write_list(|fields| {
                fields.number(self.nonce.into()).number(self.fees.max);
                self.common(fields);
                end(fields);
            }),
        }
    }
}

/// A number of up to 32 bytes, without leading zeros.
fn scalar(fields: &mut Writer, bytes: &[u8]) {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    fields.bytes(&bytes[zeros..]);
}

/// Signs a transaction.
pub fn sign(key: &Secp256k1Key, unsigned: &Unsigned) -> Signed {
    let legacy = unsigned.fees.tip.is_none();
    let digest = keccak256(&[&unsigned.write(|fields| {
        if legacy {
            fields.number(unsigned.chain_id.into()).number(0).number(0);
        }
    })]);
    let signature = key.sign_prehash(&digest);
    let parity = u128::from(signature[64]);
    let v = if legacy { 35 + 2 * u128::from(unsigned.chain_id) + parity } else { parity };
    let raw = unsigned.write(|fields| {
        fields.number(v);
        scalar(fields, &signature[..32]);
        scalar(fields, &signature[32..64]);
    });
    let hash = keccak256(&[&raw]);
    Signed { raw, hash }
}

/// What a replacement has to offer at least: an eighth more than before.
pub(crate) fn bumped(before: u128, now: u128) -> u128 {
    now.max(before.saturating_add(before / 8).saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_eip_155() {
        let key = Secp256k1Key::from_secret_bytes(&[0x46; 32]).unwrap();
        let unsigned = Unsigned {
            chain_id: 1,
            nonce: 9,
            fees: Fees { max: 20_000_000_000, tip: None },
            gas: 21_000,
            to: Some([0x35; 20]),
            value: 1_000_000_000_000_000_000,
            data: Vec::new(),
        };
        let raw = "f86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a76400008025a028ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276a067cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83";
        assert_eq!(hex::encode(sign(&key, &unsigned).raw), raw);
    }

    #[test]
    fn a_bump_is_at_least_an_eighth() {
        for before in [0, 1, 7, 8, 1_000_000_007] {
            let after = bumped(before, 0);
            assert!(after * 8 > before * 9 || before == 0 && after == 1, "{before} {after}");
        }
        assert_eq!(bumped(100, 1_000), 1_000);
    }
}
