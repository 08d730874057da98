//! Every rule by itself, then the machine against a chain that does what chains do, in any order.

use super::*;
use proptest::prelude::*;

const POLICY: Policy = Policy {
    fee_cap: 1_000,
    replace_after_ms: 60,
    resend_after_ms: 10,
};
const CALM: Market = Market { base: 10, tip: 2 };

fn seen() -> Seen {
    Seen {
        nonce: 5,
        nonce_latest: 5,
        nonce_final: 5,
        height_final: 100,
        receipts: vec![None],
        fee: Fee { max: 22, tip: 2 },
        gas_limit: 100,
        balance: 100_000,
        market: CALM,
        since_sent_ms: Some(0),
        since_signed_ms: 0,
        stuck_for_ms: None,
        blocks_since_signed: 0,
    }
}

fn at(block: u64) -> Option<Inclusion> {
    Some(Inclusion {
        block,
        success: true,
    })
}

#[test]
fn what_this_process_did_not_send_is_sent() {
    let fresh = Seen {
        since_sent_ms: None,
        ..seen()
    };
    assert_eq!(next(&fresh, &POLICY), Next::Send);
    assert_eq!(next(&seen(), &POLICY), Next::Wait(Why::Pending));
}

#[test]
fn silence_sends_the_same_again_and_then_offers_more() {
    let mut slow = seen();
    (slow.since_sent_ms, slow.since_signed_ms) = (Some(10), 10);
    assert_eq!(next(&slow, &POLICY), Next::Send);
    slow.since_signed_ms = 60;
    assert_eq!(next(&slow, &POLICY), Next::Send, "no block came");
    slow.blocks_since_signed = 2;
    let more = Fee { max: 25, tip: 3 };
    assert_eq!(next(&slow, &POLICY), Next::Replace(more));
    slow.fee = Fee { max: 990, tip: 3 };
    assert_eq!(next(&slow, &POLICY), Next::Send, "over the cap, only again");
    slow.since_sent_ms = Some(1);
    assert_eq!(next(&slow, &POLICY), Next::Wait(Why::FeeCap));
}

#[test]
fn a_spike_is_followed_before_the_time_is_up() {
    let mut spike = seen();
    spike.market = Market { base: 300, tip: 2 };
    assert_eq!(next(&spike, &POLICY), Next::Wait(Why::Pending));
    spike.since_signed_ms = 10;
    assert_eq!(
        next(&spike, &POLICY),
        Next::Replace(Fee { max: 602, tip: 3 })
    );
}

/// Bytes that the account cannot pay are refused, and nobody can take back that they were signed.
#[test]
fn no_more_is_offered_than_the_account_has() {
    let mut poor = seen();
    (poor.since_sent_ms, poor.since_signed_ms) = (Some(1), 60);
    poor.blocks_since_signed = 2;
    poor.balance = 2_500;
    assert_eq!(next(&poor, &POLICY), Next::Replace(Fee { max: 25, tip: 3 }));
    poor.balance = 2_499;
    assert_eq!(next(&poor, &POLICY), Next::Wait(Why::FeeCap));
    poor.since_sent_ms = Some(10);
    assert_eq!(next(&poor, &POLICY), Next::Send, "what there is, again");
}

#[test]
fn what_no_block_can_take_is_left_after_a_time() {
    let stuck = |stuck_for_ms| Seen {
        nonce: 7,
        stuck_for_ms,
        since_signed_ms: 1_000,
        ..seen()
    };
    assert_eq!(next(&stuck(Some(59)), &POLICY), Next::Wait(Why::Pending));
    assert_eq!(next(&stuck(Some(60)), &POLICY), Next::End(End::Left));
    assert_eq!(next(&stuck(None), &POLICY), Next::Wait(Why::Pending));
    let included = Seen {
        nonce_latest: 8,
        receipts: vec![at(101)],
        ..stuck(Some(60))
    };
    let next = next(&included, &POLICY);
    assert!(matches!(next, Next::Wait(Why::Finality { .. })), "{next:?}");
}

#[test]
fn a_block_is_waited_for_until_it_is_final() {
    let mut included = seen();
    (included.nonce_latest, included.receipts) = (6, vec![at(101)]);
    let wait = Next::Wait(Why::Finality {
        block: 101,
        height_final: 100,
    });
    assert_eq!(next(&included, &POLICY), wait);
    (included.nonce_final, included.height_final) = (6, 101);
    let end = |number, success| Next::End(End::Final { number, success });
    assert_eq!(next(&included, &POLICY), end(0, true));
    included.receipts = vec![
        None,
        Some(Inclusion {
            block: 101,
            success: false,
        }),
    ];
    assert_eq!(next(&included, &POLICY), end(1, false));
}

#[test]
fn a_receipt_that_the_nonce_contradicts_counts_for_nothing() {
    let mut lie = seen();
    lie.receipts = vec![at(90)];
    lie.since_sent_ms = Some(10);
    assert_eq!(next(&lie, &POLICY), Next::Send, "the nonce is not used");
    lie.since_sent_ms = None;
    assert_eq!(next(&lie, &POLICY), Next::Send);
    // And a final nonce whose receipt is said to be in a later block is waited for.
    (lie.nonce_latest, lie.nonce_final, lie.receipts) = (6, 6, vec![at(200)]);
    assert!(matches!(
        next(&lie, &POLICY),
        Next::Wait(Why::Finality { .. })
    ));
}

#[test]
fn a_nonce_that_others_used_is_over_when_that_is_final() {
    let mut taken = seen();
    taken.nonce_latest = 6;
    assert_eq!(next(&taken, &POLICY), Next::Wait(Why::Contested));
    taken.nonce_final = 6;
    assert_eq!(next(&taken, &POLICY), Next::End(End::Superseded));
}

/// What can happen to the world between two looks at it.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// A block takes the bytes with this number of the pool, if it may.
    Include(u8),
    /// A block takes somebody else's bytes with our nonce.
    Foreign,
    /// The newest blocks that are not final are replaced by empty ones; their transactions are lost.
    Reorg,
    /// The pool forgets everything.
    Evict,
    /// All blocks are final.
    Finalize,
    /// The process is killed and starts again.
    Kill,
    /// Time passes.
    Pass(u8),
    /// Gas costs this.
    Fee(u16),
    /// The node shows receipts of the bytes with this number that are not there, for one look.
    Lie(u8),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        any::<u8>().prop_map(Event::Include),
        Just(Event::Foreign),
        Just(Event::Reorg),
        Just(Event::Evict),
        Just(Event::Finalize),
        Just(Event::Kill),
        (0..100u8).prop_map(Event::Pass),
        (1..1_200u16).prop_map(Event::Fee),
        any::<u8>().prop_map(Event::Lie),
    ]
}

/// One nonce of one account on a chain, and a process that wants it used for one thing.
struct World {
    stored: Vec<Fee>,
    pool: Vec<usize>,
    /// Who used the nonce (`None`: somebody else), in which block.
    used: Option<(Option<usize>, u64)>,
    height: u64,
    height_final: u64,
    market: Market,
    now: u64,
    sent_at: Option<u64>,
    signed_at: u64,
    signed_height: u64,
    lie: Option<usize>,
    ended: Option<End>,
}

impl World {
    fn new() -> Self {
        Self {
            stored: vec![Fee::offer(&CALM, POLICY.fee_cap)],
            pool: Vec::new(),
            used: None,
            height: 10,
            height_final: 10,
            market: CALM,
            now: 0,
            sent_at: None,
            signed_at: 0,
            signed_height: 10,
            lie: None,
            ended: None,
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Include(which) => {
                let fit = |i: &&usize| self.stored[**i].covers(&self.market);
                let takers: Vec<usize> = self.pool.iter().filter(fit).copied().collect();
                if let Some(taken) = takers.get(usize::from(which) % takers.len().max(1)) {
                    self.block(Some(*taken));
                }
            }
            Event::Foreign => self.block(None),
            Event::Reorg => {
                if self
                    .used
                    .is_some_and(|(_, block)| block > self.height_final)
                {
                    (self.used, self.height) = (None, self.height + 1);
                }
            }
            Event::Evict => self.pool.clear(),
            Event::Finalize => {
                self.height += 1;
                self.height_final = self.height;
            }
            Event::Kill => {
                (self.sent_at, self.signed_at) = (None, self.now);
                self.signed_height = self.height;
            }
            Event::Pass(ms) => self.now += u64::from(ms),
            Event::Fee(base) => self.market.base = u128::from(base),
            Event::Lie(which) => self.lie = Some(usize::from(which) % self.stored.len()),
        }
    }

    fn block(&mut self, by: Option<usize>) {
        if self.used.is_none() {
            self.height += 1;
            self.used = Some((by, self.height));
            self.pool.clear();
        }
    }

    fn look(&mut self) -> Seen {
        let used_by = |height| self.used.filter(|(_, block)| *block <= height);
        let mut receipts = vec![None; self.stored.len()];
        if let Some((Some(index), block)) = self.used {
            receipts[index] = at(block);
        }
        if let Some(index) = self.lie.take()
            && self.used.is_none()
        {
            receipts[index] = at(self.height_final);
        }
        Seen {
            nonce: 0,
            nonce_latest: used_by(u64::MAX).is_some().into(),
            nonce_final: used_by(self.height_final).is_some().into(),
            height_final: self.height_final,
            receipts,
            fee: *self.stored.last().unwrap(),
            gas_limit: 1,
            balance: u128::MAX,
            market: self.market,
            since_sent_ms: self.sent_at.map(|at| self.now - at),
            since_signed_ms: self.now - self.signed_at,
            stuck_for_ms: None,
            blocks_since_signed: self.height - self.signed_height,
        }
    }

    fn step(&mut self) {
        if self.ended.is_some() {
            return;
        }
        match next(&self.look(), &POLICY) {
            Next::Replace(fee) => {
                let old = *self.stored.last().unwrap();
                assert!(fee.max <= POLICY.fee_cap && fee.max * 8 >= old.max * 9);
                self.stored.push(fee);
                (self.signed_at, self.signed_height) = (self.now, self.height);
                self.send();
            }
            Next::Send => self.send(),
            Next::Wait(_) => {}
            Next::End(end) => self.end(end),
        }
    }

    /// What the node answers is not looked at.
    fn send(&mut self) {
        self.sent_at = Some(self.now);
        let newest = self.stored.len() - 1;
        if self.used.is_none() && !self.pool.contains(&newest) {
            self.pool.push(newest);
        }
    }

    fn end(&mut self, end: End) {
        let (by, block) = self.used.expect("an end needs a used nonce");
        assert!(block <= self.height_final, "an end is final");
        match end {
            End::Final { number, .. } => assert_eq!(by, Some(number)),
            End::Superseded => assert_eq!(by, None),
            End::Left => panic!("nothing is missing, and the key is there"),
        }
        self.ended = Some(end);
    }
}

proptest! {
    /// No end before it is true for ever; and when the world behaves again, there is an end, with one inclusion.
    #[test]
    fn whatever_happens_the_end_is_final_true_and_reached(
        events in proptest::collection::vec(event(), 0..80),
    ) {
        let mut world = World::new();
        for event in events {
            world.happens(event);
            world.step();
        }
        world.market = CALM;
        for _ in 0..20 {
            world.happens(Event::Pass(100));
            world.step();
            world.happens(Event::Include(0));
            world.step();
            world.happens(Event::Finalize);
            world.step();
        }
        prop_assert!(world.ended.is_some(), "{:?}", world.look());
    }
}
