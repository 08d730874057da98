//! The cache on a disk that was left in every state.

use super::super::cache::{BYTES_MAX, Cache, FILES_PER_CHIP_MAX};
use super::super::error::{ContentError, VcekError};
use super::super::key::{Item, Product};
use super::super::testing::{certificate, chain, key};
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

fn cache(files_max: usize) -> (TempDir, Cache) {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::with_cap(dir.path().join("state/vcek"), files_max).unwrap();
    (dir, cache)
}

fn item(chip: u8, tcb: u8) -> Item {
    Item::Vcek(key(chip, tcb))
}

fn again(cache: &Cache) -> Cache {
    Cache::open(cache.dir()).unwrap()
}

fn names(cache: &Cache) -> Vec<String> {
    let entries = fs::read_dir(cache.dir()).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn each_key_gets_its_own_bytes_back_also_after_a_restart() {
    let (_dir, cache) = cache(100);
    let items = [
        item(1, 1),
        item(1, 2),
        item(2, 1),
        Item::Crl(Product::Milan),
    ];
    for (number, item) in items.iter().enumerate() {
        assert_eq!(cache.get(item).unwrap(), None);
        cache.put(item, &certificate(number as u8, 1_500)).unwrap();
    }
    cache.put(&Item::Chain(Product::Milan), &chain()).unwrap();
    for cache in [&cache, &again(&cache)] {
        for (number, item) in items.iter().enumerate() {
            let expected = certificate(number as u8, 1_500);
            assert_eq!(cache.get(item).unwrap(), Some(expected));
        }
        let kept = cache.get(&Item::Chain(Product::Milan)).unwrap();
        assert_eq!(kept, Some(chain()));
        assert_eq!(cache.get(&Item::Chain(Product::Genoa)).unwrap(), None);
        assert_eq!(cache.count(), 3);
    }
    assert!(names(&cache).iter().all(|name| !name.starts_with("tmp-")));
}

#[test]
fn what_is_forgotten_is_gone_and_can_be_kept_again() {
    let (_dir, cache) = cache(100);
    cache.put(&item(1, 1), &certificate(1, 600)).unwrap();
    cache.put(&item(2, 1), &certificate(2, 600)).unwrap();
    cache.forget(&item(1, 1)).unwrap();
    cache.forget(&item(3, 1)).unwrap();
    assert_eq!(cache.get(&item(1, 1)).unwrap(), None);
    assert_eq!((cache.count(), again(&cache).count()), (1, 1));
    cache.put(&item(1, 1), &certificate(3, 600)).unwrap();
    assert_eq!(cache.get(&item(1, 1)).unwrap(), Some(certificate(3, 600)));
    cache.put(&item(1, 1), &certificate(4, 600)).unwrap();
    assert_eq!(cache.get(&item(1, 1)).unwrap(), Some(certificate(4, 600)));
}

#[test]
fn only_what_can_be_a_certificate_is_kept() {
    let (_dir, cache) = cache(100);
    let whole = certificate(1, 600);
    let mut longer = whole.clone();
    longer.push(0);
    let mut short_form = vec![0x30, 0x82, 0, 0xff];
    short_form.resize(4 + 0xff, 0);
    let html = b"<html>rate limit exceeded</html>".to_vec();
    for bad in [
        vec![],
        vec![0x30],
        html,
        longer,
        whole[..599].to_vec(),
        short_form,
    ] {
        for item in [item(1, 1), Item::Crl(Product::Genoa)] {
            let error = cache.put(&item, &bad).unwrap_err();
            let actual = bad.len();
            let wrong = ContentError::NotDer { actual };
            assert!(matches!(error, VcekError::Content { wrong: w, .. } if w == wrong));
        }
    }
    for place in 0..2 {
        let mut other = whole.clone();
        other[place] ^= 1;
        assert!(cache.put(&item(1, 1), &other).is_err());
    }
    let mut text = chain();
    text[30] = 0xff;
    for bad in [
        whole,
        b"-----BEGIN CERTIFICATE-----".to_vec(),
        text,
        chain()[1..].to_vec(),
    ] {
        let error = cache.put(&Item::Chain(Product::Milan), &bad).unwrap_err();
        assert!(error.to_string().contains("PEM"), "{error}");
    }
    assert_eq!(names(&cache), Vec::<String>::new());
}

#[test]
fn the_size_has_a_cap_at_writing_and_at_reading() {
    let (_dir, cache) = cache(100);
    cache.put(&item(1, 1), &certificate(1, BYTES_MAX)).unwrap();
    assert!(cache.get(&item(1, 1)).unwrap().is_some());
    let large = certificate(1, BYTES_MAX + 1);
    let error = cache.put(&item(2, 1), &large).unwrap_err();
    let wrong = ContentError::TooLarge { limit: BYTES_MAX };
    assert!(matches!(error, VcekError::Content { wrong: w, .. } if w == wrong));
    fs::write(cache.path(&item(3, 1)), large).unwrap();
    assert_eq!(again(&cache).get(&item(3, 1)).unwrap(), None);
}

#[test]
fn half_states_on_disk_are_ignored_and_cleaned() {
    let (_dir, cache) = cache(100);
    let whole = certificate(1, 600);
    cache.put(&item(1, 1), &whole).unwrap();
    // Killed before the rename: a piece or the whole under a temporary name.
    fs::write(cache.dir().join("tmp-1-0"), &whole[..300]).unwrap();
    fs::write(cache.dir().join("tmp-2-7"), &whole).unwrap();
    let name = item(2, 1).file_name();
    fs::write(cache.dir().join(format!("tmp-{name}")), &whole).unwrap();
    // Never ours: the disk's own damage.
    for (chip, length) in [(3, 0), (4, 1), (5, 599)] {
        fs::write(cache.path(&item(chip, 1)), &whole[..length]).unwrap();
    }
    let cache = again(&cache);
    assert_eq!(cache.get(&item(1, 1)).unwrap(), Some(whole));
    for chip in 2..6 {
        assert_eq!(cache.get(&item(chip, 1)).unwrap(), None);
    }
    assert_eq!(names(&cache), [item(1, 1).file_name()]);
    assert_eq!(cache.count(), 1);
}

#[test]
fn what_is_no_plain_file_is_not_read() {
    let (dir, cache) = cache(100);
    let secret = dir.path().join("elsewhere");
    fs::write(&secret, certificate(9, 600)).unwrap();
    symlink(&secret, cache.path(&item(1, 1))).unwrap();
    nix::unistd::mkfifo(&cache.path(&item(2, 1)), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for chip in 1..3 {
        assert_eq!(cache.get(&item(chip, 1)).unwrap(), None);
    }
    assert_eq!(fs::read(&secret).unwrap(), certificate(9, 600));
    fs::create_dir(cache.path(&item(3, 1))).unwrap();
    let error = cache.get(&item(3, 1)).unwrap_err();
    assert!(matches!(
        error,
        VcekError::Disk {
            action: "remove",
            ..
        }
    ));
}

#[test]
fn strange_files_stay_and_do_not_count() {
    let (_dir, cache) = cache(1);
    let upper = item(0xab, 1).file_name().to_uppercase();
    let strange = ["last-request", "README", "Milan-1-1.der", &upper];
    for name in strange {
        fs::write(cache.dir().join(name), b"x").unwrap();
    }
    cache.put(&item(1, 1), &certificate(1, 600)).unwrap();
    assert_eq!(again(&cache).count(), 1);
    assert!(strange.iter().all(|name| cache.dir().join(name).exists()));
}

#[test]
fn over_the_cap_the_one_written_first_goes_first() {
    let (_dir, cache) = cache(3);
    for chip in [5, 4, 3] {
        cache.put(&item(chip, 1), &certificate(chip, 600)).unwrap();
    }
    // Kept again with the same bytes, it is not written again.
    cache.put(&item(5, 1), &certificate(5, 600)).unwrap();
    cache.put(&item(9, 1), &certificate(9, 600)).unwrap();
    let there = |cache: &Cache, chip| cache.get(&item(chip, 1)).unwrap().is_some();
    assert!(!there(&cache, 5));
    assert!([4, 3, 9].iter().all(|chip| there(&cache, *chip)));
    assert_eq!(names(&cache).len(), 3);
}

#[test]
fn a_restart_goes_by_the_time_of_writing() {
    let (_dir, cache) = cache(3);
    for (chip, age_s) in [(1, 10), (2, 30), (3, 20)] {
        cache.put(&item(chip, 1), &certificate(chip, 600)).unwrap();
        let file = File::options().write(true).open(cache.path(&item(chip, 1)));
        let written = SystemTime::now() - Duration::from_secs(age_s);
        file.unwrap().set_modified(written).unwrap();
    }
    let fewer = Cache::with_cap(cache.dir().to_owned(), 2).unwrap();
    assert_eq!(fewer.get(&item(2, 1)).unwrap(), None);
    fewer.put(&item(4, 1), &certificate(4, 600)).unwrap();
    assert_eq!(fewer.get(&item(3, 1)).unwrap(), None);
    assert!(fewer.get(&item(1, 1)).unwrap().is_some());
    assert_eq!(fewer.count(), 2);
}

#[test]
fn a_chip_displaces_only_its_own() {
    let (_dir, cache) = cache(100);
    cache.put(&item(1, 1), &certificate(1, 600)).unwrap();
    for tcb in 0..20 {
        cache.put(&item(2, tcb), &certificate(tcb, 600)).unwrap();
    }
    assert_eq!(cache.count(), 1 + FILES_PER_CHIP_MAX);
    assert!(cache.get(&item(1, 1)).unwrap().is_some());
    let kept = (0..20).filter(|tcb| cache.get(&item(2, *tcb)).unwrap().is_some());
    assert_eq!(kept.collect::<Vec<_>>(), (12..20).collect::<Vec<_>>());
}

#[test]
fn a_disk_that_refuses_is_named_and_nothing_is_lost() {
    let (_dir, cache) = cache(100);
    cache.put(&item(1, 1), &certificate(1, 600)).unwrap();
    // A folder where the file should go: the rename fails.
    fs::create_dir(cache.path(&item(2, 1))).unwrap();
    let error = cache.put(&item(2, 1), &certificate(2, 600)).unwrap_err();
    let name = item(2, 1).file_name();
    assert!(error.to_string().contains(&name), "{error}");
    assert!(std::error::Error::source(&error).is_some());
    assert!(names(&cache).iter().all(|name| !name.starts_with("tmp-")));
    assert!(cache.get(&item(1, 1)).unwrap().is_some());
    let file = cache.path(&item(1, 1));
    assert!(Cache::open(&file).is_err(), "a file is no folder");
}
