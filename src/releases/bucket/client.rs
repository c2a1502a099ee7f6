//! How is a store asked? With time limits and retries of the crate's own, because those of
//! `object_store` let a silent store hold a request for minutes.

use std::{
    collections::HashSet,
    error::Error as _,
    fmt,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::BoxStream};
use object_store::{GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt as _, path::Path};
use tokio::time::{sleep, timeout};

use super::{Calendar, keys::Keys};
use crate::observe::log;

/// The store must answer a question within this time, and go on with it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Before the one retry of a question.
const PAUSE: Duration = Duration::from_millis(50);

/// Between the attempts of who is patient.
pub(super) const PAUSES: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(500), Duration::from_secs(2)];

/// So many log lines about odd keys are remembered.
const MOST_LOGGED: usize = 1000;

/// The longest text of a store that becomes part of an error, in characters.
const LONGEST_TEXT: usize = 400;

/// What the store did not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoreError {
    /// There is nothing under the key.
    Missing,
    /// It did not answer, or not in time. Later it may.
    Unavailable(String),
    /// It has or does something that it should not.
    Wrong(String),
    /// The credentials do not suffice.
    Denied(String),
}

/// A store, and where the releases are in it.
pub(super) struct Client {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) keys: Keys,
    pub(super) calendar: Calendar,
    /// The keys that were logged.
    logged: Arc<Mutex<HashSet<String>>>,
    /// Whether nobody waits for a response meanwhile.
    is_patient: bool,
}

/// What the store has under a key, and the bytes.
pub(super) struct Got {
    pub(super) length: u64,
    pub(super) pieces: Pieces,
}

/// The bytes of an object: the first piece has come already.
pub(super) struct Pieces {
    first: Option<Bytes>,
    rest: BoxStream<'static, object_store::Result<Bytes>>,
}

impl Client {
    pub(super) fn new(store: Arc<dyn ObjectStore>, keys: Keys, calendar: Calendar) -> Self {
        Self { store, keys, calendar, logged: Arc::default(), is_patient: false }
    }

    /// Returns a client for those who publish and delete. It asks more often if the store answers
    /// that it cannot just now.
    pub(super) fn patient(&self) -> Self {
        let (store, logged) = (Arc::clone(&self.store), Arc::clone(&self.logged));
        let (keys, calendar) = (self.keys.clone(), self.calendar.clone());
        Self { store, keys, calendar, logged, is_patient: true }
    }

    /// Asks for an object, until its first bytes have come.
    pub(super) async fn get(&self, key: &Path) -> Result<Got, StoreError> {
        self.retry(|| self.get_once(key)).await
    }

    pub(super) async fn get_once(&self, key: &Path) -> Result<Got, StoreError> {
        in_time(self.get_patiently(key)).await
    }

    async fn get_patiently(&self, key: &Path) -> Result<Got, StoreError> {
        let got = self.store.get_opts(key, GetOptions::default()).await;
        let got = got.map_err(|error| StoreError::new(key, &error))?;
        let (length, range) = (got.meta.size, got.range.clone());
        if range != (0..length) {
            let why = format!("the store gives a part of {key} that was not asked for");
            return Err(StoreError::Wrong(why));
        }
        let mut rest = got.into_stream();
        let first = rest.next().await.transpose().map_err(|error| StoreError::new(key, &error))?;
        Ok(Got { length, pieces: Pieces { first, rest } })
    }

    /// Asks for the metadata of an object.
    pub(super) async fn head(&self, key: &Path) -> Result<ObjectMeta, StoreError> {
        let head =
            || async { self.store.head(key).await.map_err(|error| StoreError::new(key, &error)) };
        self.retry(|| in_time(head())).await
    }

    /// Lists all keys below a prefix, and returns what `parse` makes of them. Odd keys are
    /// logged once.
    pub(super) async fn list<T>(
        &self,
        prefix: &Path,
        most: usize,
        parse: impl Fn(&ObjectMeta) -> Result<T, String>,
    ) -> Result<Vec<T>, StoreError> {
        self.retry(|| self.list_once(prefix, most, &parse)).await
    }

    async fn list_once<T>(
        &self,
        prefix: &Path,
        most: usize,
        parse: impl Fn(&ObjectMeta) -> Result<T, String>,
    ) -> Result<Vec<T>, StoreError> {
        let mut listed = self.store.list(Some(prefix));
        let mut parsed = Vec::new();
        let mut count = 0_usize;
        loop {
            let object = match in_time(async { Ok(listed.next().await) }).await? {
                None => return Ok(parsed),
                Some(object) => object.map_err(|error| StoreError::list(prefix, &error))?,
            };
            count += 1;
            if count > most {
                let why = format!("there are more than {most} keys below {prefix}");
                return Err(StoreError::Wrong(why));
            }
            match parse(&object) {
                Ok(object) => parsed.push(object),
                Err(why) => self.log_odd_key(&object.location, &why),
            }
        }
    }

    /// Lists the shelves, in no order.
    pub(super) async fn shelves(&self) -> Result<Vec<u64>, StoreError> {
        let prefix = self.keys.prefix();
        let list = || async {
            let listed = self.store.list_with_delimiter(Some(prefix)).await;
            listed.map_err(|error| StoreError::list(prefix, &error))
        };
        let mut shelves = Vec::new();
        for key in self.retry(|| in_time(list())).await?.common_prefixes {
            match self.keys.parse_shelf(&key) {
                Ok(shelf) => shelves.push(shelf),
                Err(why) => self.log_odd_key(&key, &why),
            }
        }
        Ok(shelves)
    }

    /// Asks a second time if the store was not available.
    pub(super) async fn retry<T, F>(&self, ask: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut answer = ask().await;
        if matches!(answer, Err(StoreError::Unavailable(_))) {
            sleep(PAUSE).await;
            answer = ask().await;
        }
        for pause in PAUSES {
            match &answer {
                Err(StoreError::Unavailable(why)) if self.is_patient && status(why).is_some() => {}
                _ => break,
            }
            sleep(pause).await;
            answer = ask().await;
        }
        answer
    }

    /// Logs a key that is ignored, once.
    pub(super) fn log_odd_key(&self, key: &Path, why: &str) {
        // A set of log lines is whole after each call that changes it.
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.len() < MOST_LOGGED && logged.insert(key.to_string()) {
            log::odd_key(key.as_ref(), why);
        }
    }
}

impl Pieces {
    /// Returns the next bytes. They must come in time.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let next = in_time(async { Ok(self.rest.next().await) }).await?;
        let next = next.transpose();
        next.map_err(|error| StoreError::Unavailable(format!("cannot go on: {}", tidy(&error))))
    }

    /// Returns all bytes, or that they are too many or too few.
    pub(super) async fn collect(mut self, length: u64) -> Result<Bytes, StoreError> {
        let mut bytes = Vec::new();
        while let Some(piece) = self.next().await? {
            if bytes.len() as u64 + piece.len() as u64 > length {
                return Err(too_long(length));
            }
            bytes.extend_from_slice(&piece);
        }
        if (bytes.len() as u64) < length {
            return Err(cut_off(bytes.len() as u64, length));
        }
        Ok(bytes.into())
    }
}

pub(super) fn too_long(length: u64) -> StoreError {
    StoreError::Wrong(format!("the store gives more than the {length} bytes that it announced"))
}

pub(super) fn cut_off(length: u64, of: u64) -> StoreError {
    StoreError::Unavailable(format!("the answer has ended after {length} of {of} bytes"))
}

/// Gives up when the store is silent for too long.
async fn in_time<T>(answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let late = || format!("no answer within {} s", PATIENCE.as_secs_f64());
    timeout(PATIENCE, answer).await.unwrap_or_else(|_| Err(StoreError::Unavailable(late())))
}

/// Returns when an object was written last. What no system can tell is the start of 1970.
pub(super) fn modified(object: &ObjectMeta) -> SystemTime {
    let time = object.last_modified;
    let seconds = u64::try_from(time.timestamp()).unwrap_or(0);
    let after = Duration::new(seconds, time.timestamp_subsec_nanos());
    SystemTime::UNIX_EPOCH.checked_add(after).unwrap_or(SystemTime::UNIX_EPOCH)
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("it does not have what it has listed"),
            Self::Unavailable(why) | Self::Wrong(why) | Self::Denied(why) => f.write_str(why),
        }
    }
}

impl StoreError {
    /// Tells what an error means that has come in answer to a request for one key.
    pub(super) fn new(key: &Path, error: &object_store::Error) -> Self {
        Self::about(key, error, "or there is nothing under it and they may not LIST the bucket")
    }

    /// Tells what an error of a LIST means.
    fn list(prefix: &Path, error: &object_store::Error) -> Self {
        match Self::about(prefix, error, "namely LIST it") {
            Self::Missing => Self::Wrong(format!("there is no such bucket: {}", tidy(error))),
            other => other,
        }
    }

    fn about(key: &Path, error: &object_store::Error, denied: &str) -> Self {
        use object_store::Error as E;
        let text = tidy(error);
        match error {
            E::NotFound { .. } => Self::Missing,
            E::PermissionDenied { .. } | E::Unauthenticated { .. } => Self::Denied(format!(
                "the credentials may not use {:?}, {denied}: {text}",
                key.as_ref()
            )),
            E::InvalidPath { .. } => Self::Wrong(format!("has a key that is none: {text}")),
            E::NotSupported { .. } | E::NotImplemented { .. } => {
                Self::Wrong(format!("the store cannot do what is needed: {text}"))
            }
            _ => Self::by_status(key, text, denied),
        }
    }

    /// Tells what a status means. In answer to a LIST, `object_store` only has it in its text.
    fn by_status(key: &Path, text: String, denied: &str) -> Self {
        match status(&text) {
            Some("401" | "403") => Self::Denied(format!(
                "the credentials may not use {:?}, {denied}: {text}",
                key.as_ref()
            )),
            Some("404") => Self::Missing,
            Some("405" | "501") => {
                Self::Wrong(format!("the store cannot do what is needed: {text}"))
            }
            _ => Self::Unavailable(text),
        }
    }
}

/// Returns the text of an error in one line, without queries, which may have a signature in
/// them.
pub(super) fn tidy(error: &object_store::Error) -> String {
    let text = without_xml(with_cause(error));
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let words = words.filter(|word| !word.is_empty()).map(|word| match word.split_once('?') {
        Some((url, _)) if url.contains("://") => url,
        _ => word,
    });
    let text = words.collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(LONGEST_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Returns the status that a store has answered with.
fn status(text: &str) -> Option<&str> {
    let (_, after) = text.split_once("status code: ")?;
    after.get(..3).filter(|status| status.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Replaces the XML in which S3 tells about an error by what it tells.
fn without_xml(text: String) -> String {
    let Some(start) = text.find("<?xml").or_else(|| text.find("<Error>")) else { return text };
    let (before, xml) = text.split_at(start);
    let tag = |name| {
        let (_, after) = xml.split_once(&format!("<{name}>"))?;
        Some(after.split_once("</")?.0)
    };
    let told = [tag("Code"), tag("Message")].into_iter().flatten().collect::<Vec<_>>();
    format!("{before}{}", told.join(": "))
}

/// Returns the text of an error and that of its first cause, which is often the one that helps.
fn with_cause(error: &object_store::Error) -> String {
    let text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause.and_then(|cause| cause.source()) {
        cause = Some(deeper);
    }
    match cause.map(ToString::to_string) {
        Some(cause) if !text.contains(&cause) => format!("{text}: {cause}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_errors_are_one_line_and_hide_signatures() {
        let generic =
            |text: String| object_store::Error::Generic { store: "S3", source: text.into() };
        let error = generic("GET http://h/b/k?sig=secret:\n  no\r\n".into());
        assert_eq!(tidy(&error), "Generic S3 error: GET http://h/b/k no");
        let xml = "403 Forbidden: <?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code>\
                   <Message>No.</Message><Resource>/b</Resource></Error>";
        let told = "Generic S3 error: 403 Forbidden: AccessDenied: No.";
        assert_eq!(tidy(&generic(xml.into())), told);
        assert_eq!(tidy(&generic("500: <Error><Code>Sl".into())), "Generic S3 error: 500:");
        let long = tidy(&generic("ü".repeat(10_000)));
        assert_eq!(long.chars().count(), LONGEST_TEXT + 1);
    }

    #[test]
    fn what_errors_mean() {
        use object_store::Error as E;
        let key = Path::from("site/1");
        let (path, source) = (|| "site/1".to_owned(), || "why".into());
        let not_found = E::NotFound { path: path(), source: source() };
        assert_eq!(StoreError::new(&key, &not_found), StoreError::Missing);
        assert!(matches!(StoreError::list(&key, &not_found), StoreError::Wrong(_)));
        let denied = E::PermissionDenied { path: path(), source: source() };
        let StoreError::Denied(why) = StoreError::new(&key, &denied) else { panic!() };
        assert!(why.contains("may not LIST"), "{why}");
        let silent = E::Generic { store: "S3", source: source() };
        assert!(matches!(StoreError::new(&key, &silent), StoreError::Unavailable(_)));
        for (status, is_expected) in [
            ("403 Forbidden", (|error| matches!(error, StoreError::Denied(_))) as fn(_) -> bool),
            ("401 Unauthorized", |error| matches!(error, StoreError::Denied(_))),
            ("404 Not Found", |error| matches!(error, StoreError::Wrong(_))),
            ("501 Not Implemented", |error| matches!(error, StoreError::Wrong(_))),
            ("503 Slow Down", |error| matches!(error, StoreError::Unavailable(_))),
            ("400 Bad Request", |error| matches!(error, StoreError::Unavailable(_))),
        ] {
            let text = format!("Server returned non-2xx status code: {status}: ");
            let error = E::Generic { store: "S3", source: text.into() };
            assert!(is_expected(StoreError::list(&key, &error)), "{status}");
        }
        let no_list = E::NotSupported { source: source() };
        assert!(matches!(StoreError::list(&key, &no_list), StoreError::Wrong(_)));
    }
}
