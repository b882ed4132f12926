//! Merkle-Patricia proofs: the adversarial cases, genuine ones, crafted nodes, and random tries beside alloy-trie.

use crate::support::{
    Trie, account_value, array, byte_lists, bytes, hex_prefix, nibbles, reference, vector, word_value,
};
use alloy_trie::proof::{ProofRetainer, verify_proof};
use alloy_trie::{HashBuilder, Nibbles};
use dsm_evm_proof::rlp::write_list;
use dsm_evm_proof::{
    Account, EMPTY_CODE, EMPTY_ROOT, Hash, Header, NODE_BYTES_MAX, NODES_MAX, NotShown, Path, Shown,
    keccak256, prove, prove_account, prove_storage, word,
};
use proptest::prelude::*;

/// What a proof shows, without borrowing.
fn ask(root: &Hash, path: &Path, nodes: &[Vec<u8>]) -> Result<Shown<Vec<u8>>, NotShown> {
    Ok(match prove(root, path, nodes)? {
        Shown::Present(value) => Shown::Present(value.to_vec()),
        Shown::Absent => Shown::Absent,
    })
}

/// The reason in the vectors' words, and the codes that say it here.
const REASONS: &[(&str, &[&str])] = &[
    ("no nodes", &["mpt_no_nodes"]),
    (
        "root node missing, wrong hash or non-canonical",
        &["mpt_root_hash", "mpt_zero_root", "mpt_empty_trie_with_nodes"],
    ),
    (
        "child node missing, wrong hash or non-canonical",
        &["mpt_child_hash", "mpt_missing_node", "mpt_malformed_node"],
    ),
    ("unused trailing nodes", &["mpt_unused_nodes"]),
    ("bad flag nibble", &["mpt_hex_prefix"]),
    ("leaf value empty or list", &["mpt_empty_value"]),
    ("empty extension", &["mpt_empty_extension"]),
    ("reference is neither hash nor embedded node", &["mpt_reference"]),
    ("wrong arity", &["mpt_arity"]),
    ("branch with fewer than two children", &["mpt_sparse_branch"]),
];

/// B1 to B7, case by case: accepted or refused as the file says, and for the reason that it says.
#[test]
fn every_adversarial_case_ends_as_its_file_says() {
    let file = vector("mpt-adversarial/mpt-adversarial.json");
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 250);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let (root, nodes) = (array(&case["root"]), byte_lists(&case["proof"]));
        let (key, raw_path) = (bytes(&case["key"]), bytes(&case["path_nibbles"]));
        let claim = match case["claim"].as_str().unwrap() {
            "inclusion" => Shown::Present(bytes(&case["value"])),
            "exclusion" => Shown::Absent,
            other => panic!("{name}: {other}"),
        };
        let hashed = (keccak256(&[&key]).as_slice() == raw_path).then(|| Path::hashed(&key));
        for path in [Some(Path::plain(&raw_path)), hashed].into_iter().flatten() {
            let found = ask(&root, &path, &nodes);
            if case["expect"] == "accept" {
                assert_eq!(found, Ok(claim.clone()), "{name}");
                continue;
            }
            assert_ne!(found, Ok(claim.clone()), "{name}");
            let reason = case["reason"].as_str().unwrap();
            match REASONS.iter().find(|(reasons, _)| *reasons == reason) {
                Some((_, codes)) => {
                    // A raw path is shorter than the trie's: its end inside a longer one shows no more than absence.
                    let code = found.as_ref().map_err(NotShown::code);
                    let unhashed = name.ends_with("unhashed-key") && code == Ok(&Shown::Absent);
                    assert!(unhashed || code.is_err_and(|code| codes.contains(&code)), "{name}: {code:?}");
                }
                None => {
                    assert!(["proof shows in", "proof shows out"].contains(&reason), "{name}: {reason}");
                    // The 78 nodes of the deep case are beyond the limit of hashed tries: not shown, never absent.
                    let deep = name.starts_with("deep") && found == Err(NotShown::TooManyNodes);
                    assert!(deep || found.is_ok(), "{name}: {found:?}");
                }
            }
        }
    }
}

/// Header, account and storage of a chain that geth and others answered for.
#[test]
fn a_genuine_account_and_its_storage_are_shown() {
    let file = vector("eip1186/execution-apis-chain.json");
    let headers = byte_lists(&file["headers"]);
    let root = Header::decode(headers.last().unwrap()).unwrap().state_root;
    let proof = &file["proof"];
    let (address, nodes) = (array(&proof["address"]), byte_lists(&proof["accountProof"]));
    let expected = Account {
        nonce: u64::from_str_radix(&proof["nonce"].as_str().unwrap()[2..], 16).unwrap(),
        balance: {
            let balance = bytes(&proof["balance"]);
            let zeros = balance.iter().take_while(|byte| **byte == 0).count();
            dsm_evm_proof::rlp::number(&balance[zeros..]).unwrap()
        },
        storage_root: array(&proof["storageHash"]),
        code_hash: array(&proof["codeHash"]),
    };
    assert_eq!(prove_account(&root, &address, &nodes), Ok(Shown::Present(expected)));
    let slot = &proof["storageProof"][0];
    let value = bytes(&slot["value"]);
    let mut expected_word = [0; 32];
    expected_word[32 - value.len()..].copy_from_slice(&value);
    let storage = byte_lists(&slot["proof"]);
    assert_eq!(prove_storage(&expected.storage_root, &word(0), &storage), Ok(Shown::Present(expected_word)));
    // B5: another slot, another account, the storage of another root.
    assert!(prove_storage(&expected.storage_root, &word(1), &storage).is_err());
    assert!(prove_storage(&root, &word(0), &storage).is_err());
    assert!(prove_account(&root, &[7; 20], &nodes).is_err());
}

const RETH_ADDRESS: &str = "0x2031f89b3ea8014eb51a78c316e42af3e0d7695f";
/// The nodes that reth's own test expects for this account.
const RETH_NODES: [&str; 3] = [
    "e48200a7a040f916999be583c572cc4dd369ec53b0a99f7de95f13880cf203d98f935ed1b3",
    "f87180a04fb9bab4bb88c062f32452b7c94c8f64d07b5851d44a39f1e32ba4b1829fdbfb8080808080a0b61eeb2eb82808b73c4ad14140a2836689f4ab8445d69dd40554eaf1fce34bc080808080808080a0dea230ff2026e65de419288183a340125b04b8405cc61627b3b4137e2260a1e880",
    "f8719f31355ec1c8f7e26bb3ccbcb0b75d870d15846c0b98e5cc452db46c37faea40b84ff84d80890270801d946c940000a056e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421a0c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470",
];

#[test]
fn the_accounts_of_a_genuine_state_are_shown_and_others_are_absent() {
    let file = vector("eip1186/reth-proof-genesis.json");
    let mut trie = Trie::default();
    let mut accounts = Vec::new();
    for (address, account) in file["alloc"].as_object().unwrap() {
        let address: [u8; 20] = hex::decode(&address[2..]).unwrap().try_into().unwrap();
        let balance = u128::from_str_radix(&account["balance"].as_str().unwrap()[2..], 16).unwrap();
        trie.insert_hashed(&address, account_value(0, balance, EMPTY_ROOT, EMPTY_CODE));
        accounts.push((address, balance));
    }
    let root = trie.root();
    let expected: Vec<Vec<u8>> = RETH_NODES.iter().map(|node| hex::decode(node).unwrap()).collect();
    assert_eq!(trie.proof_hashed(&array::<20>(&RETH_ADDRESS.into())), expected);
    for (address, balance) in accounts {
        let account =
            Account { nonce: 0, balance: word(balance), storage_root: EMPTY_ROOT, code_hash: EMPTY_CODE };
        let shown = prove_account(&root, &address, &trie.proof_hashed(&address));
        assert_eq!(shown, Ok(Shown::Present(account)));
    }
    for stranger in 0..50 {
        let address = [stranger; 20];
        assert_eq!(prove_account(&root, &address, &trie.proof_hashed(&address)), Ok(Shown::Absent));
    }
}

#[test]
fn b4_the_empty_trie_shows_absence_only_under_its_own_root() {
    let (path, none) = (Path::hashed(b"x"), Vec::<Vec<u8>>::new());
    assert_eq!(ask(&EMPTY_ROOT, &path, &none), Ok(Shown::Absent));
    assert_eq!(ask(&EMPTY_ROOT, &path, &[vec![0x80]]), Ok(Shown::Absent));
    for nodes in [vec![vec![0x80], vec![0x80]], vec![vec![0xc0]], vec![vec![]]] {
        assert_eq!(ask(&EMPTY_ROOT, &path, &nodes), Err(NotShown::EmptyTrieWithNodes));
    }
    assert_eq!(ask(&[0; 32], &path, &none), Err(NotShown::ZeroRoot));
    assert_eq!(ask(&[0; 32], &path, &[vec![0x80]]), Err(NotShown::ZeroRoot));
    assert_eq!(ask(&[1; 32], &path, &none), Err(NotShown::NoNodes));
    assert_eq!(ask(&[1; 32], &path, &[vec![0x80]]), Err(NotShown::RootHash));
    assert_eq!(ask(&[1; 32], &path, &[vec![]]), Err(NotShown::RootHash));
}

/// A branch with these children, each already written as a reference.
fn branch(children: &[(usize, Vec<u8>)], value: &[u8]) -> Vec<u8> {
    write_list(|items| {
        for nibble in 0..16 {
            let child = children.iter().find(|(at, _)| *at == nibble);
            items.raw(child.map_or(&[0x80], |(_, child)| child));
        }
        items.bytes(value);
    })
}

fn pair(path: &[u8], second: &[u8]) -> Vec<u8> {
    write_list(|items| _ = items.bytes(path).raw(second))
}

fn leaf(path: &[u8], value: &[u8]) -> Vec<u8> {
    write_list(|items| _ = items.bytes(&hex_prefix(path, true)).bytes(value))
}

/// Each row is a chain of nodes whose hashes are right, so that only the rule that it breaks can refuse it. The path is
/// 1, 2, 3, 4.
#[test]
fn b1_b3_b6_crafted_nodes_are_refused_by_the_rule_that_they_break() {
    let value = [0x55; 40];
    let spare = leaf(&[9, 9, 9, 9], &value);
    let hash = |node: &[u8]| reference(node);
    let other = (5, hash(&spare));
    let short = leaf(&[2, 3, 4], b"v");
    assert!(short.len() < 32);
    let long = leaf(&[2, 3, 4], &value);
    let named_short = [&[0xa0], keccak256(&[&short]).as_slice()].concat();
    let deep_branch = branch(&[(2, hash(&leaf(&[3, 4], &value))), (7, hash(&spare))], &[]);
    let extension = |path: &[u8], child: &[u8]| pair(&hex_prefix(path, false), child);
    let node = 0;
    let rows: Vec<(&str, Vec<Vec<u8>>, NotShown)> = vec![
        (
            "a short node by its hash",
            vec![branch(&[(1, named_short), other.clone()], &[]), short.clone()],
            NotShown::NotEmbedded { node: 1 },
        ),
        (
            "a long node embedded",
            vec![branch(&[(1, long.clone()), other.clone()], &[])],
            NotShown::EmbeddedTooLong { node },
        ),
        (
            "a long node embedded where the path does not lead",
            vec![branch(&[(1, hash(&long)), (9, long.clone())], &[]), long.clone()],
            NotShown::EmbeddedTooLong { node },
        ),
        (
            "an embedded node that is none, where the path does not lead",
            vec![branch(&[(1, hash(&long)), (9, vec![0xc1, 0x80])], &[]), long.clone()],
            NotShown::Arity { node },
        ),
        (
            "a leaf below an extension",
            vec![extension(&[1], &hash(&long)), long.clone()],
            NotShown::ExtensionChild { node: 1 },
        ),
        (
            "an extension below an extension",
            vec![
                extension(&[1], &hash(&extension(&[2], &hash(&deep_branch)))),
                extension(&[2], &hash(&deep_branch)),
            ],
            NotShown::ExtensionChild { node: 1 },
        ),
        ("an extension to nothing", vec![extension(&[1], &[0x80])], NotShown::Reference { node }),
        (
            "an extension without path",
            vec![extension(&[], &hash(&deep_branch))],
            NotShown::EmptyExtension { node },
        ),
        ("a path of no bytes", vec![pair(&[], &[0x80])], NotShown::HexPrefix { node }),
        ("padding that is not zero", vec![pair(&[0x21, 0x12, 0x34], &[0x61])], NotShown::HexPrefix { node }),
        ("a flag of four", vec![pair(&[0x40, 0x12, 0x34], &[0x61])], NotShown::HexPrefix { node }),
        (
            "a leaf whose value is a list",
            vec![pair(&hex_prefix(&[1, 2, 3, 4], true), &[0xc0])],
            NotShown::EmptyValue { node },
        ),
        ("a leaf without value", vec![leaf(&[1, 2, 3, 4], &[])], NotShown::EmptyValue { node }),
        (
            "a branch of one child",
            vec![branch(&[(1, hash(&long))], &[]), long.clone()],
            NotShown::SparseBranch { node },
        ),
        ("a branch of a value alone", vec![branch(&[], b"v")], NotShown::SparseBranch { node }),
        (
            "a reference of 31 bytes",
            vec![branch(&[(1, [&[0x9f][..], &[7; 31]].concat()), other.clone()], &[])],
            NotShown::Reference { node },
        ),
        (
            "a reference of 33 bytes",
            vec![branch(&[(3, [&[0xa1][..], &[7; 33]].concat()), other.clone()], &[])],
            NotShown::Reference { node },
        ),
        (
            "three items",
            vec![write_list(|items| _ = items.number(1).number(2).number(3))],
            NotShown::Arity { node },
        ),
        (
            "sixteen items",
            vec![write_list(|items| (0..16).for_each(|_| _ = items.bytes(&[])))],
            NotShown::Arity { node },
        ),
        ("an empty list", vec![vec![0xc0]], NotShown::Arity { node }),
        (
            "the same node twice",
            vec![leaf(&[1, 2, 3, 4], b"v"), leaf(&[1, 2, 3, 4], b"v")],
            NotShown::UnusedNodes { spare: 1 },
        ),
        (
            // B3: what a leaf holds is a value, even if it is somebody's hash.
            "a leaf's value followed as a reference",
            vec![leaf(&[1, 2, 3, 4], &keccak256(&[&long])), long.clone()],
            NotShown::UnusedNodes { spare: 1 },
        ),
        (
            "a cut below a branch",
            vec![branch(&[(1, hash(&long)), other.clone()], &[])],
            NotShown::MissingNode { node: 1 },
        ),
        (
            "a cut below an extension",
            vec![extension(&[1], &hash(&deep_branch))],
            NotShown::MissingNode { node: 1 },
        ),
        ("a longer node than any", vec![vec![0; NODE_BYTES_MAX + 1]], NotShown::NodeTooLong { node }),
        ("more nodes than any path", vec![leaf(&[1, 2, 3, 4], b"v"); NODES_MAX + 1], NotShown::TooManyNodes),
    ];
    for (name, nodes, expected) in rows {
        let root = keccak256(&[&nodes[0]]);
        assert_eq!(ask(&root, &Path::plain(&[0x12, 0x34]), &nodes), Err(expected), "{name}");
    }
    // The same pieces, put together rightly.
    let honest = vec![branch(&[(1, hash(&long)), other], &[]), long];
    let root = keccak256(&[&honest[0]]);
    assert_eq!(ask(&root, &Path::plain(&[0x12, 0x34]), &honest), Ok(Shown::Present(value.to_vec())));
    assert_eq!(ask(&root, &Path::plain(&[0x22, 0x34]), &honest[..1]), Ok(Shown::Absent));
}

#[test]
fn b1_a_child_that_is_not_the_named_one_is_refused() {
    let (mine, other) = (leaf(&[2, 3, 4], &[1; 40]), leaf(&[2, 3, 4], &[2; 40]));
    let root = branch(&[(1, reference(&mine)), (5, reference(&other))], &[]);
    let nodes = [root.clone(), other];
    let found = ask(&keccak256(&[&root]), &Path::plain(&[0x12, 0x34]), &nodes);
    assert_eq!(found, Err(NotShown::ChildHash { node: 1 }));
}

/// B5, B7: in a trie of hashed keys all paths have 64 nibbles; nothing shorter or longer means anything.
#[test]
fn b7_paths_that_fit_no_hashed_key_are_refused() {
    let key = b"key";
    let path = nibbles(&keccak256(&[key]));
    let stranger = reference(&leaf(&[1], &[9; 40]));
    let beside = |nibble: u8, child: Vec<u8>| {
        let other = usize::from((nibble + 1) % 16);
        branch(&[(usize::from(nibble), child), (other, stranger.clone())], &[])
    };
    let long = leaf(&[path[1..].to_vec(), vec![0, 0]].concat(), &[1; 40]);
    let short = leaf(&path[1..60], &[1; 40]);
    let end = branch(&[(1, stranger.clone()), (2, stranger.clone())], &[]);
    let to_end = pair(&hex_prefix(&path, false), &reference(&end));
    let with_value = branch(&[(usize::from(path[0]), stranger.clone())], b"value of the empty key");
    let rows = [
        ("a leaf with a longer path", vec![beside(path[0], reference(&long)), long], 1),
        ("a leaf with a shorter path", vec![beside(path[0], reference(&short)), short], 1),
        ("an extension that uses up the path", vec![to_end, end], 0),
        ("a branch with a value", vec![with_value], 0),
    ];
    for (name, nodes, node) in rows {
        let root = keccak256(&[&nodes[0]]);
        assert_eq!(ask(&root, &Path::hashed(key), &nodes), Err(NotShown::KeyLength { node }), "{name}");
    }
}

#[test]
fn b6_storage_words_and_accounts_have_one_spelling() {
    let key = word(5);
    let of_word = |value: &[u8]| {
        let mut trie = Trie::default();
        trie.insert_hashed(&key, value.to_vec());
        prove_storage(&trie.root(), &key, &trie.proof_hashed(&key))
    };
    assert_eq!(of_word(&word_value(&word(300))), Ok(Shown::Present(word(300))));
    let wrong: [&[u8]; 7] = [
        &[0x80],                           // zero is never stored
        &[0x00],                           // zero as a byte
        &[0x82, 0x00, 0x01],               // a leading zero
        &[0x81, 0x01],                     // a small byte behind a length
        &[0xc1, 0x01],                     // a list
        &[0x01, 0x01],                     // two items
        &[&[0xa1][..], &[1; 33]].concat(), // 33 bytes
    ];
    for value in wrong {
        assert_eq!(of_word(value), Err(NotShown::StorageValue), "{value:?}");
    }
    let address = [3; 20];
    let of_account = |value: Vec<u8>| {
        let mut trie = Trie::default();
        trie.insert_hashed(&address, value);
        prove_account(&trie.root(), &address, &trie.proof_hashed(&address)).map_err(|error| error.code())
    };
    let spelled =
        |fields: &[&[u8]]| write_list(|items| fields.iter().for_each(|field| _ = items.bytes(field)));
    let hash: &[u8] = &EMPTY_ROOT;
    let wrong = [
        spelled(&[&[], &[], hash]),
        spelled(&[&[], &[], hash, hash, &[1]]),
        spelled(&[&[0], &[], hash, hash]),
        spelled(&[&[], &[0, 1], hash, hash]),
        spelled(&[&[1; 9], &[], hash, hash]),
        spelled(&[&[], &[1; 33], hash, hash]),
        spelled(&[&[], &[], &hash[1..], hash]),
        spelled(&[&[], &[], hash, &[hash, &[1]].concat()]),
        vec![0x83, 1, 2, 3],
    ];
    for value in wrong {
        assert_eq!(of_account(value.clone()), Err("mpt_account"), "{value:?}");
    }
    assert!(of_account(spelled(&[&[], &[], hash, hash])).is_ok());
}

/// Proofs of alloy-trie about these keys.
fn alloy(trie: &Trie, path: &[u8]) -> (Hash, Vec<Vec<u8>>) {
    let target = Nibbles::from_nibbles(path);
    let mut builder = HashBuilder::default().with_proof_retainer(ProofRetainer::new(vec![target]));
    for (key, value) in trie.entries() {
        builder.add_leaf(Nibbles::from_nibbles(key), value);
    }
    let root = builder.root();
    let nodes = builder.take_proof_nodes().into_nodes_sorted();
    (root.0, nodes.into_iter().map(|(_, node)| node.to_vec()).collect())
}

fn alloy_says(root: &Hash, path: &[u8], value: Option<&[u8]>, nodes: &[Vec<u8>]) -> bool {
    let nodes: Vec<_> = nodes.iter().map(|node| node.clone().into()).collect();
    verify_proof((*root).into(), Nibbles::from_nibbles(path), value.map(<[u8]>::to_vec), &nodes).is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Tries of hashed keys, as accounts and storage are: root, proof and answer are those of alloy-trie.
    #[test]
    fn in_random_tries_we_say_what_alloy_trie_says(
        keys in prop::collection::btree_set(any::<u16>(), 0..150),
        asked in prop::collection::vec(any::<u16>(), 4),
        length in 1_usize..60,
    ) {
        let mut trie = Trie::default();
        let value = |key: u16| [&key.to_be_bytes()[..], &vec![1; length]].concat();
        for key in &keys {
            trie.insert_hashed(&key.to_be_bytes(), value(*key));
        }
        let root = trie.root();
        for key in asked.into_iter().chain(keys.iter().copied().take(4)) {
            let path = nibbles(&keccak256(&[&key.to_be_bytes()]));
            let nodes = trie.proof(&path);
            let (alloy_root, alloy_nodes) = alloy(&trie, &path);
            prop_assert_eq!(root, alloy_root);
            if !keys.is_empty() {
                prop_assert_eq!(&nodes, &alloy_nodes);
            }
            let (present, expected) = (keys.contains(&key), value(key));
            let shown = if present { Shown::Present(expected.clone()) } else { Shown::Absent };
            prop_assert_eq!(ask(&root, &Path::hashed(&key.to_be_bytes()), &nodes), Ok(shown));
            prop_assert_eq!(alloy_says(&root, &path, Some(&expected), &nodes), present);
            prop_assert_eq!(alloy_says(&root, &path, None, &nodes), !present);
        }
    }

    /// Tries of short keys with small values, whose lower nodes are embedded in their parents.
    #[test]
    fn where_nodes_are_embedded_we_say_what_alloy_trie_says(
        keys in prop::collection::btree_set(any::<[u8; 2]>(), 1..300),
        spread in 1_u8..=255,
        asked in prop::collection::vec(any::<[u8; 2]>(), 4),
    ) {
        let mut trie = Trie::default();
        for key in &keys {
            trie.insert_plain(&[key[0] % spread, key[1]], vec![1 + key[1] % 100]);
        }
        let root = trie.root();
        let stored: Vec<Vec<u8>> = trie.entries().keys().take(4).cloned().collect();
        for path in asked.iter().map(|key| nibbles(key)).chain(stored) {
            let nodes = trie.proof(&path);
            prop_assert_eq!(root, alloy(&trie, &path).0);
            let value = trie.entries().get(&path);
            let shown = value.map_or(Shown::Absent, |value| Shown::Present(value.clone()));
            let plain: Vec<u8> = path.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
            prop_assert_eq!(ask(&root, &Path::plain(&plain), &nodes), Ok(shown));
            // alloy-trie does not take a root node of fewer than 32 bytes by its hash.
            let small = nodes[0].len() < 32;
            prop_assert!(small || alloy_says(&root, &path, value.map(Vec::as_slice), &nodes));
        }
    }
}
