//! Places for connections, shared out among who holds them: one more than there are closes the oldest of whoever has most.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// So many places for all, and so many for each.
pub struct Places<K> {
    all_max: usize,
    each_max: usize,
    taken: Arc<Mutex<Taken<K>>>,
}

struct Taken<K> {
    /// The next place's number.
    next: u64,
    /// Oldest first.
    held: Vec<Held<K>>,
}

struct Held<K> {
    by: K,
    number: u64,
    /// Dropped, it tells the holder that its place is gone.
    _gone: oneshot::Sender<()>,
}

/// A place, given back on drop.
pub struct Place<K> {
    taken: Arc<Mutex<Taken<K>>>,
    number: u64,
    gone: oneshot::Receiver<()>,
}

impl<K: Ord + Copy> Places<K> {
    /// Places, all of them free.
    pub fn new(all_max: usize, each_max: usize) -> Self {
        let (next, held) = (0, Vec::new());
        Self {
            all_max,
            each_max,
            taken: Arc::new(Mutex::new(Taken { next, held })),
        }
    }

    /// A place for somebody. Nobody is turned away: another one may be gone by it.
    pub fn take(&self, by: K) -> Place<K> {
        let (sender, gone) = oneshot::channel();
        let mut taken = locked(&self.taken);
        let number = taken.next;
        taken.next = number.wrapping_add(1);
        taken.held.push(Held {
            by,
            number,
            _gone: sender,
        });
        if let Some(index) = self.surplus(&taken.held, by) {
            taken.held.remove(index);
        }
        Place {
            taken: Arc::clone(&self.taken),
            number,
            gone,
        }
    }

    /// Which one must go after `newest` has taken one.
    fn surplus(&self, held: &[Held<K>], newest: K) -> Option<usize> {
        let mut counts = BTreeMap::<K, usize>::new();
        for one in held {
            let count = counts.entry(one.by).or_default();
            *count = count.saturating_add(1);
        }
        if counts.get(&newest) > Some(&self.each_max) {
            return held.iter().position(|one| one.by == newest);
        }
        if held.len() <= self.all_max {
            return None;
        }
        let most = counts.values().max();
        held.iter().position(|one| counts.get(&one.by) == most)
    }
}

impl<K> Place<K> {
    /// Does `work` until it is done or the place is gone.
    pub async fn hold<T>(mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            _ = &mut self.gone => None,
            done = work => Some(done),
        }
    }
}

impl<K> Drop for Place<K> {
    fn drop(&mut self) {
        let number = self.number;
        locked(&self.taken).held.retain(|one| one.number != number);
    }
}

fn locked<K>(taken: &Mutex<Taken<K>>) -> MutexGuard<'_, Taken<K>> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// The places of these that are not gone yet.
    fn kept(places: &mut [Place<u8>]) -> Vec<usize> {
        let empty = Err(oneshot::error::TryRecvError::Empty);
        let held = places.iter_mut().enumerate();
        let kept = held.filter_map(|(at, place)| (place.gone.try_recv() == empty).then_some(at));
        kept.collect()
    }

    #[test]
    fn one_that_has_all_its_places_loses_its_oldest_to_itself() {
        let places = Places::new(10, 2);
        let mut held: Vec<_> = [1, 2, 1, 1, 1].map(|by| places.take(by)).into();
        assert_eq!(kept(&mut held), [1, 3, 4]);
        held.remove(3);
        held.push(places.take(1));
        assert_eq!(kept(&mut held), [1, 3, 4], "a place given back is free");
    }

    #[test]
    fn when_all_places_are_taken_whoever_has_most_makes_room() {
        let places = Places::new(4, 4);
        let mut held: Vec<_> = [1, 2, 2, 2, 3, 4].map(|by| places.take(by)).into();
        assert_eq!(kept(&mut held), [0, 3, 4, 5]);
        held.extend([5, 6, 6, 6].map(|by| places.take(by)));
        assert_eq!(
            kept(&mut held),
            [4, 5, 6, 9],
            "the oldest where nobody has more"
        );
        for _ in 0..100 {
            held.push(places.take(6));
        }
        assert_eq!(
            kept(&mut held)[..3],
            [4, 5, 6],
            "many by one move nobody else"
        );
    }

    #[tokio::test]
    async fn work_ends_with_its_place() {
        let places = Places::new(4, 1);
        assert_eq!(places.take(1).hold(async { 7 }).await, Some(7));
        let held = places.take(1).hold(std::future::pending::<()>());
        let _newer = places.take(1);
        let ended = tokio::time::timeout(Duration::from_secs(30), held);
        assert_eq!(ended.await, Ok(None));
    }
}
