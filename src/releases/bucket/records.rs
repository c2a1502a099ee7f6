//! Which releases does a bucket have? One LIST tells what is new, and some more tell all.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    time::SystemTime,
};

use data_encoding::HEXLOWER;
use object_store::ObjectMeta;

use super::{
    Bucket, Calendar, StoreError,
    client::{Client, modified},
    keys::RecordKey,
};

/// So many releases are known, those that were published last.
pub(crate) const MOST_RECORDS: usize = 10_000;

/// A shelf with more records than this was not written by anything of this crate.
const MOST_LISTED: usize = 1_000_000;

/// A release in a bucket, of which the listing is not read yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BucketRecord {
    pub(crate) version: Box<str>,
    pub(crate) digest: [u8; 32],
    /// Every shelf that has this record, the newest first.
    pub(crate) shelves: Vec<u64>,
    /// When it was published last.
    pub(crate) published: SystemTime,
}

/// A record on one shelf.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) key: RecordKey,
    pub(super) written: SystemTime,
}

impl Bucket {
    /// Returns the releases of this week, the newest first. Asks the store once; with the
    /// neighbour twice if it is within a day of the week's start or end, when clocks may not
    /// agree which week it is.
    pub(crate) async fn newest_records(
        &self,
        now: SystemTime,
        with_neighbour: bool,
    ) -> Result<Vec<BucketRecord>, StoreError> {
        self.run(move |client| async move {
            let mut found = Vec::new();
            let shelves = client.calendar.current_shelves(now);
            for shelf in shelves.into_iter().take(if with_neighbour { 2 } else { 1 }) {
                found.extend(client.records_on(shelf).await?);
            }
            Ok(client.merge(found))
        })
        .await
    }

    /// Returns all releases, the newest first, but not more than the 10,000 newest.
    pub(crate) async fn records(&self) -> Result<Vec<BucketRecord>, StoreError> {
        self.run(|client| async move { client.all_records().await }).await
    }
}

impl Client {
    pub(super) async fn all_records(&self) -> Result<Vec<BucketRecord>, StoreError> {
        Ok(self.merge(self.found().await?))
    }

    /// Returns the records on all shelves.
    pub(super) async fn found(&self) -> Result<Vec<Found>, StoreError> {
        let mut found = Vec::new();
        for shelf in self.shelves().await? {
            found.extend(self.records_on(shelf).await?);
        }
        Ok(found)
    }

    pub(super) async fn records_on(&self, shelf: u64) -> Result<Vec<Found>, StoreError> {
        let parse = |object: &ObjectMeta| {
            let key = self.keys.parse_record(&object.location)?;
            Ok(Found { key, written: modified(object) })
        };
        self.list(&self.keys.records(shelf), MOST_LISTED, parse).await
    }

    /// Makes releases of records, the 10,000 newest, and logs those that are none.
    fn merge(&self, found: Vec<Found>) -> Vec<BucketRecord> {
        let (mut records, ignored) = merge(found);
        records.truncate(MOST_RECORDS);
        for found in ignored {
            let RecordKey { shelf, version, digest } = found.key;
            let key = self.keys.record(shelf, &version, &digest);
            self.log_odd_key(&key, "is a second record of its version");
        }
        records
    }
}

impl Calendar {
    /// Returns the shelf that a publisher who starts now puts a release on.
    pub(super) fn shelf(&self, now: SystemTime) -> u64 {
        self.weeks(now).0
    }

    /// Returns the shelves on which a release that was just published may be, the likeliest
    /// first.
    pub(super) fn current_shelves(&self, now: SystemTime) -> Vec<u64> {
        let (shelf, since) = self.weeks(now);
        let day = self.day().as_nanos();
        if since < day {
            [Some(shelf), shelf.checked_sub(1)].into_iter().flatten().collect()
        } else if since + day >= self.week.as_nanos() {
            vec![shelf, shelf + 1]
        } else {
            vec![shelf]
        }
    }

    pub(super) fn day(&self) -> std::time::Duration {
        self.week / 7
    }

    /// Returns the number of weeks since 1970, and the nanoseconds since the last one has begun.
    fn weeks(&self, now: SystemTime) -> (u64, u128) {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        let week = self.week.as_nanos().max(1);
        (u64::try_from(now / week).unwrap_or(u64::MAX - 1), now % week)
    }
}

/// What is known of one digest of a version.
struct Digest {
    shelves: Vec<u64>,
    oldest: SystemTime,
    newest: SystemTime,
}

/// Makes releases of records, the newest first. Of two digests of one version the oldest counts:
/// whoever has put the other one was told that the version is taken. Returns also the records
/// that do not count.
pub(super) fn merge(found: Vec<Found>) -> (Vec<BucketRecord>, Vec<Found>) {
    let mut versions = HashMap::<Box<str>, BTreeMap<[u8; 32], Digest>>::new();
    for Found { key: RecordKey { shelf, version, digest }, written } in found {
        let digests = versions.entry(version).or_default();
        let new = || Digest { shelves: Vec::new(), oldest: written, newest: written };
        let known = digests.entry(digest).or_insert_with(new);
        known.shelves.push(shelf);
        known.oldest = known.oldest.min(written);
        known.newest = known.newest.max(written);
    }
    let (mut records, mut ignored) = (Vec::new(), Vec::new());
    for (version, digests) in versions {
        let mut digests = digests.into_iter().collect::<Vec<_>>();
        digests.sort_by_key(|(digest, known)| (known.oldest, *digest));
        let mut digests = digests.into_iter();
        records.extend(digests.next().map(|(digest, known)| record(&version, digest, known)));
        for (digest, known) in digests {
            let written = known.newest;
            ignored.extend(known.shelves.into_iter().map(|shelf| Found {
                key: RecordKey { shelf, version: version.clone(), digest },
                written,
            }));
        }
    }
    records.sort_by(|a, b| b.order().cmp(&a.order()));
    (records, ignored)
}

fn record(version: &str, digest: [u8; 32], mut known: Digest) -> BucketRecord {
    known.shelves.sort_unstable_by_key(|shelf| Reverse(*shelf));
    known.shelves.dedup();
    BucketRecord {
        version: version.into(),
        digest,
        shelves: known.shelves,
        published: known.newest,
    }
}

impl BucketRecord {
    /// The order of releases. Two of the same time are in some order, but always the same.
    pub(super) fn order(&self) -> (SystemTime, &str) {
        (self.published, &self.version)
    }

    pub(super) fn digest_hex(&self) -> String {
        HEXLOWER.encode(&self.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::Arc, time::Duration};

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn found(shelf: u64, version: &str, digest: u8, written: u64) -> Found {
        let key = RecordKey { shelf, version: version.into(), digest: [digest; 32] };
        Found { key, written: at(written) }
    }

    #[test]
    fn records_become_releases() {
        for (name, records, expected, expected_ignored) in [
            ("none", vec![], vec![], 0),
            (
                "the newest first",
                vec![found(1, "a", 1, 10), found(1, "b", 2, 30), found(2, "c", 3, 20)],
                vec![("b", 2, vec![1], 30), ("c", 3, vec![2], 20), ("a", 1, vec![1], 10)],
                0,
            ),
            (
                "one on several shelves",
                vec![found(1, "a", 1, 10), found(3, "a", 1, 30), found(2, "a", 1, 20)],
                vec![("a", 1, vec![3, 2, 1], 30)],
                0,
            ),
            (
                "a key that is listed twice",
                vec![found(1, "a", 1, 10), found(1, "a", 1, 10)],
                vec![("a", 1, vec![1], 10)],
                0,
            ),
            (
                "two digests: the one that was first, though it was published again",
                vec![found(1, "a", 9, 10), found(2, "a", 1, 20), found(3, "a", 9, 30)],
                vec![("a", 9, vec![3, 1], 30)],
                1,
            ),
            (
                "two digests at once: always the same",
                vec![found(1, "a", 9, 10), found(1, "a", 1, 10)],
                vec![("a", 1, vec![1], 10)],
                1,
            ),
        ] {
            let (records, ignored) = merge(records);
            let expected = expected.into_iter().map(|(version, digest, shelves, published)| {
                let (digest, published) = ([digest; 32], at(published));
                BucketRecord { version: version.into(), digest, shelves, published }
            });
            assert_eq!(records, expected.collect::<Vec<_>>(), "{name}");
            assert_eq!(ignored.len(), expected_ignored, "{name}");
        }
    }

    #[test]
    fn shelves_around_the_border_of_a_week() {
        let calendar = Calendar { week: super::super::WEEK, now: Arc::new(SystemTime::now) };
        let (week, day) = (604_800, 86_400);
        for (name, now, expected) in [
            ("the start of 1970", 0, vec![0]),
            ("the border", 9 * week, vec![9, 8]),
            ("a day less a second after", 9 * week + day - 1, vec![9, 8]),
            ("a day after", 9 * week + day, vec![9]),
            ("more than a day before", 10 * week - day - 1, vec![9]),
            ("a day before", 10 * week - day, vec![9, 10]),
            ("a second before", 10 * week - 1, vec![9, 10]),
        ] {
            assert_eq!(calendar.current_shelves(at(now)), expected, "{name}");
        }
        assert_eq!(calendar.shelf(at(10 * week - 1)), 9);
        let nearly_no_week = Calendar { week: Duration::ZERO, ..calendar };
        nearly_no_week.current_shelves(at(1));
    }
}
