// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// Calls of tokens that were not written by us: an answer is nothing at all or exactly `true`, and at most 32 bytes of
/// it are ever copied.
library Erc20 {
    error NoCode(address token);
    error TokenRefused(address token);

    function balanceOf(address token, address owner) internal view returns (uint256 units) {
        bool ok;
        bytes memory data = abi.encodeWithSignature("balanceOf(address)", owner);
        assembly ("memory-safe") {
            ok := staticcall(gas(), token, add(data, 32), mload(data), 0, 32)
            ok := and(ok, gt(returndatasize(), 31))
            units := mload(0)
        }
        if (!ok) revert TokenRefused(token);
    }

    function transfer(address token, address to, uint256 amount) internal {
        _call(token, abi.encodeWithSignature("transfer(address,uint256)", to, amount));
    }

    function transferFrom(address token, address from, address to, uint256 amount) internal {
        _call(token, abi.encodeWithSignature("transferFrom(address,address,uint256)", from, to, amount));
    }

    function _call(address token, bytes memory data) private {
        // Qubit: a call of an address without code succeeds and moves nothing.
        if (token.code.length == 0) revert NoCode(token);
        bool ok;
        assembly ("memory-safe") {
            ok := call(gas(), token, 0, add(data, 32), mload(data), 0, 32)
            let size := returndatasize()
            ok := and(ok, or(iszero(size), and(gt(size, 31), eq(mload(0), 1))))
        }
        if (!ok) revert TokenRefused(token);
    }
}
