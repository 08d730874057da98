//! A service that misbehaves.

use super::super::cache::BYTES_MAX;
use super::super::error::{ContentError, VcekError};
use super::super::fetch::{BAD_MS, NO_SUCH_MS, PAUSE_MS_MAX};
use super::super::http::Http;
use super::super::key::{BaseUrl, Item};
use super::super::pacer::RETRY_AFTER_MS_MAX;
use super::super::testing::{Say, certificate, key, reply};
use super::{Bench, INTERVAL_MS, of, vceks, works};
use std::sync::Arc;
use std::time::Duration;
use ureq::tls::RootCerts;

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_the_service_asks_for_is_waited_out() {
    // The date is half a minute after the start.
    let date = "retry-after: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    for (status, header, pause_ms) in [
        (429, "retry-after: 25\r\n", 25_000),
        (503, "retry-after: 25\r\n", 25_000),
        (429, date, 30_000),
        (429, "retry-after: 0\r\n", INTERVAL_MS),
        (429, "retry-after: soon\r\n", 2 * INTERVAL_MS),
        (429, "", 2 * INTERVAL_MS),
    ] {
        let bench = Bench::new(move |number, path| match number {
            0 => Say::status(status, header),
            _ => works(number, path),
        })
        .await;
        let vceks = bench.vceks();
        let error = vceks.vcek(&key(1, 1)).await.unwrap_err();
        assert!(
            matches!(error, VcekError::Busy { status: s, wait_ms, .. } if s == status && wait_ms == pause_ms),
            "{error}"
        );
        // The same key may be asked for again: nothing was said about it.
        assert_eq!(vceks.vcek(&key(1, 1)).await.unwrap(), Some(of(1)));
        assert_eq!(bench.kds.gaps_ms(), [pause_ms], "{header}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_pause_is_bounded_survives_a_restart_and_keeps_nobody_waiting() {
    let bench = Bench::new(|number, path| match number {
        0 => Say::status(429, "retry-after: 99999999999999999999999\r\n"),
        _ => works(number, path),
    })
    .await;
    let vceks = bench.vceks();
    assert!(vceks.vcek(&key(1, 1)).await.is_err());
    drop(vceks);
    let vceks = bench.vceks();
    for chip in 1..40 {
        let error = vceks.vcek(&key(chip, 1)).await.unwrap_err();
        assert!(
            matches!(error, VcekError::Later { wait_ms, .. } if wait_ms == RETRY_AFTER_MS_MAX),
            "{error}"
        );
    }
    assert_eq!(bench.kds.seen().len(), 1);
    bench.time.pass(RETRY_AFTER_MS_MAX);
    assert_eq!(vceks.vcek(&key(1, 1)).await.unwrap(), Some(of(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_make_requests_rarer() {
    let bench = Bench::new(|_, _| Say::status(500, "")).await;
    let vceks = bench.vceks();
    for chip in 1..4 {
        let error = vceks.vcek(&key(chip, 1)).await.unwrap_err();
        assert!(
            matches!(error, VcekError::Status { status: 500, .. }),
            "{error}"
        );
    }
    assert_eq!(bench.kds.gaps_ms(), [2 * INTERVAL_MS, 4 * INTERVAL_MS]);
    let error = vceks.vcek(&key(4, 1)).await.unwrap_err();
    assert!(
        matches!(error, VcekError::Later { wait_ms, .. } if wait_ms == 8 * INTERVAL_MS),
        "{error}"
    );
    assert_eq!(bench.kds.seen().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_service_has_not_is_not_asked_for_again_for_a_while() {
    for status in [404, 400] {
        let bench = Bench::new(move |number, path| match number {
            0 => Say::status(status, ""),
            _ => works(number, path),
        })
        .await;
        let vceks = bench.vceks();
        for _ in 0..3 {
            let error = vceks.vcek(&key(1, 1)).await.unwrap_err();
            assert!(matches!(error, VcekError::NoSuch { status: s, .. } if s == status));
        }
        assert_eq!(bench.kds.seen().len(), 1);
        // Others are not held up by it.
        assert_eq!(vceks.vcek(&key(1, 2)).await.unwrap(), Some(of(1)));
        assert_eq!(bench.kds.gaps_ms(), [INTERVAL_MS]);
        bench.time.pass(NO_SUCH_MS - INTERVAL_MS - 1);
        assert!(vceks.vcek(&key(1, 1)).await.is_err());
        bench.time.pass(1);
        assert_eq!(vceks.vcek(&key(1, 1)).await.unwrap(), Some(of(1)));
        assert_eq!(bench.kds.seen().len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_no_certificate_are_refused_and_not_kept() {
    let whole = of(1);
    let mut longer = whole.clone();
    longer.push(0);
    let mut chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4001\r\n".to_vec();
    chunked.extend(certificate(1, BYTES_MAX + 1));
    chunked.extend(b"\r\n0\r\n\r\n");
    let large = ContentError::TooLarge { limit: BYTES_MAX };
    let other = |actual| ContentError::NotDer { actual };
    for (raw, expected) in [
        (reply(200, "", b"<html>sign in</html>"), other(20)),
        (reply(200, "", b""), other(0)),
        (reply(200, "", &whole[..1_399]), other(1_399)),
        (reply(200, "", &longer), other(1_401)),
        (reply(200, "", &certificate(1, BYTES_MAX + 1)), large),
        (chunked, large),
    ] {
        let bench = Bench::new(move |_, _| Say::Raw(raw.clone())).await;
        let vceks = bench.vceks();
        // The second time it is the same answer, not another request.
        for _ in 0..2 {
            let error = vceks.vcek(&key(1, 1)).await.unwrap_err();
            assert!(
                matches!(error, VcekError::Content { wrong, .. } if wrong == expected),
                "{error}"
            );
        }
        assert_eq!(bench.kds.seen().len(), 1);
        assert_eq!(bench.kept(), Vec::<String>::new());
        bench.time.pass(BAD_MS);
        assert!(vceks.vcek(&key(1, 1)).await.is_err());
        assert_eq!(bench.kds.seen().len(), 2);
    }
    let bench = Bench::new(|_, _| Say::ok(&certificate(1, BYTES_MAX))).await;
    assert!(bench.vceks().vcek(&key(1, 1)).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_breaks_off_or_is_no_http_counts_as_unreachable() {
    let mut cut = reply(200, "", &of(1));
    cut.truncate(1_000);
    let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "a".repeat(100_000));
    for raw in [
        cut,
        Vec::new(),
        b"garbage\r\n\r\n".to_vec(),
        endless.into_bytes(),
    ] {
        let bench = Bench::new(move |number, path| match number {
            0 => Say::Raw(raw.clone()),
            _ => works(number, path),
        })
        .await;
        let vceks = bench.vceks();
        let error = vceks.vcek(&key(1, 1)).await.unwrap_err();
        assert!(matches!(error, VcekError::Unreachable { .. }), "{error}");
        assert_eq!(bench.kept(), Vec::<String>::new());
        assert_eq!(vceks.vcek(&key(1, 1)).await.unwrap(), Some(of(1)));
        assert_eq!(bench.kds.gaps_ms(), [2 * INTERVAL_MS]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_slow_without_end_is_given_up() {
    for slow in [|| Say::Silence, || Say::Drip] {
        let bench = Bench::new(move |_, _| slow()).await;
        let total = Duration::from_millis(300);
        let vceks = bench.with(Arc::new(Http::with(total, RootCerts::WebPki)));
        let error = vceks.vcek(&key(1, 1)).await.unwrap_err();
        assert!(matches!(error, VcekError::Unreachable { .. }), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_unreachable_by_name() {
    let bench = Bench::new(works).await;
    let base = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        BaseUrl::try_from(format!("http://{}", listener.local_addr().unwrap())).unwrap()
    };
    let time = bench.time.clone();
    let vceks = vceks(&bench.dir, &base, INTERVAL_MS, Arc::new(Http::new()), time);
    let error = vceks.vcek(&key(1, 1)).await.unwrap_err().to_string();
    assert!(error.starts_with(&base.to_string()), "{error}");
    assert!(
        error.contains("no answer") && error.contains("20000 ms"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_not_followed() {
    let elsewhere = Bench::new(works).await;
    for to in [elsewhere.kds.base.to_string(), String::new()] {
        for status in [301, 302, 303, 307, 308] {
            let header = format!("location: {to}{}\r\n", Item::Vcek(key(1, 2)).path());
            let bench = Bench::new(move |_, _| Say::status(status, &header)).await;
            let error = bench.vceks().vcek(&key(1, 1)).await.unwrap_err();
            assert!(matches!(error, VcekError::Redirect { status: s, .. } if s == status));
            assert!(error.to_string().contains("hint:"));
            assert_eq!(bench.kds.seen().len(), 1);
            assert_eq!(bench.kept(), Vec::<String>::new());
        }
    }
    assert!(elsewhere.kds.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_pause_that_is_waited_out_has_its_bound() {
    let bound_ms = INTERVAL_MS + PAUSE_MS_MAX;
    for (header, is_waited_out) in [
        ("retry-after: 70\r\n", true),
        ("retry-after: 71\r\n", false),
    ] {
        let bench = Bench::new(move |number, path| match number {
            0 => Say::status(429, header),
            _ => works(number, path),
        })
        .await;
        let vceks = bench.vceks();
        assert!(vceks.vcek(&key(1, 1)).await.is_err());
        match vceks.vcek(&key(1, 1)).await {
            Ok(_) => assert_eq!(bench.kds.gaps_ms(), [bound_ms]),
            Err(error) => assert!(matches!(error, VcekError::Later { .. }), "{error}"),
        }
        assert_eq!(bench.kds.seen().len() == 2, is_waited_out);
    }
}
