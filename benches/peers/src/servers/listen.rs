//! The connections of the servers that are written in Rust: the same for all.

use std::{convert::Infallible, error::Error, future::Future, io, os::fd::AsFd as _};

use axum::http::{Request, Response};
use hyper::{
    body::{Body, Incoming},
    service::Service,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
};

use super::Site;
use crate::Result;

/// Serves a tower service on the socket that is the standard input.
pub(super) fn serve_tower<S, B>(site: &Site, service: S) -> Result<()>
where
    S: tower::Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    serve(site, TowerToHyperService::new(service))
}

/// The same for a service of hyper.
pub(super) fn serve<S, B>(site: &Site, service: S) -> Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    runtime(site.workers)?.block_on(async {
        let listener = inherited_listener()?;
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(connection(stream, service.clone())?);
        }
    })
}

fn runtime(workers: usize) -> io::Result<Runtime> {
    let mut builder = match workers {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder.worker_threads(workers).enable_all().build()
}

fn inherited_listener() -> io::Result<TcpListener> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    TcpListener::from_std(socket.into())
}

fn connection<S, B>(stream: TcpStream, service: S) -> io::Result<impl Future<Output = ()> + Send>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    stream.set_nodelay(true)?;
    Ok(async move {
        let builder = auto::Builder::new(TokioExecutor::new());
        // Fails when the load generator goes without a word, which is not the server's fault.
        let _ = builder.serve_connection(TokioIo::new(stream), service).await;
    })
}
