//! Certificates found by their subject's name, which is how a path is built.

use super::certificate::{Certificate, X509Error};
use std::collections::HashMap;

/// Certificates that parse, none twice. Being in a store proves nothing; [`super::path::find`] says what for.
#[derive(Debug, Clone, Default)]
pub struct Store {
    by_subject: HashMap<Box<[u8]>, Vec<Box<[u8]>>>,
    count: usize,
}

impl Store {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a DER certificate; one that is already there changes nothing.
    pub fn add(&mut self, der: &[u8]) -> Result<(), X509Error> {
        let subject = Certificate::parse(der)?.subject;
        let named = self.by_subject.entry(subject.into()).or_default();
        if !named.iter().any(|other| **other == *der) {
            named.push(der.into());
            self.count = self.count.saturating_add(1);
        }
        Ok(())
    }

    /// The certificates whose subject is exactly `name`, in the order they were added.
    pub fn named<'s>(&'s self, name: &[u8]) -> impl Iterator<Item = Certificate<'s>> + use<'s> {
        let named = self.by_subject.get(name).into_iter().flatten();
        named.filter_map(|der| Certificate::parse(der).ok())
    }

    /// How many certificates there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Ca, name};
    use super::*;

    #[test]
    fn certificates_are_found_by_their_whole_name_and_kept_once() {
        let (one, two) = (Ca::new("One").certificate(), Ca::new("One").certificate());
        let mut store = Store::new();
        assert!(store.is_empty());
        for der in [&one, &two, &one] {
            store.add(der).unwrap();
        }
        assert!(store.len() == 2 && !store.is_empty());
        let found: Vec<&[u8]> = store.named(&name("One")).map(|c| c.bytes).collect();
        assert_eq!(found, [&one[..], &two]);
        assert_eq!(store.named(&name("Two")).count(), 0);
        assert!(store.add(&one[1..]).is_err());
    }
}
