//! How do releases leave a bucket? Whole shelves, when nothing on them is kept.

use std::collections::{HashMap, HashSet};

use object_store::{ObjectMeta, path::Path};

use super::{
    Bucket, BucketRecord, Calendar, StoreError,
    client::Client,
    records::{Found, merge},
};
use crate::{
    Error, ErrorKind,
    releases::{Release, Retention},
    url::check_segment,
};

/// So many weeks a shelf is behind before it is collected: a publisher may still be at work on
/// the last one.
const WEEKS: u64 = 2;

/// A shelf of more blobs than this was not filled by anything of this crate.
const MOST_BLOBS: usize = 10_000_000;

impl Bucket {
    /// Returns the releases that [`prune`](Self::prune) would delete now. Deletes nothing.
    ///
    /// # Errors
    ///
    /// The same as [`list`](Self::list).
    pub fn expired(&self, retention: &Retention) -> Result<Vec<Release>, Error> {
        let collection = self.collection(retention)?;
        self.gone(&collection)
    }

    /// Deletes the releases that are not to be kept any longer, and returns them.
    ///
    /// Releases are deleted with the week in which they were published: when it ended at least
    /// one week ago, and all releases of that week have expired or were published again in a
    /// later one. So a release may be kept some weeks longer than the retention says. Nobody
    /// has to stop publishing meanwhile.
    ///
    /// # Errors
    ///
    /// The same as [`list`](Self::list), and [`ClockSkew`](ErrorKind::ClockSkew): this machine
    /// and the store disagree by more than a day about what time it is. After an error the next
    /// call goes on where this one has stopped.
    pub fn prune(&self, retention: &Retention) -> Result<Vec<Release>, Error> {
        self.check_clock()?;
        let collection = self.collection(retention)?;
        let gone = self.gone(&collection)?;
        for shelf in collection.shelves {
            self.ask(move |client| async move { client.delete_shelf(shelf).await })?;
        }
        Ok(gone)
    }

    /// Deletes a release at once, whatever its age: no node answers for it any longer, as soon
    /// as it has looked at the bucket again.
    ///
    /// Its blobs stay, without a name that leads to them, until a later
    /// [`prune`](Self::prune) deletes the week in which they were put: other releases may have
    /// the same ones. To get rid of a secret in one, delete the key `<week>/blobs/<sha256>` of
    /// each week by hand. What browsers and other caches have, they keep: tell your CDN to
    /// forget the URLs.
    ///
    /// # Errors
    ///
    /// [`NotKept`](ErrorKind::NotKept): no release of this version is kept. Else the same as
    /// [`list`](Self::list).
    pub fn withdraw(&self, version: &str) -> Result<(), Error> {
        let not_kept = || {
            let message = format!("no release of version {version:?} is kept");
            Error::new(ErrorKind::NotKept, message)
        };
        check_segment(version).map_err(|_| not_kept())?;
        let wanted = version.to_owned();
        let deleted = self.ask(|client| async move {
            let found = client.found().await?;
            let mine = found.iter().filter(|found| *found.key.version == *wanted);
            let keys = mine.map(|found| client.key_of(found)).collect::<Vec<_>>();
            let count = keys.len();
            client.delete(keys).await.map(|()| count)
        })?;
        if deleted == 0 { Err(not_kept()) } else { Ok(()) }
    }

    fn collection(&self, retention: &Retention) -> Result<Collection, Error> {
        let retention = retention.clone();
        self.ask(|client| async move {
            let shelves = client.shelves().await?;
            let mut found = Vec::new();
            for shelf in &shelves {
                found.extend(client.records_on(*shelf).await?);
            }
            Ok(Collection::plan(&client.calendar, &retention, shelves, found))
        })
    }

    /// Returns the releases that go.
    fn gone(&self, collection: &Collection) -> Result<Vec<Release>, Error> {
        let (records, gone) = (collection.records.clone(), collection.gone.clone());
        self.ask(|client| async move {
            client.releases(records, |record| gone.contains(&record.version)).await
        })
    }
}

/// What a prune does.
#[derive(Debug)]
struct Collection {
    /// All releases, the newest first.
    records: Vec<BucketRecord>,
    /// The versions that no shelf has any longer then.
    gone: HashSet<Box<str>>,
    /// The shelves that go.
    shelves: Vec<u64>,
}

impl Collection {
    fn plan(
        calendar: &Calendar,
        retention: &Retention,
        shelves: Vec<u64>,
        found: Vec<Found>,
    ) -> Self {
        let now = (calendar.now)();
        let (records, _) = merge(found);
        let published = records.iter().map(|record| record.published).collect::<Vec<_>>();
        let superseded = crate::releases::retention::superseded(&published);
        let expired = retention.expired(superseded, now);
        // A release is kept by the newest shelf that has it.
        let kept = records.iter().zip(expired).filter(|(_, is_expired)| !is_expired);
        let keeping = kept.filter_map(|(record, _)| record.shelves.first().copied());
        let keeping = keeping.collect::<HashSet<_>>();
        let current = calendar.shelf(now);
        let is_collected = |shelf: &u64| {
            shelf.checked_add(WEEKS).is_some_and(|later| later <= current)
                && !keeping.contains(shelf)
        };
        let mut shelves = shelves.into_iter().filter(is_collected).collect::<Vec<_>>();
        shelves.sort_unstable();
        shelves.dedup();
        let is_gone = |record: &&BucketRecord| {
            record.shelves.iter().all(|shelf| shelves.binary_search(shelf).is_ok())
        };
        let gone = records.iter().filter(is_gone).map(|record| record.version.clone()).collect();
        Self { records, gone, shelves }
    }
}

impl Client {
    /// Deletes all that this crate has put on a shelf, the records first.
    async fn delete_shelf(&self, shelf: u64) -> Result<(), StoreError> {
        let records = self.records_on(shelf).await?;
        self.delete(records.iter().map(|found| self.key_of(found)).collect()).await?;
        let blobs = self.blobs_on(shelf).await?;
        self.delete(blobs.keys().map(|sha256| self.keys.blob(shelf, sha256)).collect()).await?;
        // As long as it is there, every store lists the shelf.
        self.delete(vec![self.keys.clock(shelf)]).await
    }

    /// Returns the blobs of a shelf, with their lengths.
    pub(super) async fn blobs_on(&self, shelf: u64) -> Result<HashMap<[u8; 32], u64>, StoreError> {
        let parse = |object: &ObjectMeta| {
            let (_, sha256) = self.keys.parse_blob(&object.location)?;
            Ok((sha256, object.size))
        };
        let blobs = self.list(&self.keys.blobs(shelf), MOST_BLOBS, parse).await?;
        Ok(blobs.into_iter().collect())
    }

    fn key_of(&self, found: &Found) -> Path {
        self.keys.record(found.key.shelf, &found.key.version, &found.key.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::releases::bucket::{WEEK, keys::RecordKey};
    use std::{
        sync::Arc,
        time::{Duration, SystemTime},
    };

    fn week(number: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + WEEK * u32::try_from(number).unwrap()
    }

    fn found(version: &str, digest: u8, shelf: u64) -> Found {
        let key = RecordKey { shelf, version: version.into(), digest: [digest; 32] };
        Found { key, written: week(shelf) + Duration::from_secs(version.len() as u64) }
    }

    #[test]
    fn what_is_collected() {
        let now = week(20) + Duration::from_secs(1);
        let calendar = Calendar { week: WEEK, now: Arc::new(move || now) };
        let strict = Retention::default().age(Duration::ZERO).newest(1);
        for (name, retention, others, records, shelves, gone) in [
            ("nothing", &strict, vec![], vec![], vec![], vec![]),
            (
                "the only release, however old",
                &strict,
                vec![],
                vec![found("a", 1, 3)],
                vec![],
                vec![],
            ),
            (
                "old shelves, but not the last one before this",
                &strict,
                vec![],
                vec![found("a", 1, 17), found("b", 2, 18), found("c", 3, 19), found("d", 4, 20)],
                vec![17, 18],
                vec!["a", "b"],
            ),
            (
                "not a shelf that keeps something",
                &strict.clone().newest(3),
                vec![],
                vec![found("a", 1, 9), found("bb", 2, 9), found("c", 3, 10), found("d", 4, 11)],
                vec![],
                vec![],
            ),
            (
                "a shelf whose releases were all published again later",
                &Retention::default(),
                vec![],
                vec![found("a", 1, 9), found("a", 1, 18), found("b", 2, 19)],
                vec![9],
                vec![],
            ),
            (
                "a version that stays on the newer one of its shelves",
                &strict.clone().newest(2),
                vec![],
                vec![found("a", 1, 9), found("a", 1, 10), found("b", 2, 11)],
                vec![9],
                vec![],
            ),
            (
                "shelves without a record",
                &Retention::default(),
                vec![5, 18, 19, 20, u64::MAX],
                vec![found("a", 1, 17)],
                vec![5, 18],
                vec![],
            ),
            (
                "a second digest keeps nothing",
                &Retention::default(),
                vec![],
                vec![found("a", 1, 9), found("a", 2, 10), found("b", 3, 20)],
                vec![10],
                vec![],
            ),
        ] {
            let mut all = others;
            all.extend(records.iter().map(|found| found.key.shelf));
            let plan = Collection::plan(&calendar, retention, all, records);
            assert_eq!(plan.shelves, shelves, "{name}");
            let gone = gone.into_iter().map(Box::from).collect::<HashSet<_>>();
            assert_eq!(plan.gone, gone, "{name}");
        }
    }
}
