//! When the next request may go: pure decisions, times are arguments.
//!
//! Times are Unix milliseconds that never go back while the process runs.

/// Longest pause after failures, unless the interval itself is longer.
pub(super) const BACKOFF_MS_MAX: u64 = 300_000;
/// What doubles, when the interval itself is shorter.
const BACKOFF_MS_MIN: u64 = 1_000;
/// Longest pause a service may ask for.
pub(super) const RETRY_AFTER_MS_MAX: u64 = 3_600_000;

/// Doublings after which every pause is at its cap.
const DOUBLINGS_MAX: u32 = 20;

/// How a request ended, as far as the pace is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// The service works, whatever it said.
    Served,
    /// It asked for a pause, perhaps for how long.
    Busy { retry_after_ms: Option<u64> },
    /// It does not work, or is not the service.
    Failed,
}

/// The pace of requests to one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pacer {
    interval_ms: u64,
    /// When the last request began, and when it ended once it has.
    last_ms: Option<u64>,
    not_before_ms: u64,
    failures: u32,
}

impl Pacer {
    /// Of a service that was never asked.
    pub(super) fn new(interval_ms: u64) -> Self {
        Self {
            interval_ms,
            last_ms: None,
            not_before_ms: 0,
            failures: 0,
        }
    }

    /// As an earlier process left it. What cannot be read, or lies in the future, counts as a request just now:
    /// neither a damaged file nor a clock set back lets anybody hammer the service, or wait without end.
    pub(super) fn resume(interval_ms: u64, memory: &str, now_ms: u64) -> Self {
        let (last_ms, not_before_ms, failures) = parse(memory).unwrap_or((now_ms, 0, 0));
        let longest = now_ms.saturating_add(RETRY_AFTER_MS_MAX.max(interval_ms));
        Self {
            interval_ms,
            last_ms: Some(last_ms.min(now_ms)),
            not_before_ms: not_before_ms.min(longest),
            failures: failures.min(DOUBLINGS_MAX),
        }
    }

    /// What the next process has to know; one line.
    pub(super) fn memory(&self) -> String {
        let last_ms = self.last_ms.unwrap_or(0);
        format!("{last_ms} {} {}\n", self.not_before_ms, self.failures)
    }

    /// Least time between two requests.
    pub(super) fn interval_ms(&self) -> u64 {
        self.interval_ms
    }

    /// How long to wait, zero when a request may go now.
    pub(super) fn wait_ms(&self, now_ms: u64) -> u64 {
        let paced = self
            .last_ms
            .map_or(0, |last| last.saturating_add(self.interval_ms));
        paced.max(self.not_before_ms).saturating_sub(now_ms)
    }

    /// A request goes out now.
    pub(super) fn started(&mut self, now_ms: u64) {
        self.last_ms = Some(now_ms);
    }

    /// It ended now. The interval counts from here: however long a request was under way before it reached the
    /// service, the next one reaches it an interval later.
    pub(super) fn answered(&mut self, now_ms: u64, answer: Answer) {
        self.last_ms = Some(now_ms);
        let pause_ms = match answer {
            Answer::Served => {
                self.failures = 0;
                return;
            }
            Answer::Busy {
                retry_after_ms: Some(asked),
            } => asked.min(RETRY_AFTER_MS_MAX),
            Answer::Busy { .. } | Answer::Failed => self.backoff_ms(),
        };
        self.failures = self.failures.saturating_add(1).min(DOUBLINGS_MAX);
        self.not_before_ms = now_ms.saturating_add(pause_ms);
    }

    /// The interval doubled once for this failure and once for each before it.
    fn backoff_ms(&self) -> u64 {
        let doubled = 1u64 << self.failures.saturating_add(1).min(DOUBLINGS_MAX);
        let once = self.interval_ms.max(BACKOFF_MS_MIN);
        once.saturating_mul(doubled).min(BACKOFF_MS_MAX)
    }
}

fn parse(memory: &str) -> Option<(u64, u64, u32)> {
    let mut parts = memory.strip_suffix('\n')?.split(' ');
    let parsed = (
        parts.next()?.parse().ok()?,
        parts.next()?.parse().ok()?,
        parts.next()?.parse().ok()?,
    );
    parts.next().is_none().then_some(parsed)
}

/// The pause a `Retry-After` header asks for: seconds, or a date in the preferred form (RFC 9110 sections 10.2.3 and
/// 5.6.7). Nothing for anything else.
pub(super) fn retry_after_ms(value: &str, now_ms: u64) -> Option<u64> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = value.parse().unwrap_or(u64::MAX);
        return Some(seconds.saturating_mul(1_000));
    }
    let at_ms = date_s(value)?.saturating_mul(1_000);
    Some(at_ms.saturating_sub(now_ms))
}

/// Unix seconds of `Sun, 06 Nov 1994 08:49:37 GMT`. The day of the week is not looked at.
fn date_s(value: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (week_day, rest) = value.split_once(", ")?;
    let parts: Vec<&str> = rest.split([' ', ':']).collect();
    let [day, month, year, hour, minute, second, "GMT"] = parts[..] else {
        return None;
    };
    if week_day.len() != 3 || rest.len() != "06 Nov 1994 08:49:37 GMT".len() {
        return None;
    }
    let month = 1 + MONTHS.iter().position(|name| *name == month)? as u64;
    let year = number(year, 4, 1970..=9999)?;
    let days = days_before(year, month) + number(day, 2, 1..=31)? - 1;
    let hours = days * 24 + number(hour, 2, 0..=23)?;
    Some((hours * 60 + number(minute, 2, 0..=59)?) * 60 + number(second, 2, 0..=60)?)
}

fn number(text: &str, digits: usize, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
    let plain = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    let value = text.parse().ok().filter(|_| plain)?;
    range.contains(&value).then_some(value)
}

/// Days from 1 January 1970 to the first of a month of the Gregorian calendar.
fn days_before(year: u64, month: u64) -> u64 {
    const BEFORE_MONTH: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let leap_days = |years: u64| years / 4 - years / 100 + years / 400;
    let is_leap = leap_days(year) > leap_days(year - 1);
    let leap_day = u64::from(is_leap && month > 2);
    let before_year = (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969);
    before_year + BEFORE_MONTH[(month - 1) as usize] + leap_day
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: u64 = 1_800_000_000_000;
    const INTERVAL: u64 = 10_000;

    fn asked(answer: Answer) -> Pacer {
        let mut pacer = Pacer::new(INTERVAL);
        pacer.started(NOW);
        pacer.answered(NOW, answer);
        pacer
    }

    #[test]
    fn the_first_request_goes_at_once_and_the_second_an_interval_later() {
        let mut pacer = Pacer::new(INTERVAL);
        assert_eq!(pacer.wait_ms(NOW), 0);
        pacer.started(NOW);
        assert_eq!(pacer.wait_ms(NOW), INTERVAL);
        assert_eq!(pacer.wait_ms(NOW + INTERVAL - 1), 1);
        assert_eq!(pacer.wait_ms(NOW + INTERVAL), 0);
        pacer.answered(NOW + 3, Answer::Served);
        assert_eq!(pacer.wait_ms(NOW + INTERVAL), 3);
    }

    #[test]
    fn failures_double_the_pause_up_to_the_cap_and_success_ends_it() {
        let mut pacer = Pacer::new(INTERVAL);
        let mut waits = Vec::new();
        for _ in 0..40 {
            pacer.answered(NOW, Answer::Failed);
            waits.push(pacer.wait_ms(NOW));
        }
        assert_eq!(waits[..5], [20_000, 40_000, 80_000, 160_000, 300_000]);
        assert!(waits[5..].iter().all(|wait| *wait == BACKOFF_MS_MAX));
        let later = NOW + BACKOFF_MS_MAX;
        pacer.answered(later, Answer::Served);
        assert_eq!(pacer.wait_ms(later), INTERVAL);
        pacer.answered(later, Answer::Failed);
        assert_eq!(pacer.wait_ms(later), 2 * INTERVAL);
    }

    #[test]
    fn a_pause_asked_for_is_kept_within_its_bounds() {
        let wait = |retry_after_ms| asked(Answer::Busy { retry_after_ms }).wait_ms(NOW);
        assert_eq!(wait(Some(90_000)), 90_000);
        assert_eq!(wait(Some(0)), INTERVAL);
        assert_eq!(wait(Some(u64::MAX)), RETRY_AFTER_MS_MAX);
        assert_eq!(wait(None), 2 * INTERVAL);
    }

    #[test]
    fn an_interval_longer_than_the_cap_is_kept() {
        let mut pacer = Pacer::new(2 * BACKOFF_MS_MAX);
        pacer.answered(NOW, Answer::Failed);
        assert_eq!(pacer.wait_ms(NOW), 2 * BACKOFF_MS_MAX);
    }

    #[test]
    fn without_an_interval_failures_still_pause() {
        let mut pacer = Pacer::new(0);
        pacer.answered(NOW, Answer::Failed);
        assert_eq!(pacer.wait_ms(NOW), 2 * BACKOFF_MS_MIN);
    }

    #[test]
    fn a_restart_remembers_and_a_lost_memory_waits_an_interval() {
        let busy = asked(Answer::Busy {
            retry_after_ms: Some(90_000),
        });
        let again = Pacer::resume(INTERVAL, &busy.memory(), NOW + 5);
        assert_eq!(again, busy);
        for damaged in [
            "",
            "x",
            "1 2",
            "1 2 3",
            "1 2 3 4\n",
            "-1 0 0\n",
            "1  3\n",
            "\n",
        ] {
            let pacer = Pacer::resume(INTERVAL, damaged, NOW);
            assert_eq!(pacer.wait_ms(NOW), INTERVAL, "{damaged:?}");
        }
    }

    #[test]
    fn a_memory_of_the_future_neither_hammers_nor_waits_for_ever() {
        let max = u64::MAX;
        let pacer = Pacer::resume(INTERVAL, &format!("{max} {max} {}\n", u32::MAX), NOW);
        assert_eq!(pacer.wait_ms(NOW), RETRY_AFTER_MS_MAX);
        let pacer = Pacer::resume(INTERVAL, &format!("{max} 0 0\n"), NOW);
        assert_eq!(pacer.wait_ms(NOW), INTERVAL);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after_ms("0", NOW), Some(0));
        assert_eq!(retry_after_ms(" 120 ", NOW), Some(120_000));
        assert_eq!(retry_after_ms(&"9".repeat(40), NOW), Some(u64::MAX));
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        let at = 784_111_777_000;
        assert_eq!(retry_after_ms(date, at - 7_000), Some(7_000));
        assert_eq!(retry_after_ms(date, NOW), Some(0));
        let dates = [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Tue, 29 Feb 2000 12:00:00 GMT", 951_825_600),
            ("Wed, 01 Mar 2000 00:00:00 GMT", 951_868_800),
            ("Mon, 01 Mar 2100 00:00:00 GMT", 4_107_542_400),
            ("Sun, 31 Dec 2028 23:59:59 GMT", 1_861_919_999),
        ];
        for (text, seconds) in dates {
            assert_eq!(retry_after_ms(text, 0), Some(seconds * 1_000), "{text}");
        }
        for other in [
            "",
            "-1",
            "+5",
            "1.5",
            "soon",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1994 08:60:37 GMT",
            "Sun, 06 Nov 1994 08:49:61 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 32 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1969 08:49:37 GMT",
            "Sun, 06 Nov +994 08:49:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(retry_after_ms(other, NOW), None, "{other}");
        }
    }

    fn answers() -> impl Strategy<Value = Answer> {
        prop_oneof![
            Just(Answer::Served),
            Just(Answer::Failed),
            any::<Option<u64>>().prop_map(|retry_after_ms| Answer::Busy { retry_after_ms }),
        ]
    }

    proptest! {
        /// Whatever is answered, however long it takes, and wherever the process is restarted.
        #[test]
        fn starts_are_an_interval_apart_and_no_wait_is_without_end(
            interval in 1u64..1_000_000,
            steps in prop::collection::vec((answers(), 0u64..100_000, any::<bool>()), 1..60),
        ) {
            let mut pacer = Pacer::new(interval);
            let (mut now, mut last) = (NOW, None);
            for (answer, took, restarts) in steps {
                let wait = pacer.wait_ms(now);
                prop_assert!(wait <= interval.max(RETRY_AFTER_MS_MAX));
                now += wait;
                prop_assert_eq!(pacer.wait_ms(now), 0);
                prop_assert!(last.is_none_or(|last| now >= last + interval));
                last = Some(now);
                pacer.started(now);
                now += took;
                if restarts {
                    pacer = Pacer::resume(interval, &pacer.memory(), now);
                } else {
                    pacer.answered(now, answer);
                }
            }
        }

        #[test]
        fn no_header_panics_and_no_memory_waits_for_ever(text in "\\PC{0,40}", now in any::<u64>()) {
            let _ = retry_after_ms(&text, now);
            let pacer = Pacer::resume(INTERVAL, &text, now);
            prop_assert!(pacer.wait_ms(now) <= RETRY_AFTER_MS_MAX);
        }

        #[test]
        fn dates_come_back(seconds in 0u64..250_000_000_000) {
            let text = http_date(seconds);
            prop_assert_eq!(date_s(&text), Some(seconds), "{}", text);
        }
    }

    /// Counts days one year and month at a time: slow, and unlike the parser.
    fn http_date(seconds: u64) -> String {
        let months = "JanFebMarAprMayJunJulAugSepOctNovDec";
        let (mut days, second) = (seconds / 86_400, seconds % 86_400);
        let leap = |year: u64| {
            year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400)
        };
        let mut year = 1970;
        while days >= 365 + u64::from(leap(year)) {
            days -= 365 + u64::from(leap(year));
            year += 1;
        }
        let feb = 28 + u64::from(leap(year));
        let mut month = 0;
        for length in [31, feb, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
            if days < length {
                break;
            }
            days -= length;
            month += 1;
        }
        let name = &months[month * 3..month * 3 + 3];
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        format!(
            "Mon, {:02} {name} {year} {hour:02}:{minute:02}:{second:02} GMT",
            days + 1
        )
    }
}
