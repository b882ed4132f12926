// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// An ERC-20 without surprises.
contract PlainToken {
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        allowance[msg.sender][spender] = amount;
        return true;
    }

    function transfer(address to, uint256 amount) external virtual returns (bool) {
        move(msg.sender, to, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external virtual returns (bool) {
        draw(from, amount);
        move(from, to, amount);
        return true;
    }

    function draw(address from, uint256 amount) internal {
        allowance[from][msg.sender] -= amount;
    }

    function move(address from, address to, uint256 amount) internal virtual {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }
}

/// Like the oldest tokens: moves, and says nothing.
contract NoReturnToken is PlainToken {
    function transfer(address to, uint256 amount) external override returns (bool) {
        move(msg.sender, to, amount);
        assembly {
            return(0, 0)
        }
    }

    function transferFrom(address from, address to, uint256 amount) external override returns (bool) {
        draw(from, amount);
        move(from, to, amount);
        assembly {
            return(0, 0)
        }
    }
}

/// Says false where others revert, and moves nothing.
contract FalseToken is PlainToken {
    function transfer(address, uint256) external pure override returns (bool) {
        return false;
    }

    function transferFrom(address, address, uint256) external pure override returns (bool) {
        return false;
    }
}

/// Says something that is neither nothing nor true: one byte, the number 2, a megabyte.
contract BabblingToken is PlainToken {
    uint256 public answer = 1;
    uint256 public size = 32;

    function babble(uint256 answer_, uint256 size_) external {
        (answer, size) = (answer_, size_);
    }

    function transferFrom(address from, address to, uint256 amount) external override returns (bool) {
        draw(from, amount);
        move(from, to, amount);
        (uint256 answer_, uint256 size_) = (answer, size);
        assembly {
            mstore(0, answer_)
            return(0, size_)
        }
    }
}

/// Keeps one percent of what is moved.
contract FeeToken is PlainToken {
    function move(address from, address to, uint256 amount) internal override {
        balanceOf[from] -= amount;
        balanceOf[to] += amount - amount / 100;
    }
}

/// Takes one percent more from the sender than arrives.
contract SenderFeeToken is PlainToken {
    function move(address from, address to, uint256 amount) internal override {
        balanceOf[from] -= amount + amount / 100;
        balanceOf[to] += amount;
    }
}

/// Gives the recipient more than was sent.
contract GenerousToken is PlainToken {
    function move(address from, address to, uint256 amount) internal override {
        balanceOf[from] -= amount;
        balanceOf[to] += amount + 1;
    }
}

/// Says that it moved, and moves nothing.
contract LazyToken is PlainToken {
    function move(address, address, uint256) internal override {}
}

/// Whole supply shrinks or grows by decree.
contract RebasingToken is PlainToken {
    function rebase(address who, uint256 units) external {
        balanceOf[who] = units;
    }
}

/// Calls whoever is concerned before it moves, as ERC-777 does.
contract HookedToken is PlainToken {
    address public hook;

    function setHook(address hook_) external {
        hook = hook_;
    }

    function move(address from, address to, uint256 amount) internal override {
        if (hook != address(0)) Hook(hook).tokensMoved();
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }
}

interface Hook {
    function tokensMoved() external;
}

/// Makes a prepared call whenever it is called, and keeps the answer.
contract Reenterer is Hook {
    address public target;
    bytes public attempt;
    uint256 public attempts;
    bytes4 public refusal;
    bool public succeeded;

    function prepare(address target_, bytes calldata attempt_) external {
        (target, attempt) = (target_, attempt_);
    }

    function tokensMoved() public {
        if (target == address(0)) return;
        attempts += 1;
        (bool ok, bytes memory answer) = target.call(attempt);
        succeeded = succeeded || ok;
        refusal = bytes4(answer);
    }

    receive() external payable {
        tokensMoved();
    }
}

/// Refuses ether.
contract Closed {
    receive() external payable {
        revert("closed");
    }
}

/// Takes ether and answers with a megabyte.
contract Bomb {
    receive() external payable {
        assembly {
            revert(0, 1000000)
        }
    }
}
