//! Calls, events and errors, generated from the artifacts.
#![allow(missing_docs, unreachable_pub, clippy::all, clippy::unwrap_used)]

use alloy_sol_types::sol;

sol!(
    #[sol(all_derives)]
    DsmBridge,
    "artifacts/DsmBridge.json"
);
sol!(
    #[sol(all_derives)]
    DsmWrapped,
    "artifacts/DsmWrapped.json"
);
sol!(
    #[sol(all_derives)]
    EcdsaQuorum,
    "artifacts/EcdsaQuorum.json"
);
sol!(
    #[sol(all_derives)]
    SlhDsaQuorum,
    "artifacts/SlhDsaQuorum.json"
);
sol!(
    #[sol(all_derives)]
    HybridQuorum,
    "artifacts/HybridQuorum.json"
);
sol! {
    /// What the bridge asks of an ERC-20, and what a depositor calls before a lock.
    #[sol(all_derives)]
    interface IAsset {
        function approve(address spender, uint256 amount) external returns (bool);
        function allowance(address owner, address spender) external view returns (uint256);
        function balanceOf(address owner) external view returns (uint256);
        function transfer(address to, uint256 amount) external returns (bool);
        function decimals() external view returns (uint8);
        function symbol() external view returns (string);
        function totalSupply() external view returns (uint256);
    }
}
