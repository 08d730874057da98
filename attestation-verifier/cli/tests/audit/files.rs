//! What is missing, beside, or changed by a byte.

use super::*;

#[test]
fn what_is_missing_or_beside_is_named() {
    let cast = Cast::new(Behaviour::Honest, 2);
    let first = cast.hypernodes[0].id();
    let evidence = |files: &Files| {
        files
            .keys()
            .rfind(|path| path.starts_with("evidence/"))
            .unwrap()
            .clone()
    };
    undecided(
        &cast,
        "evidence/present",
        &payload(|files| drop(files.remove(&evidence(files)))),
    );
    contradicted(
        &cast,
        "container/unexplained-files",
        &payload(|files| drop(files.insert("extra".into(), vec![1]))),
    );
    let paths = [
        layout::outcome(Epoch(1), &first, 2),
        layout::proofs(Epoch(1), &first),
        layout::checkpoint(Epoch(1), &first),
        layout::report(Epoch(1), &first),
        layout::inputs(Epoch(1)),
        layout::leaf(Epoch(1)),
        layout::root(Epoch(1)),
        layout::class(&cast.class.digest()),
        layout::CLAIM.into(),
        layout::PARAMS.into(),
    ];
    for path in paths {
        let audit = audited(&story(&cast, &payload(|files| drop(files.remove(&path)))));
        assert_ne!(audit.result, Conclusion::Reproduced, "{path}");
        let named = audit
            .checks
            .iter()
            .any(|c| c.about == path && c.outcome == Outcome::Undecided);
        assert!(named, "{path}:\n{}", not_passed(&audit));
    }
}

#[test]
fn missing_evidence_of_any_kind_leaves_it_undecided_and_says_which_numbers_rest_on_words() {
    let cast = Cast::new(Behaviour::Honest, 2);
    let kinds = [
        (OutcomeKind::Enrol, "tier"),
        (OutcomeKind::Attest, "tier"),
        (OutcomeKind::RegionKey, "chase time"),
        (OutcomeKind::Fill, "chase time"),
        (OutcomeKind::Chase, "chase reads"),
        (OutcomeKind::Probe, "slots answered"),
    ];
    for (kind, number) in kinds {
        let lost = std::cell::RefCell::new(String::new());
        let lie = |part: Part<'_>| match part {
            Part::Drafts(0, 0, _, drafts) => {
                let draft = drafts.iter().find(|d| d.outcome.kind == kind).unwrap();
                *lost.borrow_mut() = layout::evidence(&digest(&[&draft.raw[0].0]));
            }
            Part::Payload(files) => drop(files.remove(&*lost.borrow()).unwrap()),
            _ => {}
        };
        let audit = audited(&story(&cast, &lie));
        assert_eq!(
            audit.result,
            Conclusion::Undecided,
            "{kind:?}: {}",
            not_passed(&audit)
        );
        let basis = &audit.verdicts[0].basis;
        let from = &basis
            .iter()
            .find(|basis| basis.number == number)
            .unwrap()
            .from;
        assert!(from.contains("from signed outcomes"), "{kind:?}: {from}");
    }
}

/// Byte `at` of a payload file changed, the bundle sealed anew; evidence gets the name of its new digest.
fn flipped(payload: &Files, path: &str, at: usize) -> Files {
    let mut files = payload.clone();
    let mut bytes = files.remove(path).unwrap();
    bytes[at] ^= 1;
    let path = match path.starts_with("evidence/") {
        true => layout::evidence(&digest(&[&bytes])),
        false => path.to_owned(),
    };
    files.insert(path, bytes);
    files
}

#[test]
fn no_byte_of_any_file_may_change_even_when_sealed_anew() {
    let story = story(&Cast::new(Behaviour::Silent, 2), &honest);
    for (number, (path, bytes)) in story.payload.iter().enumerate() {
        let somewhere = number.wrapping_mul(7_919) % bytes.len();
        let result = audit(flipped(&story.payload, path, somewhere), Some(&story.trust)).result;
        assert_ne!(result, Conclusion::Reproduced, "{path} byte {somewhere}");
    }
    // The claim byte for byte; of the leaf at least one byte of each of its 18 words.
    for (path, step) in [(layout::CLAIM.to_owned(), 1), (layout::leaf(Epoch(1)), 31)] {
        for at in (0..story.payload[&path].len()).step_by(step) {
            let result = audit(flipped(&story.payload, &path, at), Some(&story.trust)).result;
            assert_ne!(result, Conclusion::Reproduced, "{path} byte {at}");
        }
    }
}

#[test]
fn no_byte_of_the_container_may_change() {
    let story = story(&Cast::new(Behaviour::Honest, 2), &honest);
    let bag = bundle::seal(&story.payload).unwrap();
    assert_eq!(bundle::open(&bag).unwrap(), story.payload);
    for (path, bytes) in &bag {
        let tag = !path.starts_with("data/") && bytes.len() < 256;
        let few = [0, bytes.len() / 2, bytes.len() - 1];
        for at in if tag {
            (0..bytes.len()).collect()
        } else {
            few.to_vec()
        } {
            let mut bad = bag.clone();
            bad.get_mut(path).unwrap()[at] ^= 1;
            assert!(bundle::open(&bad).is_err(), "{path} byte {at}");
        }
    }
    let archive = tar::encode_tar(&bag).unwrap();
    for at in (0..archive.len()).step_by(archive.len() / 200) {
        let mut bad = archive.clone();
        bad[at] ^= 1;
        let opened = tar::decode_tar(&bad)
            .map_err(|e| e.to_string())
            .and_then(|bag| bundle::open(&bag).map_err(|e| e.to_string()));
        assert!(opened.is_err(), "byte {at} of the archive");
    }
}
