// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// A DSM token as an ERC-20: the bridge mints what DSM's outbox released and burns what goes back.
///
/// Which token it stands for, and under which policy that token moves at home, are fixed at its birth. There is no owner,
/// no pause and no upgrade here; only the bridge changes the supply.
contract DsmWrapped {
    error OnlyBridge();
    error TextTooLong();
    error BadRecipient(address to);
    error InsufficientBalance(address from, uint256 balance, uint256 amount);
    error InsufficientAllowance(address spender, uint256 allowance, uint256 amount);

    event Transfer(address indexed from, address indexed to, uint256 value);
    event Approval(address indexed owner, address indexed spender, uint256 value);

    uint256 public constant NAME_BYTES_MAX = 64;
    uint256 public constant SYMBOL_BYTES_MAX = 16;
    /// A CIDv1 of a 32-byte hash has 36 bytes in binary and 59 as base32 text.
    uint256 public constant CID_BYTES_MAX = 64;

    /// The bridge that made this token.
    address public immutable bridge;
    /// The DSM token that it stands for.
    bytes32 public immutable dsmToken;
    uint8 public immutable decimals;

    string public name;
    string public symbol;
    /// The content id of the policy that the token obeys on DSM.
    bytes public policyCid;

    uint256 public totalSupply;
    mapping(address owner => uint256) public balanceOf;
    mapping(address owner => mapping(address spender => uint256)) public allowance;

    constructor(bytes32 dsmToken_, bytes memory policyCid_, string memory name_, string memory symbol_, uint8 decimals_) {
        if (
            policyCid_.length > CID_BYTES_MAX || bytes(name_).length > NAME_BYTES_MAX
                || bytes(symbol_).length > SYMBOL_BYTES_MAX
        ) revert TextTooLong();
        bridge = msg.sender;
        dsmToken = dsmToken_;
        decimals = decimals_;
        policyCid = policyCid_;
        name = name_;
        symbol = symbol_;
    }

    modifier onlyBridge() {
        if (msg.sender != bridge) revert OnlyBridge();
        _;
    }

    /// New units, for a leaf of the outbox that the bridge has verified.
    function mint(address to, uint256 amount) external onlyBridge {
        if (to == address(0) || to == address(this)) revert BadRecipient(to);
        totalSupply += amount;
        unchecked {
            // No balance exceeds the total, which has just been checked.
            balanceOf[to] += amount;
        }
        emit Transfer(address(0), to, amount);
    }

    /// Units that go home. The bridge burns of its own caller alone, so no allowance is asked for.
    function burn(address from, uint256 amount) external onlyBridge {
        _take(from, amount);
        unchecked {
            totalSupply -= amount;
        }
        emit Transfer(from, address(0), amount);
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        _move(msg.sender, to, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        uint256 allowed = allowance[from][msg.sender];
        if (allowed != type(uint256).max) {
            if (allowed < amount) revert InsufficientAllowance(msg.sender, allowed, amount);
            unchecked {
                allowance[from][msg.sender] = allowed - amount;
            }
        }
        _move(from, to, amount);
        return true;
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        allowance[msg.sender][spender] = amount;
        emit Approval(msg.sender, spender, amount);
        return true;
    }

    function _move(address from, address to, uint256 amount) private {
        if (to == address(0) || to == address(this)) revert BadRecipient(to);
        _take(from, amount);
        unchecked {
            balanceOf[to] += amount;
        }
        emit Transfer(from, to, amount);
    }

    function _take(address from, uint256 amount) private {
        uint256 balance = balanceOf[from];
        if (balance < amount) revert InsufficientBalance(from, balance, amount);
        unchecked {
            balanceOf[from] = balance - amount;
        }
    }
}
