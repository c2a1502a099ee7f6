//! Who reads the bytes of a kept release? A service over the directory of releases, of any type.

use std::{
    convert::Infallible,
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use tower_service::Service;

use crate::{ResponseBody, layer::body::BoxError};

/// The body of the requests to the service of kept releases, which has no content: see
/// [`releases`](crate::StaticUrlLayerBuilder::releases).
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct EmptyBody;

impl Body for EmptyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(0)
    }
}

pub(crate) type KeptBody = Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>;

pub(super) type FolderResponding =
    Pin<Box<dyn Future<Output = Result<Response<KeptBody>, BoxError>> + Send>>;

/// The user's service, boxed.
#[derive(Clone)]
pub(crate) struct FolderService {
    respond: Arc<dyn Fn(Request<EmptyBody>) -> FolderResponding + Send + Sync>,
}

impl FolderService {
    pub(crate) fn new<S, B>(service: S) -> Self
    where
        S: Service<Request<EmptyBody>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: Body<Error: Into<BoxError>> + Send + 'static,
    {
        let respond = move |request| {
            let service = service.clone();
            Box::pin(respond(service, request)) as FolderResponding
        };
        Self { respond: Arc::new(respond) }
    }

    pub(super) fn respond(&self, request: Request<EmptyBody>) -> FolderResponding {
        (self.respond)(request)
    }
}

async fn respond<S, B>(
    mut service: S,
    request: Request<EmptyBody>,
) -> Result<Response<KeptBody>, BoxError>
where
    S: Service<Request<EmptyBody>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: Body<Error: Into<BoxError>> + Send + 'static,
{
    poll_fn(|cx| service.poll_ready(cx)).await.map_err(Into::into)?;
    let response = service.call(request).await.map_err(Into::into)?;
    Ok(response.map(|body| Box::pin(ResponseBody::inner(body)) as KeptBody))
}

impl fmt::Debug for FolderService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FolderService").finish_non_exhaustive()
    }
}
