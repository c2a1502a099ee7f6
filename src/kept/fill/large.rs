//! How does a large file come, while others read what has come already?

use std::{fs::File, pin::pin, sync::Arc};

use futures_util::future::{Either, select};
use http::StatusCode;
use tokio::{sync::watch, task::spawn_blocking};

use crate::{
    kept::{
        Kept,
        fill::{
            streaming::{Arrived, Part, Streaming},
            wanted::Wanted,
        },
        shelf::{CheckLanding, Checked, KeptSnapshot},
    },
    manifest::{FileIndex, FileInfo, stored::Wrong},
};

impl Kept {
    /// Lets requests read the large parts of a file while they come.
    pub(super) async fn stream(
        self: Arc<Self>,
        opened: &Arc<KeptSnapshot>,
        file: FileIndex,
        large: Vec<usize>,
        landing: CheckLanding,
    ) {
        let (senders, parts) = self.parts(opened, file, &large);
        let mut first = parts[large[0]].arrived.clone();
        let filling = pin!(self.fill_large(opened, file, large.into_iter().zip(senders)));
        let has_begun = pin!(async {
            first.wait_for(|arrived| !matches!(arrived, Arrived::Waiting)).await.is_ok()
        });
        match select(filling, has_begun).await {
            Either::Left((filled, _)) => {
                landing.land(self.conclude(opened, file, filled).map(|()| Checked::File));
            }
            Either::Right((_, filling)) => {
                let streaming = self.begin_stream(opened, file, parts).await;
                landing.land(streaming.map(Checked::Streaming));
                let filled = filling.await;
                let _ = self.conclude(opened, file, filled);
            }
        }
    }

    /// Returns the parts of a file, and what tells how much has come of the large ones.
    fn parts(
        &self,
        opened: &KeptSnapshot,
        file: FileIndex,
        large: &[usize],
    ) -> (Vec<watch::Sender<Arrived>>, Vec<Part>) {
        let listed = opened.files().map(|files| files.parts(file)).unwrap_or_default();
        let mut senders = Vec::new();
        let parts = listed.into_iter().enumerate().map(|(position, (coding, path, info))| {
            let arrived = match large.contains(&position) {
                true => Arrived::Waiting,
                false => Wanted { release: &opened.release, path, info }.arrived(),
            };
            let (sender, arrived) = watch::channel(arrived);
            if large.contains(&position) {
                senders.push(sender);
            }
            Part { coding, length: info.length(), arrived }
        });
        let parts = parts.collect();
        (senders, parts)
    }

    /// Fills the large parts, and checks the file then.
    async fn fill_large(
        self: &Arc<Self>,
        opened: &Arc<KeptSnapshot>,
        file: FileIndex,
        large: impl Iterator<Item = (usize, watch::Sender<Arrived>)>,
    ) -> Result<(), Wrong> {
        let (Some(files), Some(source)) = (opened.files(), self.releases.source()) else {
            return Ok(());
        };
        let path = files.path(file).unwrap_or_default();
        let _waiting = self.fills.wait().map_err(|why| why.of(path))?;
        let _large = self.fills.large.acquire().await;
        let (release, parts) = (self.as_known(opened), files.parts(file));
        for (position, sender) in large {
            let (_, path, info) = parts[position];
            let wanted = Wanted { release: &release, path, info };
            let _landing = self.fills.alone(info.sha256()).await;
            // It may have come under another name meanwhile.
            if wanted.is_here().await || self.fill_from_here(&wanted, None).await {
                sender.send_replace(wanted.arrived());
                continue;
            }
            let filled = match self.make_room(&wanted, source).await {
                Ok(()) => self.fetch(&wanted, source, Some(&sender)).await,
                Err(failure) => Err(failure),
            };
            if let Err(failure) = filled {
                sender.send_replace(Arrived::Failed);
                source.budget.remove(opened.release.version(), info.length());
                return Err(failure.of(path));
            }
        }
        self.check_filled(opened, file).await
    }

    /// Makes what the service over the directory needs for the heads of responses.
    async fn begin_stream(
        self: &Arc<Self>,
        opened: &Arc<KeptSnapshot>,
        file: FileIndex,
        parts: Vec<Part>,
    ) -> Result<Arc<Streaming>, StatusCode> {
        let (kept, opened) = (Arc::clone(self), Arc::clone(opened));
        let streaming = spawn_blocking(move || {
            // The files of the one that is open have to be checked first.
            let apart = kept.open_now(&opened.release).ok().flatten()?;
            let files = apart.files()?;
            let listed = files.parts(file);
            let lengths = listed.iter().map(|(_, path, info)| (*path, info.length()));
            let placeholders = kept.releases.placeholders(&lengths.collect::<Vec<_>>()).ok()?;
            let at = |info: &FileInfo| info.at(placeholders.modified());
            let made = listed.iter().map(|(coding, _, info)| (*coding, at(info)));
            let made = made.collect::<Vec<_>>();
            files.make(file, made.iter().map(|(coding, info)| (*coding, info)));
            let releases = kept.releases.clone();
            Some(Arc::new(Streaming::new(apart, placeholders, parts, releases)))
        });
        streaming.await.ok().flatten().ok_or(StatusCode::SERVICE_UNAVAILABLE)
    }
}

impl Wanted<'_> {
    /// Opens the file that is in its place, and right.
    fn arrived(&self) -> Arrived {
        let file = self.release.file(self.path).and_then(|(path, _)| File::open(path).ok());
        file.map_or(Arrived::Failed, |file| Arrived::Right(Arc::new(file)))
    }
}
