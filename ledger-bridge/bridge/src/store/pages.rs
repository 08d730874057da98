//! Objects of an epoch in pages. Their lengths are asked for first: what does not fit a page is not loaded.

use assay_protocol::ids::Epoch;

use super::{Row, Store, StoreError, StoredObject, stored_object};

/// Read at once by whoever reads all of an epoch.
const BATCH_COUNT: usize = 256;
const BATCH_BYTES: usize = 8 * 1024 * 1024;

impl Store {
    /// Objects of an epoch after a number: at most `count_max`, of `bytes_max` bytes together, but at least one.
    pub fn objects(
        &self,
        epoch: Epoch,
        after: u64,
        count_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<StoredObject>, StoreError> {
        let Some(last) = self.page_end(epoch, after, count_max, bytes_max)? else {
            return Ok(Vec::new());
        };
        let sql = "SELECT number, kind, bytes FROM objects WHERE epoch = $1 AND number > $2 AND number <= $3 \
                   ORDER BY number";
        let rows = self.rows(sql, vec![epoch.0.into(), after.into(), last.into()])?;
        let read = |row| self.read(row, stored_object);
        rows.iter().map(read).collect()
    }

    /// Objects of an epoch after a number, as many as are good to read at once; none when there are no more.
    pub fn batch(&self, epoch: Epoch, after: u64) -> Result<Vec<StoredObject>, StoreError> {
        self.objects(epoch, after, BATCH_COUNT, BATCH_BYTES)
    }

    /// The last number of a page. What is numbered later comes after it.
    fn page_end(
        &self,
        epoch: Epoch,
        after: u64,
        count_max: usize,
        bytes_max: usize,
    ) -> Result<Option<u64>, StoreError> {
        let sql = "SELECT number, CAST(LENGTH(bytes) AS BIGINT) FROM objects WHERE epoch = $1 AND number > $2 \
                   ORDER BY number LIMIT $3";
        let values = vec![epoch.0.into(), after.into(), (count_max as u64).into()];
        let (mut end, mut bytes) = (None, 0u64);
        for row in self.rows(sql, values)? {
            let (number, length) = self.read(&row, lengths)?;
            bytes = bytes.saturating_add(length);
            if end.is_some() && bytes > bytes_max as u64 {
                break;
            }
            end = Some(number);
        }
        Ok(end)
    }
}

fn lengths(row: &Row) -> Option<(u64, u64)> {
    Some((row.first()?.int()?, row.get(1)?.int()?))
}

#[cfg(test)]
mod tests {
    use super::super::db::{Db, DbError, Statement};
    use super::super::sqlite::Sqlite;
    use super::*;
    use assay_protocol::ids::{HyperNodeId, NetworkId};
    use assay_protocol::wire::BoardObject;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const E: Epoch = Epoch(3);
    const NETWORK: NetworkId = NetworkId([7; 32]);

    /// Counts the bytes that leave a database.
    struct Counted(Sqlite, Arc<AtomicUsize>);

    impl Db for Counted {
        fn query(&mut self, statement: Statement<'_>) -> Result<Vec<Row>, DbError> {
            let rows = self.0.query(statement)?;
            let bytes = rows.iter().flatten().filter_map(|value| value.bytes());
            self.1
                .fetch_add(bytes.map(<[u8]>::len).sum(), Ordering::Relaxed);
            Ok(rows)
        }

        fn all_or_none(&mut self, statements: Vec<Statement<'_>>) -> Result<(), DbError> {
            self.0.all_or_none(statements)
        }

        fn has_table(&mut self, name: &str) -> Result<bool, DbError> {
            self.0.has_table(name)
        }

        fn lead(&mut self) -> Result<bool, DbError> {
            self.0.lead()
        }
    }

    #[test]
    fn only_what_fits_a_page_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let filled = Store::open(dir.path(), NETWORK).unwrap();
        for (n, length) in (1..).zip([1024 * 1024; 20]) {
            let object = BoardObject::Reveal(vec![n; length]);
            filled.insert(E, &HyperNodeId([n; 32]), &object).unwrap();
        }
        let loaded = Arc::new(AtomicUsize::new(0));
        let counted = Sqlite::open(dir.path()).map(|db| Counted(db, Arc::clone(&loaded)));
        let store = Store::existing("counted".into(), counted, NETWORK).unwrap();
        let pages = [
            (store.objects(E, 0, 512, 3 * 1024 * 1024 + 5), 3),
            (store.objects(E, 4, 512, 1), 1),
            (store.objects(E, 19, 512, usize::MAX), 1),
            (store.objects(E, 20, 512, usize::MAX), 0),
            (store.batch(E, 0), BATCH_BYTES / (1024 * 1024)),
        ];
        let counts = pages.map(|(page, count)| {
            assert_eq!(page.unwrap().len(), count);
            count
        });
        let expected = counts.iter().sum::<usize>() * 1024 * 1024;
        assert_eq!(loaded.load(Ordering::Relaxed), expected);
    }
}
