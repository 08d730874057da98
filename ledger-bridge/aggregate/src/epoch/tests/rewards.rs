//! Rewards out of a budget, and decided slots, through whole epochs.

use super::*;

const SECOND: Address = Address([0xbb; 20]);

/// Passing nodes 1 to n of these owners, confirmed before.
fn passing(owners: &[Address], budget: u128) -> Case {
    let mut case = Case::new();
    let (registered, report) = (case.registrations[0], node_report(1));
    let nodes: Vec<_> = (1..)
        .zip(owners)
        .map(|(n, owner)| (node(n), *owner))
        .collect();
    case.registrations.clear();
    for (node, provider) in &nodes {
        case.registrations.push(Registration {
            node: *node,
            provider: *provider,
            ..registered
        });
    }
    for included in case.reports.values_mut() {
        let one = |(node, owner): &(NodeId, Address)| {
            let mut own = report.clone();
            (own.node, own.attest.owner) = (*node, Some(*owner));
            own
        };
        included.report.nodes = nodes.iter().map(one).collect();
    }
    case.prior = confirmed(nodes);
    case.budget = budget;
    case
}

fn sums(outcome: &EpochOutcome) -> Vec<(Address, u128)> {
    let sum = |leaf: &RewardLeaf| (leaf.provider, leaf.cumulative_reward);
    outcome.rewards.iter().map(sum).collect()
}

#[test]
fn a_providers_nodes_earn_into_one_leaf_and_the_root_has_the_sum_of_all() {
    let outcome = passing(&[SECOND, OWNER, SECOND], u128::MAX).run();
    assert_eq!(sums(&outcome), [(OWNER, REWARD), (SECOND, 2 * REWARD)]);
    assert_eq!(outcome.root.cumulative_reward, 3 * REWARD);
    assert_eq!((outcome.leaves.len(), outcome.root.leaf_count), (3, 5));
    let nodes = outcome.leaves.iter().map(NodeLeaf::hash);
    for leaf in nodes.chain(outcome.rewards.iter().map(RewardLeaf::hash)) {
        let proof = outcome.tree.proof(&leaf).unwrap();
        assert!(crate::root::verify_proof(&leaf, &proof, &outcome.root.root));
    }
}

#[test]
fn a_budget_too_small_is_shared_and_never_exceeded() {
    let owners = [OWNER, SECOND, SECOND];
    let all = passing(&owners, 3 * REWARD).run();
    assert_eq!(all.root.cumulative_reward, 3 * REWARD, "just enough");
    // A third of what is there for each node, rounded down; the rest goes to nobody.
    let less = passing(&owners, 3 * REWARD - 1).run();
    assert_eq!(
        sums(&less),
        [(OWNER, REWARD - 1), (SECOND, 2 * (REWARD - 1))]
    );
    let two = passing(&owners, 2).run();
    assert_eq!((sums(&two), two.root.leaf_count), (vec![], 3));
    let none = passing(&owners, 0).run();
    assert_eq!((sums(&none), none.root.cumulative_reward), (vec![], 0));
    // What was not paid is not owed: the next epoch pays for itself.
    let mut next = passing(&owners, u128::MAX);
    next.prior = less.states;
    assert_eq!(next.earned(), 3 * (REWARD - 1) + 3 * REWARD);
}

#[test]
fn who_asks_for_more_gets_more_of_a_small_budget() {
    let mut case = passing(&[OWNER, SECOND], 4);
    let mut dear = class().into_class();
    (dear.name, dear.money.reward_gwei_per_epoch) = ("dear".into(), 15);
    let dear = ValidClass::new(dear).unwrap();
    case.registrations[1].class = dear.digest();
    case.params.classes.push(dear.digest());
    case.params.classes.sort();
    let network = case.params.network_id();
    for included in case.reports.values_mut() {
        included.report.network = network;
        included.report.nodes[1].class = dear.digest();
    }
    case.classes.insert(dear.digest(), dear);
    assert_eq!(sums(&case.run()), [(OWNER, 1), (SECOND, 3)]);
}

#[test]
fn only_the_owner_of_an_earlier_root_is_paid() {
    let mut case = passing(&[OWNER, SECOND], u128::MAX);
    case.prior.nodes.remove(&node(2));
    let outcome = case.run();
    assert_eq!(outcome.states.nodes[&node(2)].confirmed_owner, Some(SECOND));
    assert_eq!(sums(&outcome), [(OWNER, REWARD)]);
    // And it takes nothing of the others' budget.
    case.budget = REWARD;
    assert_eq!(sums(&case.run()), [(OWNER, REWARD)]);
}

#[test]
fn sums_that_would_not_fit_are_cut_and_impossible_ones_refused() {
    let mut case = passing(&[OWNER, SECOND], u128::MAX);
    case.prior.rewards = [(OWNER, u128::MAX - 3)].into();
    let outcome = case.run();
    assert_eq!(sums(&outcome), [(OWNER, u128::MAX - 2), (SECOND, 1)]);
    assert_eq!(outcome.root.cumulative_reward, u128::MAX - 1);
    case.prior.rewards = [(OWNER, u128::MAX), (SECOND, 1)].into();
    let refused = Aggregator::new(case.input()).unwrap().epoch();
    assert_eq!(refused, Err(EpochError::RewardsTooLarge));
}

#[test]
fn slots_are_counted_before_the_owner_is_confirmed_and_only_when_judged() {
    let mut case = Case::new();
    case.prior = States::default();
    case.change(&[0, 1, 2, 3], |report| {
        report.attest.owner = None;
        report.cells.0[..3].fill(Cell::Unanswered as u8);
        report.cells.0[3..5].fill(Cell::Inconclusive as u8);
    });
    let first = case.run();
    assert!(!first.leaves[0].confirmed);
    let slots = |leaf: &NodeLeaf| (leaf.cumulative_up_slots, leaf.cumulative_down_slots);
    assert_eq!(slots(&first.leaves[0]), (25, 3));
    case.prior = first.states;
    assert_eq!(slots(&case.leaf()), (50, 6));
    // Without a quorum nothing was decided.
    case.reports.remove(&hyper(0));
    assert_eq!(slots(&case.leaf()), (25, 3));
    let state = case.prior.nodes.get_mut(&node(1)).unwrap();
    (state.cumulative_up_slots, state.cumulative_down_slots) = (u64::MAX, u64::MAX - 1);
    let whole = Case {
        prior: case.prior.clone(),
        ..Case::new()
    };
    assert_eq!(slots(&whole.leaf()), (u64::MAX, u64::MAX - 1));
}

/// What is random about a node: its owner, whether it passes, whether an earlier root confirmed it.
type Kind = (u8, bool, bool);

fn world(kinds: &[Kind], earned: &[(u8, u128)], budget: u128) -> Case {
    let address = |n: u8| Address([n + 1; 20]);
    let owners: Vec<_> = kinds.iter().map(|kind| address(kind.0)).collect();
    let mut case = passing(&owners, budget);
    for ((_, passes, is_known), n) in kinds.iter().zip(1..) {
        if !is_known {
            case.prior.nodes.remove(&node(n));
        }
        for included in case.reports.values_mut().filter(|_| !passes) {
            included.report.nodes[usize::from(n) - 1].attest.class = OutcomeClass::Fail;
        }
    }
    case.prior.rewards = earned.iter().map(|(n, sum)| (address(*n), *sum)).collect();
    case
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn money_is_conserved_whatever_the_budget(
        kinds in proptest::collection::vec((0u8..4, any::<bool>(), any::<bool>()), 1..7),
        earned in proptest::collection::vec((0u8..6, 1u128..1 << 100), 0..4),
        budget in prop_oneof![0u128..10, 0..8 * REWARD, Just(u128::MAX)],
        turn in 0usize..7,
    ) {
        let case = world(&kinds, &earned, budget);
        let outcome = case.run();
        let asking = kinds.iter().filter(|(_, passes, is_known)| *passes && *is_known);
        let asked = asking.clone().count() as u128 * REWARD;
        let before: u128 = case.prior.rewards.values().sum();
        let after: u128 = outcome.rewards.iter().map(|leaf| leaf.cumulative_reward).sum();
        prop_assert_eq!(after, outcome.root.cumulative_reward);
        prop_assert_eq!(outcome.states.rewards.values().sum::<u128>(), after);
        let (grown, given) = (after - before, asked.min(budget));
        prop_assert!(grown <= given && given - grown <= asking.count() as u128, "{grown} of {given}");
        for (provider, sum) in &case.prior.rewards {
            prop_assert!(outcome.states.rewards[provider] >= *sum);
        }
        prop_assert!(outcome.rewards.is_sorted_by(|a, b| a.provider < b.provider));
        let leaves = outcome.leaves.len() + outcome.rewards.len();
        prop_assert_eq!(outcome.root.leaf_count as usize, leaves);

        // Nodes under other ids, so asked in another order: every provider earns the same.
        let mut turned = kinds.clone();
        turned.rotate_left(turn % kinds.len());
        prop_assert_eq!(world(&turned, &earned, budget).run().rewards, outcome.rewards);
    }

    #[test]
    fn a_nodes_leaf_does_not_depend_on_other_money(
        kinds in proptest::collection::vec((0u8..4, any::<bool>(), any::<bool>()), 1..7),
        earned in proptest::collection::vec((0u8..6, 1u128..1 << 100), 0..4),
        budgets in [0..8 * REWARD, 0..8 * REWARD],
    ) {
        let [rich, poor] = [world(&kinds, &earned, budgets[0]), world(&kinds, &[], budgets[1])];
        let (rich, poor, outcome) = (&rich, Aggregator::new(poor.input()).unwrap(), rich.run());
        for leaf in &outcome.leaves {
            let (alone, state) = poor.node(leaf.node, Rivals::default());
            prop_assert_eq!(&alone, leaf);
            prop_assert_eq!(state, outcome.states.nodes[&leaf.node]);
            let before = rich.prior.nodes.get(&leaf.node).copied().unwrap_or_default();
            prop_assert!(state.cumulative_up_slots >= before.cumulative_up_slots);
        }
    }

    #[test]
    fn decided_slots_only_grow_and_by_no_more_than_an_epoch_has(
        epochs in proptest::collection::vec(proptest::collection::vec(0u8..6, SLOTS), 1..6),
    ) {
        let mut case = Case::new();
        let mut before = (0, 0);
        for cells in epochs {
            case.change(&[0, 1, 2, 3], |report| report.cells.0.clone_from(&cells));
            let outcome = case.run();
            let leaf = &outcome.leaves[0];
            let (up, down) = (leaf.cumulative_up_slots, leaf.cumulative_down_slots);
            prop_assert!(up >= before.0 && down >= before.1);
            let decided = up + down - before.0 - before.1;
            let covered = u64::from(leaf.coverage.0) * SLOTS as u64;
            prop_assert_eq!(decided, covered.div_ceil(1_000_000));
            before = (up, down);
            case.prior = outcome.states;
        }
    }
}
