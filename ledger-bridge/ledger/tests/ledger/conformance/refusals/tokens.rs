//! What is approved, and what the token refuses.

use alloy_sol_types::SolCall;
use assay_ledger::abi::TestToken;
use assay_ledger::{Action, Chain, LedgerKey};
use assay_protocol::ids::{self, Epoch, Keccak, Stake};

use crate::conformance::rent::offered;
use crate::network::*;

fn allowance(net: &Network, owner: &LedgerKey, spender: ids::Address) -> u128 {
    let call = TestToken::allowanceCall {
        owner: owner.address().0.into(),
        spender: spender.0.into(),
    };
    let token = net.ledger.contracts().token;
    let output = net.chain.call(token.0.into(), &call.abi_encode()).unwrap();
    let allowed = TestToken::allowanceCall::abi_decode_returns_validate(&output);
    allowed.unwrap().to()
}

fn nonce(net: &Network, key: &LedgerKey) -> u64 {
    net.chain.nonce(key.address().0.into()).unwrap()
}

fn approve(net: &Network, owner: &LedgerKey, spender: ids::Address, amount: u128) {
    let call = TestToken::approveCall {
        spender: spender.0.into(),
        value: alloy_primitives::U256::from(amount),
    };
    net.calls(owner, net.ledger.contracts().token, &call);
}

#[test]
fn exactly_what_an_action_takes_is_approved_and_gone_with_it() {
    let net = offered();
    net.post(&net.root(1, Keccak([9; 32])), &[0, 1, 2]).unwrap();
    let actions = [
        (deployer(), Action::fund(Epoch(9), 3, Stake(7)), 21),
        (hypernode(1), Action::bond(Stake(11)), 11),
        (provider(), Action::top_up(NODE, Stake(13)), 13),
        (builder(), Action::reserve(NODE, Epoch(3), 2, Stake(10)), 20),
        (builder(), Action::dispute(Epoch(1), BOND), BOND.0),
    ];
    let c = *net.ledger.contracts();
    for (key, action, taken) in actions {
        let (tokens, sent) = (net.tokens(&key), nonce(&net, &key));
        net.does(&key, &action).unwrap();
        assert_eq!(tokens - net.tokens(&key), taken, "{}", action.name);
        assert_eq!(nonce(&net, &key), sent + 2, "approval and action");
        for spender in [c.epochs, c.stake, c.nodes, c.reservations] {
            assert_eq!(allowance(&net, &key, spender), 0, "{}", action.name);
        }
    }
    let takes_nothing = Action::unbond(Stake(1));
    let sent = nonce(&net, &hypernode(1));
    net.does(&hypernode(1), &takes_nothing).unwrap();
    assert_eq!(nonce(&net, &hypernode(1)), sent + 1);
}

#[test]
fn an_allowance_that_is_large_enough_is_left_alone_and_a_smaller_one_replaced() {
    let net = Network::open(&STAKES);
    let (key, stake) = (hypernode(0), net.ledger.contracts().stake);
    approve(&net, &key, stake, 30);
    let sent = nonce(&net, &key);
    net.does(&key, &Action::bond(Stake(10))).unwrap();
    assert_eq!(nonce(&net, &key), sent + 1, "no approval");
    assert_eq!(allowance(&net, &key, stake), 20);
    net.does(&key, &Action::bond(Stake(21))).unwrap();
    assert_eq!(nonce(&net, &key), sent + 3);
    assert_eq!(allowance(&net, &key, stake), 0, "21 in all, not 41");
}

#[test]
fn no_tokens_and_no_allowance() {
    let net = offered();
    let poor = key(40);
    for action in [
        Action::register_hypernode(&proven(&net.ledger, poor.address(), &new_hypernode(7, 40))),
        Action::fund(Epoch(9), 1, Stake(7)),
        Action::register_node(&assay_ledger::NewNode {
            node: ids::NodeId([0x22; 32]),
            ..new_node(500)
        }),
        Action::reserve(NODE, Epoch(3), 1, Stake(10)),
    ] {
        // A prepared action is tried out as it is: nothing was approved.
        refused(
            net.ledger.prepare(&poor, &action),
            "ERC20InsufficientAllowance",
        );
        let (sent, chain) = (nonce(&net, &poor), net.chain.height().unwrap());
        short_of_tokens(net.does(&poor, &action));
        assert_eq!(
            (nonce(&net, &poor), net.chain.height().unwrap()),
            (sent, chain)
        );
    }
    net.post(&net.root(1, Keccak([9; 32])), &[0, 1, 2]).unwrap();
    let dispute = Action::dispute(Epoch(1), BOND);
    refused(
        net.ledger.prepare(&provider(), &dispute),
        "ERC20InsufficientAllowance",
    );
    let nobody = Action::mint(ids::Address([0; 20]), Stake(1));
    refused(net.does(&poor, &nobody), "ERC20InvalidReceiver");
}

#[test]
fn a_bond_that_is_believed_to_be_smaller_is_not_paid() {
    let net = Network::ready();
    net.post(&net.root(0, Keccak([9; 32])), &[0, 1, 2]).unwrap();
    let cheap = Action::dispute(Epoch(0), Stake(BOND.0 - 1));
    refused(net.does(&provider(), &cheap), "ERC20InsufficientAllowance");
}
