//! How much of disk, CPU and network challenges may use: what the provider grants in `[limits]`.
//!
//! Work is done first and paid for afterwards. Each resource has an allowance that fills up with time and is spent by
//! use; whoever overdraws it rests until it is even again. What was saved up in [`WINDOW`] may be spent at once, so
//! that a short challenge shows what the machine can do.

use assay_protocol::config::LimitSection;
use nix::time::{ClockId, clock_gettime};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What is saved up at most: the grant of so much time.
pub const WINDOW: Duration = Duration::from_secs(2);
/// Debts below the grant of so much time are not worth a rest.
const SLACK: Duration = Duration::from_millis(5);
const NS_PER_S: i128 = 1_000_000_000;

/// Something that fills up by time and is spent by use. Knows no clock: time is an argument.
#[derive(Debug)]
struct Allowance {
    /// Units granted a second.
    per_second: u64,
    /// Units left times 10⁹; below 0 in debt.
    level: i128,
    /// When it was filled up last, since any fixed moment.
    filled: Duration,
}

impl Allowance {
    /// Full at the moment zero.
    fn new(per_second: u64) -> Self {
        let mut new = Self {
            per_second: per_second.max(1),
            level: 0,
            filled: Duration::ZERO,
        };
        new.level = new.grant(WINDOW);
        new
    }

    fn grant(&self, time: Duration) -> i128 {
        let ns = i128::try_from(time.as_nanos()).unwrap_or(i128::MAX);
        i128::from(self.per_second).saturating_mul(ns)
    }

    /// Spends `units` at `now`; how long to rest before the next use.
    fn spend(&mut self, now: Duration, units: u64) -> Duration {
        let since = now.saturating_sub(self.filled);
        self.filled = self.filled.max(now);
        let filled = self.level.saturating_add(self.grant(since));
        let spent = i128::from(units).saturating_mul(NS_PER_S);
        self.level = filled.min(self.grant(WINDOW)).saturating_sub(spent);
        let debt = self.level.saturating_neg();
        if debt <= self.grant(SLACK) {
            return Duration::ZERO;
        }
        let per_second = u128::from(self.per_second);
        let ns = debt.unsigned_abs().div_ceil(per_second);
        Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
    }
}

/// A share of a resource that is not limited when absent.
type Share = Option<Mutex<Allowance>>;

fn spend(share: &Share, now: Duration, units: u64) -> Duration {
    share.as_ref().map_or(Duration::ZERO, |share| {
        let mut allowance = share.lock().unwrap_or_else(PoisonError::into_inner);
        allowance.spend(now, units)
    })
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Nanoseconds of each second: `percent` of `whole` resources.
fn time_share(percent: u8, whole: u64) -> Share {
    let each = u64::from(percent).saturating_mul(10_000_000);
    (percent < 100).then(|| Mutex::new(Allowance::new(each.saturating_mul(whole))))
}

/// What all challenges together may use.
#[derive(Debug)]
pub struct Duty {
    origin: Instant,
    /// Time with challenges at the disk.
    disk: Share,
    /// CPU time of challenges.
    cpu: Share,
    /// Bytes of challenges' messages.
    network: Share,
}

impl Duty {
    /// As the provider set it, on a machine of so many CPU threads.
    pub fn of(limits: &LimitSection, threads: u64) -> Self {
        let network = limits.network_bytes_per_s_max;
        Self {
            origin: Instant::now(),
            disk: time_share(limits.disk_share_max_percent, 1),
            cpu: time_share(limits.cpu_share_max_percent, threads.max(1)),
            network: network.map(|bytes| Mutex::new(Allowance::new(bytes))),
        }
    }

    /// Whether challenges never rest for disk or CPU.
    fn is_free(&self) -> bool {
        self.disk.is_none() && self.cpu.is_none()
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// Starts to measure work in this thread, which is one of `parts` that do one piece of work together.
    pub fn meter(&self, parts: u32) -> Meter<'_> {
        let mut meter = Meter {
            duty: self,
            parts: parts.max(1),
            wall: Duration::ZERO,
            cpu: Duration::ZERO,
            owed: Duration::ZERO,
        };
        meter.restart();
        meter
    }

    /// Pays for what one of `parts` threads did together with the others until `now`; how long to rest.
    fn charge(&self, now: Duration, wall: Duration, parts: u32, computed: Duration) -> Duration {
        let disk = spend(&self.disk, now, nanoseconds(wall / parts));
        disk.max(spend(&self.cpu, now, nanoseconds(computed)))
    }

    /// Counts bytes that a challenge sent or received; how long to rest before more of them.
    pub fn carried(&self, bytes: usize) -> Duration {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        match &self.network {
            Some(_) => spend(&self.network, self.now(), bytes),
            None => Duration::ZERO,
        }
    }
}

#[cfg(test)]
impl Duty {
    /// Spends what was saved up of disk and CPU.
    pub(crate) fn exhaust(&self) {
        for share in [&self.disk, &self.cpu] {
            let all = share
                .as_ref()
                .map_or(0, |share| share.lock().unwrap().per_second * 2);
            let _ = spend(share, self.now(), all);
        }
    }
}

/// Measures what one thread does for a challenge.
#[derive(Debug)]
pub struct Meter<'a> {
    duty: &'a Duty,
    parts: u32,
    wall: Duration,
    cpu: Duration,
    owed: Duration,
}

impl Meter<'_> {
    /// Pays for the work since the last call; whether a rest is owed.
    pub fn is_due(&mut self) -> bool {
        if self.duty.is_free() {
            return false;
        }
        let (wall, cpu) = (self.wall, self.cpu);
        self.restart();
        let worked = self.wall.saturating_sub(wall);
        let computed = self.cpu.saturating_sub(cpu);
        self.owed = self.duty.charge(self.wall, worked, self.parts, computed);
        !self.owed.is_zero()
    }

    /// Rests as long as is owed, what was done since [`Meter::is_due`] included.
    pub fn rest(&mut self) {
        if !self.owed.is_zero() {
            self.is_due();
            std::thread::sleep(self.owed);
            self.owed = Duration::ZERO;
            self.restart();
        }
    }

    fn restart(&mut self) {
        if self.duty.is_free() {
            return;
        }
        self.wall = self.duty.now();
        if self.duty.cpu.is_some() {
            let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
            self.cpu = time.map_or(self.cpu, Duration::from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn what_was_saved_up_is_free_and_the_rest_is_rested_for() {
        // 250 units a second, 500 saved up.
        let mut allowance = Allowance::new(250);
        assert_eq!(allowance.spend(S, 500), Duration::ZERO);
        assert_eq!(allowance.spend(S, 1), Duration::ZERO);
        assert_eq!(allowance.spend(S, 249), S);
        // It rested, and is even again.
        assert_eq!(allowance.spend(2 * S, 0), Duration::ZERO);
        assert_eq!(allowance.spend(2 * S, 25), ms(100));
    }

    #[test]
    fn no_more_is_saved_up_than_the_grant_of_the_window() {
        let mut allowance = Allowance::new(1_000);
        assert_eq!(allowance.spend(1_000 * S, 2_000), Duration::ZERO);
        assert_eq!(allowance.spend(1_000 * S, 1_000), S);
    }

    #[test]
    fn small_debts_are_remembered_but_not_rested_for() {
        let mut allowance = Allowance::new(1_000);
        assert_eq!(allowance.spend(S, 2_005), Duration::ZERO);
        assert_eq!(allowance.spend(S, 1), ms(6));
    }

    #[test]
    fn time_that_goes_back_grants_nothing() {
        let mut allowance = Allowance::new(1_000);
        assert_eq!(allowance.spend(10 * S, 2_000), Duration::ZERO);
        assert_eq!(allowance.spend(S, 1_000), S);
        assert_eq!(allowance.spend(10 * S, 0), S);
        assert!(!allowance.spend(Duration::MAX, u64::MAX).is_zero());
    }

    #[test]
    fn over_a_long_time_the_share_is_kept() {
        let mut allowance = Allowance::new(300_000_000);
        let (mut now, mut worked) = (Duration::ZERO, Duration::ZERO);
        while now < 1_000 * S {
            now += ms(1);
            worked += ms(1);
            now += allowance.spend(now, 1_000_000);
        }
        let percent = worked.as_nanos() * 100 / now.as_nanos();
        assert_eq!(percent, 30);
    }

    #[test]
    fn shares_are_of_one_disk_and_of_all_processors() {
        let per_second = |share: Share| share.map(|share| share.into_inner().unwrap().per_second);
        assert_eq!(per_second(time_share(100, 8)), None);
        assert_eq!(per_second(time_share(25, 1)), Some(250_000_000));
        assert_eq!(per_second(time_share(25, 8)), Some(2_000_000_000));
        let limits = LimitSection {
            network_bytes_per_s_max: Some(100_000),
            ..LimitSection::default()
        };
        let duty = Duty::of(&limits, 2);
        assert!(duty.is_free());
        assert_eq!(per_second(duty.network), Some(100_000));
    }

    #[test]
    fn nothing_is_measured_or_owed_without_limits() {
        let duty = Duty::of(&LimitSection::default(), 2);
        let mut meter = duty.meter(1);
        assert!(!meter.is_due());
        assert_eq!((meter.wall, meter.owed), (Duration::ZERO, Duration::ZERO));
        assert_eq!(duty.carried(usize::MAX), Duration::ZERO);
    }

    /// Half of the disk, and half of two processors: a second of the one and two of the other are saved up.
    fn halves() -> Duty {
        let limits = LimitSection {
            disk_share_max_percent: 50,
            cpu_share_max_percent: 50,
            ..LimitSection::default()
        };
        Duty::of(&limits, 2)
    }

    #[test]
    fn threads_that_work_together_pay_for_the_disk_once_and_each_for_its_processor() {
        let charge = |wall, parts, computed| halves().charge(Duration::ZERO, wall, parts, computed);
        assert_eq!(charge(8 * S, 1, Duration::ZERO), 14 * S);
        assert_eq!(charge(8 * S, 4, Duration::ZERO), 2 * S);
        assert_eq!(charge(Duration::ZERO, 1, 5 * S), 3 * S);
        assert_eq!(charge(4 * S, 4, 5 * S), 3 * S);
        assert_eq!(charge(8 * S, 4, 3 * S), 2 * S);
    }

    #[test]
    fn a_meter_reads_the_processor_time_of_its_thread() {
        let limits = LimitSection {
            cpu_share_max_percent: 50,
            ..LimitSection::default()
        };
        let duty = Duty::of(&limits, 2);
        let mut meter = duty.meter(0);
        assert_eq!(meter.parts, 1);
        let (wall, before) = (meter.wall, meter.cpu);
        let used = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap());
        let start = used();
        assert!(before <= start, "read when the meter was made");
        while used() < start + ms(3) {}
        assert!(!meter.is_due(), "that much is saved up");
        assert!(meter.cpu >= before + ms(3) && meter.wall > wall);
    }

    #[test]
    fn whoever_has_rested_is_even() {
        let duty = halves();
        let mut meter = duty.meter(1);
        // Everything that is saved up, and a fifth of a second.
        assert!(!spend(&duty.disk, duty.now(), 1_200_000_000).is_zero());
        meter.owed = ms(1);
        meter.rest();
        assert_eq!(meter.owed, Duration::ZERO);
        assert!(spend(&duty.disk, duty.now(), 0).is_zero());
        let wall = meter.wall;
        meter.rest();
        assert_eq!(meter.wall, wall, "nothing was owed");
    }

    #[test]
    fn work_is_paid_for_by_its_thread() {
        let limits = LimitSection {
            disk_share_max_percent: 1,
            network_bytes_per_s_max: Some(65_536),
            ..LimitSection::default()
        };
        let duty = Duty::of(&limits, 1);
        assert!(!duty.carried(10 * 65_536).is_zero());
        let mut meter = duty.meter(1);
        let debt = spend(&duty.disk, duty.now(), 10 * NS_PER_S as u64);
        assert!(!debt.is_zero());
        // However little was worked, the debt of all is rested for.
        assert!(meter.is_due());
        assert!(!meter.owed.is_zero());
    }
}
