//! How is a large file answered that has yet to come from the bucket? While it comes. The service
//! over the directory makes the head of the response from an empty file of the same name and
//! length, and the body is what has arrived. Its end is held back until the digest is known, so
//! that wrong bytes never complete.

use std::{
    fs::File,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::{Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use tokio::{
    sync::{mpsc, watch},
    task::spawn_blocking,
};

use crate::{
    header::{content_coding::IDENTITY, range::ContentRange},
    kept::{
        service::{EmptyBody, FolderResponding, FolderService, KeptBody},
        shelf::KeptSnapshot,
    },
    layer::body::BoxError,
    releases::{Releases, filled::Placeholders},
};

/// How much of each response is held back.
const HELD_BACK: u64 = 64 * 1024;

const PIECE: u64 = 64 * 1024;

/// So many pieces wait for a slow client.
const PIECES: usize = 2;

/// A file and its siblings that are on their way.
#[derive(Debug)]
pub(in crate::kept) struct Streaming {
    /// The release as a snapshot of its own, in which the file is that of the placeholders.
    pub(in crate::kept) opened: Arc<KeptSnapshot>,
    placeholders: Placeholders,
    parts: Vec<Part>,
    releases: Releases,
}

/// A representation of the file.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) coding: &'static str,
    pub(super) length: u64,
    pub(super) arrived: watch::Receiver<Arrived>,
}

/// How much of a part is here.
#[derive(Clone, Debug)]
pub(super) enum Arrived {
    Waiting,
    /// So many bytes are in the file, and nothing is known of them.
    Some(Arc<File>, u64),
    /// All are, and they are right.
    Right(Arc<File>),
    Failed,
}

impl Streaming {
    pub(super) fn new(
        opened: Arc<KeptSnapshot>,
        placeholders: Placeholders,
        parts: Vec<Part>,
        releases: Releases,
    ) -> Self {
        Self { opened, placeholders, parts, releases }
    }

    /// Returns the name that the service over the directory knows the file's release by.
    pub(in crate::kept) fn directory(&self) -> &str {
        self.placeholders.name()
    }

    /// Whether somebody still fills the file.
    pub(in crate::kept) fn is_under_way(&self) -> bool {
        self.parts.iter().any(|part| {
            matches!(*part.arrived.borrow(), Arrived::Waiting | Arrived::Some(..))
                && part.arrived.has_changed().is_ok()
        })
    }

    /// Asks the service for a response, and replaces its body. The file itself comes first, and
    /// whoever compresses would have nothing but an empty file, so no coding is asked for.
    pub(in crate::kept) fn respond(
        self: Arc<Self>,
        folder: &FolderService,
        mut request: Request<EmptyBody>,
    ) -> FolderResponding {
        if self.part(IDENTITY.as_bytes()).is_some() {
            request.headers_mut().remove(header::ACCEPT_ENCODING);
        }
        let responding = folder.respond(request);
        Box::pin(async move {
            let response = responding.await?;
            match self.selection(&response) {
                Some(selection) => Ok(response.map(|_| self.body(selection))),
                None if !response.status().is_success() || response.body().is_end_stream() => {
                    Ok(response)
                }
                None => Err("the service has made a body of its own for a large file".into()),
            }
        })
    }

    fn part(&self, coding: &[u8]) -> Option<&Part> {
        self.parts.iter().find(|part| part.coding.as_bytes() == coding)
    }

    /// Returns which bytes of which part a response has. `None` if it has none of a file.
    fn selection(&self, response: &Response<KeptBody>) -> Option<Selection<'_>> {
        let headers = response.headers();
        let coding = headers.get(header::CONTENT_ENCODING).map(|coding| coding.as_bytes());
        let part = self.part(coding.unwrap_or(IDENTITY.as_bytes()))?;
        let (start, end) = match response.status() {
            StatusCode::OK => (0, part.length),
            StatusCode::PARTIAL_CONTENT => {
                let (first, last) =
                    ContentRange::parse(headers.get(header::CONTENT_RANGE)?)?.part?;
                (first, last + 1)
            }
            _ => return None,
        };
        let has_content = !response.body().is_end_stream() && start < end && end <= part.length;
        has_content.then_some(Selection { part, start, end })
    }

    fn body(&self, Selection { part, start, end }: Selection<'_>) -> KeptBody {
        let (sender, pieces) = mpsc::channel(PIECES);
        let feed = Feed { arrived: part.arrived.clone(), at: start, end, sender };
        // The threads of the bucket stay until the response has ended. The placeholders need not:
        // the service has the head.
        let releases = self.releases.clone();
        self.releases.spawn(async move {
            feed.run().await;
            drop(releases);
        });
        Box::pin(StreamingBody { pieces, left: end - start })
    }
}

struct Selection<'s> {
    part: &'s Part,
    start: u64,
    end: u64,
}

/// Hands what has arrived to one response.
struct Feed {
    arrived: watch::Receiver<Arrived>,
    at: u64,
    end: u64,
    sender: mpsc::Sender<Result<Bytes, BoxError>>,
}

impl Feed {
    async fn run(mut self) {
        let sender = self.sender.clone();
        let mut is_gone = pin!(sender.closed());
        while self.at < self.end {
            let piece = match select(pin!(self.next()), is_gone.as_mut()).await {
                Either::Left((piece, _)) => piece,
                // Nobody waits for the file any longer.
                Either::Right(_) => return,
            };
            let has_failed = piece.is_err();
            if let Ok(piece) = &piece {
                self.at += piece.len() as u64;
            }
            let piece = piece.map_err(|error| Box::new(error) as BoxError);
            if self.sender.send(piece).await.is_err() || has_failed {
                return;
            }
        }
    }

    async fn next(&mut self) -> io::Result<Bytes> {
        let (at, end) = (self.at, self.end);
        let is_of_use = |arrived: &Arrived| match arrived {
            Arrived::Waiting => false,
            Arrived::Some(_, length) => at < readable(*length, end),
            Arrived::Right(_) | Arrived::Failed => true,
        };
        let arrived = self.arrived.wait_for(is_of_use).await.map_err(|_| failed())?.clone();
        let (file, readable) = match arrived {
            Arrived::Some(file, length) => (file, readable(length, end)),
            Arrived::Right(file) => (file, end),
            Arrived::Waiting | Arrived::Failed => return Err(failed()),
        };
        let length = (readable - at).min(PIECE);
        spawn_blocking(move || read_at(&file, at, length)).await.map_err(io::Error::other)?
    }
}

/// Returns how far a response may be read that ends at `end`, when nothing is known of the bytes.
fn readable(arrived: u64, end: u64) -> u64 {
    arrived.min(end.saturating_sub(HELD_BACK))
}

fn failed() -> io::Error {
    io::Error::other("the file could not be fetched from the bucket")
}

fn read_at(file: &File, at: u64, length: u64) -> io::Result<Bytes> {
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    #[cfg(unix)]
    std::os::unix::fs::FileExt::read_exact_at(file, &mut bytes, at)?;
    #[cfg(windows)]
    {
        let mut read = 0;
        while read < bytes.len() {
            let rest = &mut bytes[read..];
            let count = std::os::windows::fs::FileExt::seek_read(file, rest, at + read as u64)?;
            read += if count == 0 { return Err(failed()) } else { count };
        }
    }
    #[cfg(not(any(unix, windows)))]
    {
        use std::io::{Read as _, Seek as _, SeekFrom};
        static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
        // The position is that of all who read.
        let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        (&*file).seek(SeekFrom::Start(at)).and_then(|_| (&*file).read_exact(&mut bytes))?;
    }
    Ok(bytes.into())
}

/// The content of one response.
struct StreamingBody {
    pieces: mpsc::Receiver<Result<Bytes, BoxError>>,
    left: u64,
}

impl Body for StreamingBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let piece = std::task::ready!(self.pieces.poll_recv(cx));
        // An end before all has come is an error, too.
        let piece = piece.unwrap_or_else(|| Err(Box::new(failed())));
        self.left = match &piece {
            Ok(piece) => self.left.saturating_sub(piece.len() as u64),
            Err(_) => 0,
        };
        Poll::Ready(Some(piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::Future as _, task::Waker};

    #[test]
    fn a_client_that_goes_away_waits_for_nothing() {
        let (_arrives, arrived) = watch::channel(Arrived::Waiting);
        let (sender, pieces) = mpsc::channel(PIECES);
        let mut feed = pin!(Feed { arrived, at: 0, end: 1, sender }.run());
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(feed.as_mut().poll(cx).is_pending());
        drop(pieces);
        assert!(feed.as_mut().poll(cx).is_ready());
    }
}
