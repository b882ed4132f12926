//! secp256k1: known keys, strict recovery, and nothing of a secret in print.

use dsm_crypto::{Secp256k1Error, Secp256k1Key, keccak_256, recover_address};

/// n, the order of the group.
const ORDER: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";

fn hex32(text: &str) -> [u8; 32] {
    hex::decode(text).expect("hex").try_into().expect("32 bytes")
}

fn key(secret: u8) -> Secp256k1Key {
    let mut bytes = [0; 32];
    bytes[31] = secret;
    Secp256k1Key::from_secret_bytes(&bytes).expect("a scalar")
}

/// n − s, by which every signature has a twin.
fn twin(s: &[u8; 32]) -> [u8; 32] {
    let (mut out, mut borrow) = (hex32(ORDER), 0i16);
    for at in (0..32).rev() {
        let difference = i16::from(out[at]) - i16::from(s[at]) - borrow;
        borrow = i16::from(difference < 0);
        out[at] = difference.rem_euclid(256) as u8;
    }
    out
}

#[test]
fn addresses_are_those_that_everybody_knows() {
    // Secret 1 and 2, and the first account of the development chains ("test test … junk").
    let rows = [
        (
            "0000000000000000000000000000000000000000000000000000000000000001",
            "7e5f4552091a69125d5dfcb7b8c2659029395bdf",
        ),
        (
            "0000000000000000000000000000000000000000000000000000000000000002",
            "2b5ad5c4795c026514f8317c7a215e218dccd6cf",
        ),
        (
            "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
            "f39fd6e51aad88f6f4ce6ab8827279cfffb92266",
        ),
    ];
    for (secret, address) in rows {
        let key = Secp256k1Key::from_secret_bytes(&hex32(secret)).unwrap();
        assert_eq!(hex::encode(key.address()), address);
        assert_eq!(hex::encode(&key.to_secret_bytes()[..]), secret);
    }
    let generator = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
    assert_eq!(hex::encode(key(1).public_key()), generator);
}

/// RFC 6979 over secp256k1 with SHA-256: the vector that implementations share (secret 1, "Satoshi Nakamoto").
#[test]
fn one_digest_has_one_signature() {
    let digest = hex32("a0dc65ffca799873cbea0ac274015b9526505daaaed385155425f7337704883e");
    let signature = key(1).sign_prehash(&digest);
    assert_eq!(
        hex::encode(&signature[..64]),
        "934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d8\
         2442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5"
    );
    assert_eq!(signature, key(1).sign_prehash(&digest));
}

#[test]
fn b12_recovery_is_strict() {
    for n in 1..=40u8 {
        let (key, digest) = (key(n), keccak_256(&[n]));
        let good = key.sign_prehash(&digest);
        assert!(good[64] <= 1);
        assert_eq!(recover_address(&digest, &good), Some(key.address()));

        let s: [u8; 32] = good[32..64].try_into().unwrap();
        assert!(s < twin(&s), "low s");
        let with = |r: &[u8], s: &[u8], v: u8| [r, s, &[v]].concat().try_into().unwrap();
        let refused: [(&str, [u8; 65]); 9] = [
            ("high s", with(&good[..32], &twin(&s), good[64] ^ 1)),
            ("v as 27 or 28", with(&good[..32], &s, good[64] + 27)),
            ("v of 2", with(&good[..32], &s, 2)),
            ("v of 3", with(&good[..32], &s, 3)),
            ("r of zero", with(&[0; 32], &s, 0)),
            ("s of zero", with(&good[..32], &[0; 32], 0)),
            ("r of n", with(&hex32(ORDER), &s, 0)),
            ("s of n", with(&good[..32], &hex32(ORDER), 0)),
            ("all ones", [0xff; 65]),
        ];
        for (name, signature) in refused {
            assert_eq!(recover_address(&digest, &signature), None, "{name}");
        }
        for at in 0..65 {
            let mut flipped = good;
            flipped[at] ^= 1;
            assert_ne!(recover_address(&digest, &flipped), Some(key.address()), "byte {at}");
        }
        assert_ne!(recover_address(&keccak_256(b"other"), &good), Some(key.address()));
    }
}

#[test]
fn secrets_outside_the_group_are_refused_and_none_is_printed() {
    let mut below = hex32(ORDER);
    below[31] -= 1;
    assert!(Secp256k1Key::from_secret_bytes(&below).is_ok());
    for bad in [[0; 32], hex32(ORDER), [0xff; 32]] {
        assert_eq!(Secp256k1Key::from_secret_bytes(&bad).unwrap_err(), Secp256k1Error::Invalid);
    }
    for found in [0, 31, 33, 64] {
        let refused = Secp256k1Key::from_secret_bytes(&vec![1; found]).unwrap_err();
        assert_eq!(refused, Secp256k1Error::Length { found });
    }
    assert_eq!(format!("{:?}", key(1)), "Secp256k1Key(0x7e5f4552091a69125d5dfcb7b8c2659029395bdf)");
    let (one, other) = (Secp256k1Key::generate().unwrap(), Secp256k1Key::generate().unwrap());
    assert_ne!(one.address(), other.address());
}
