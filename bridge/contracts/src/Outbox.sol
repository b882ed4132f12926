// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// DSM's outbox tree: the shape of RFC 6962 with Keccak-256, leaf prefix 0x00, node prefix 0x01 (ADR 0001).
library Outbox {
    bytes32 internal constant LEAF = keccak256("DSM/outbox/1");
    /// The lane whose payloads are meant for EVM chains. One tree holds all lanes.
    uint256 internal constant LANE_EVM = 1;

    /// Where a leaf stands and who emitted it.
    struct Leaf {
        uint64 index;
        /// The DSM token for which a policy emitted the leaf. Zero is an account's own leaf and worth nothing here.
        bytes32 token;
        bytes32 actor;
        bytes32 transition;
    }

    /// The hash of a leaf of the EVM lane. 257 hashed bytes, so no leaf is ever a node's 65.
    function hash(bytes32 network, Leaf calldata leaf, bytes32 payloadHash) internal pure returns (bytes32) {
        bytes memory words = abi.encode(
            LEAF, network, uint256(leaf.index), LANE_EVM, leaf.token, leaf.actor, leaf.transition, payloadHash
        );
        return keccak256(abi.encodePacked(bytes1(0x00), words));
    }

    /// Whether `proof` leads from the leaf at `index` to the root of a tree of `size` leaves, with not one hash more or
    /// fewer (RFC 9162, 2.1.3.2). A tree of one leaf is the only one whose proof is empty.
    function includes(bytes32 root, uint64 size, uint64 index, bytes32 leaf, bytes32[] calldata proof)
        internal
        pure
        returns (bool)
    {
        if (root == bytes32(0) || index >= size) return false;
        uint256 position = index;
        uint256 last = uint256(size) - 1;
        bytes32 node = leaf;
        for (uint256 i = 0; i < proof.length; ++i) {
            if (last == 0) return false;
            bytes32 sibling = proof[i];
            if (position & 1 == 1 || position == last) {
                node = _node(sibling, node);
                // A last node without a right sibling has risen unhashed.
                while (position & 1 == 0 && position != 0) {
                    position >>= 1;
                    last >>= 1;
                }
            } else {
                node = _node(node, sibling);
            }
            position >>= 1;
            last >>= 1;
        }
        return last == 0 && node == root;
    }

    function _node(bytes32 left, bytes32 right) private pure returns (bytes32 result) {
        // keccak256(0x01 ‖ left ‖ right), put together in free memory, which stays free.
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore8(free, 1)
            mstore(add(free, 1), left)
            mstore(add(free, 33), right)
            result := keccak256(free, 65)
        }
    }
}
