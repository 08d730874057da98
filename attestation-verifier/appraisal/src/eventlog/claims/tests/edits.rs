//! Every edit of a log of a kind, one after the other: none makes a claim true that was not.

use super::*;
use serde_json::Value;

/// What is proven, without what is said to be a label.
fn proven(log: &[u8], quoted: &PcrValues) -> Option<Value> {
    let log = parse(log).ok()?;
    let replayed = Replayed::against_values(&log, BANK, quoted).ok()?;
    let mut shown = serde_json::to_value(claims(&replayed)).unwrap();
    strip(&mut shown);
    Some(shown)
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, _| !key.starts_with("unproven_"));
            map.values_mut().for_each(strip);
        }
        Value::Array(list) => list.iter_mut().for_each(strip),
        _ => {}
    }
}

/// Whether every claim of `edited` is either as it was or not proven. Lists that are said not to be complete may be
/// shorter; the list of images may be longer, by what is no image.
fn nothing_new(honest: &Value, edited: &Value) -> Result<(), String> {
    for (name, claim) in edited.as_object().unwrap() {
        let was = &honest[name];
        let (new, old) = match name.as_str() {
            "bank" => continue,
            "separators" => (Value::Null, Value::Null),
            _ => (claim["proven"].clone(), was["proven"].clone()),
        };
        let fits = match name.as_str() {
            "boot_variables" | "boot_actions" => contains(&old, &new),
            "images" | "drivers" => new.is_null() || contains(&new, &old),
            _ => new.is_null() || new == old,
        };
        let absent = claim == "absent" && was != "absent" && !name.starts_with("boot_");
        if !fits || absent {
            return Err(format!("{name}: was {was}, shows {claim}"));
        }
    }
    Ok(())
}

/// Whether `part` is a sub-sequence of `list`; nothing is part of everything.
fn contains(list: &Value, part: &Value) -> bool {
    let empty = Vec::new();
    let mut rest = list.as_array().unwrap_or(&empty).iter();
    let part = part.as_array().unwrap_or(&empty);
    part.iter().all(|item| rest.any(|other| other == item))
}

#[test]
fn no_relabelling_makes_another_claim_true() {
    let steps = honest();
    let quoted = quoted(&steps);
    let good = proven(&build(&steps), &quoted).unwrap();
    for at in 0..steps.len() {
        for kind in KINDS {
            let mut edited = steps.clone();
            edited[at].kind = kind;
            let shown = proven(&build(&edited), &quoted).unwrap();
            let outcome = nothing_new(&good, &shown);
            assert_eq!(outcome, Ok(()), "event {at} as {kind:#x}");
        }
    }
}

#[test]
fn no_flip_and_no_cut_makes_another_claim_true() {
    let steps = honest();
    let quoted = quoted(&steps);
    let log = build(&steps);
    let good = proven(&log, &quoted).unwrap();
    for at in 0..log.len() {
        for flip in [1, 0x80, 0xff] {
            let mut bad = log.clone();
            bad[at] ^= flip;
            let Some(shown) = proven(&bad, &quoted) else {
                continue;
            };
            assert_eq!(nothing_new(&good, &shown), Ok(()), "byte {at} ^ {flip:#x}");
        }
        if let Some(shown) = proven(&log[..at], &quoted) {
            assert_eq!(nothing_new(&good, &shown), Ok(()), "cut at {at}");
            assert_ne!(shown, good, "cut at {at}");
        }
    }
}

#[test]
fn events_left_out_or_exchanged_prove_nothing_new() {
    let steps = honest();
    let quoted = quoted(&steps);
    let good = proven(&build(&steps), &quoted).unwrap();
    for at in 0..steps.len() {
        let mut without = steps.clone();
        without.remove(at);
        let shown = proven(&build(&without), &quoted).unwrap();
        assert_eq!(nothing_new(&good, &shown), Ok(()), "without {at}");
        for other in at.saturating_sub(4)..at {
            let mut exchanged = steps.clone();
            exchanged.swap(at, other);
            let shown = proven(&build(&exchanged), &quoted).unwrap();
            assert_eq!(nothing_new(&good, &shown), Ok(()), "{at} and {other}");
        }
    }
}

#[test]
fn without_a_quote_claims_are_of_another_type() {
    let log = build(&honest());
    let log = parse(&log).unwrap();
    let found = claims_of_log(&log, BANK).unwrap();
    assert_eq!(
        found.unauthenticated().secure_boot,
        Claim::Proven(SecureBoot::Enabled)
    );
    assert!(claims_of_log(&log, HashAlg::Sha1).is_err());
    let quoted = quoted(&honest());
    assert!(Replayed::against_values(&log, HashAlg::Sha384, &quoted).is_err());
    let replayed = Replayed::against_values(&log, BANK, &quoted).unwrap();
    let values = log.replay(BANK).unwrap();
    assert_eq!(replayed.value(4), values[&4]);
    assert_eq!(replayed.value(23), log.initial(23, BANK));
    assert!(replayed.is_confirmed(7) && replayed.is_confirmed(13));
    let unquoted = Replayed::log_only(&log, BANK).unwrap();
    assert!(!unquoted.is_confirmed(7));
}

/// By counting what is hashed, not by a clock: twice the log, at most twice the work, and no more than a few times its
/// own size.
#[test]
fn work_grows_as_the_log_does() {
    let hashed = |repeat: usize| {
        let mut steps = honest();
        let extra: Vec<Step> = honest()
            .into_iter()
            .filter(|s| s.kind != EV_SEPARATOR)
            .collect();
        for _ in 0..repeat {
            steps.extend(extra.clone());
        }
        let log = build(&steps);
        let parsed = parse(&log).unwrap();
        hash::HASHED.with(|count| count.set(0));
        let claims = claims_of_log(&parsed, BANK).unwrap();
        assert!(claims.unauthenticated().loader_files.proven().is_some());
        coverage::uncovered_events(&parsed, BANK);
        (log.len(), hash::HASHED.with(|count| count.get()))
    };
    let (small, once) = hashed(64);
    let (large, twice) = hashed(128);
    assert!(
        twice * small <= once * large + once * 1024,
        "{once} {twice}"
    );
    assert!(once < 4 * small, "{once} bytes hashed for a log of {small}");
}
