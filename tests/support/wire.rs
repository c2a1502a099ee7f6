//! A server on a socket, as hyper's users have one, and HTTP/1 as bytes (RFC 9112): a client
//! that writes exactly what it is told, and believes nothing that it reads.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    pin::Pin,
    time::Duration,
};

use axum::http::{HeaderName, Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{net::TcpListener, runtime::Runtime, task::JoinHandle};
use tower::{Service, ServiceExt as _};

pub type Reason = Box<dyn std::error::Error + Send + Sync>;

/// For a server that hangs, not for one that is slow.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// HTTP/1 and HTTP/2 on one port, until it is dropped.
pub struct Server {
    pub address: SocketAddr,
    pub runtime: Runtime,
}

impl Server {
    pub fn start<S, B>(service: S) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<Reason>,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Reason>,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // Head and body are written apart: without this, each body waits for an ACK.
                stream.set_nodelay(true).unwrap();
                let service = hyper::service::service_fn(marked(service.clone()));
                tokio::spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    // What becomes of a connection is the client's to see.
                    server.serve_connection(TokioIo::new(stream), service).await.ok();
                });
            }
        });
        Self { address, runtime }
    }
}

/// An answer of the service repeats this field of its request; one of the HTTP
/// implementation does not.
pub const MARK: HeaderName = HeaderName::from_static("x-mark");

type Marked<B, E> = Pin<Box<dyn Future<Output = Result<Response<B>, E>> + Send>>;

fn marked<S, B>(service: S) -> impl Fn(Request<Incoming>) -> Marked<B, S::Error>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
{
    move |request| {
        let mark = request.headers().get(MARK).cloned();
        let response = service.clone().oneshot(request);
        Box::pin(async move {
            let mut response = response.await?;
            response.headers_mut().extend(mark.map(|mark| (MARK, mark)));
            Ok(response)
        })
    }
}

/// One connection, kept alive for as long as the server does.
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub fn open(server: &Server) -> Self {
        Self::to(server.address)
    }

    pub fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    /// One that has closed before it has read everything shows by what it answers.
    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).ok();
    }

    /// A request of our own: well-formed.
    pub fn exchange(&mut self, method: &str, url: &str, lines: &[(&str, &str)]) -> Answer {
        let mut head = format!("{method} {url} HTTP/1.1\r\nHost: localhost\r\n");
        for (name, value) in lines {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        self.write(format!("{head}\r\n").as_bytes());
        let answer = self.read(method);
        answer.unwrap_or_else(|| panic!("{method} {url}: closed without an answer"))
    }

    /// The final answer to a request with this method; nothing where the connection ends
    /// within its head.
    pub fn read(&mut self, method: &str) -> Option<Answer> {
        loop {
            let mut answer = self.read_head()?;
            if answer.status >= 200 || answer.status == 101 {
                self.read_body(method, &mut answer);
                return Some(answer);
            }
        }
    }

    /// Without the body.
    pub fn read_head(&mut self) -> Option<Answer> {
        let line = self.line()?;
        let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5));
        let status = status.and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line: {line:?}"));
        let mut lines = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Some(Answer { status, lines, body: Vec::new(), is_complete: true });
            }
            let (name, value) = line.split_once(':').expect("a field has a name");
            // Not `trim`: in Latin-1, other bytes look like white space as well.
            let value = value.trim_matches([' ', '\t']).to_owned();
            lines.push((name.to_ascii_lowercase(), value));
        }
    }

    /// Reads what belongs to a head that was read before (RFC 9112 §6.3).
    pub fn read_body(&mut self, method: &str, answer: &mut Answer) {
        let has_none = method == "HEAD" || [101, 204, 304].contains(&answer.status);
        if has_none || (method == "CONNECT" && answer.status < 300) {
            return;
        }
        let coding = answer.field("transfer-encoding");
        let length = answer.field("content-length");
        let body = match (&*coding, &*length) {
            ("", "") => self.until(u64::MAX),
            ("", length) => self.until(length.parse().expect("a length")),
            ("chunked", "") => return self.read_chunks(answer),
            framing => panic!("the body ends nowhere: {framing:?}"),
        };
        answer.is_complete = length.is_empty() || body.len().to_string() == length;
        answer.body = body;
    }

    fn read_chunks(&mut self, answer: &mut Answer) {
        answer.is_complete = false;
        while let Some(line) = self.line() {
            let size = line.split(';').next().unwrap().trim();
            let size = u64::from_str_radix(size, 16).expect("a chunk has a size");
            answer.body.extend(self.until(size));
            let Some(end) = self.line() else { return };
            assert_eq!(end, "", "a chunk is as long as it says, and no trailers are expected");
            if size == 0 {
                answer.is_complete = true;
                return;
            }
        }
    }

    /// Everything that follows once nothing more is asked.
    pub fn rest(mut self) -> String {
        self.stream.get_ref().shutdown(Shutdown::Write).ok();
        String::from_utf8_lossy(&self.until(u64::MAX)).into_owned()
    }

    fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        let is_read = self.stream.read_until(b'\n', &mut line);
        assert_in_time(&is_read);
        let line = line.strip_suffix(b"\r\n")?;
        Some(from_latin1(line))
    }

    fn until(&mut self, length: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        assert_in_time(&self.stream.by_ref().take(length).read_to_end(&mut bytes));
        bytes
    }
}

/// What HTTP/1 was written in.
pub fn from_latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

pub fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(c).expect("Latin-1")).collect()
}

/// A connection may be reset at any time; a server may not leave one waiting.
fn assert_in_time<T>(result: &std::io::Result<T>) {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    let is_late = |error: &std::io::Error| [TimedOut, WouldBlock].contains(&error.kind());
    assert!(!result.as_ref().is_err_and(is_late), "neither an answer nor an end");
}

/// An answer, as far as it has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// With names in lower case.
    pub lines: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether the body was as long as the head had said.
    pub is_complete: bool,
}

impl Answer {
    pub fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.lines.iter().filter(move |(own, _)| own == name);
        named.map(|(_, value)| &**value)
    }

    /// The lines of a field, joined by ` | `; empty where there is none.
    pub fn field(&self, name: &str) -> String {
        self.lines(name).collect::<Vec<_>>().join(" | ")
    }

    pub fn cache_control(&self) -> String {
        self.field("cache-control")
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One request over an HTTP/2 connection of its own; nothing where there is no answer.
pub fn exchange_http2(server: &Server, request: Request<()>) -> Option<Answer> {
    let exchange = async {
        let (mut client, connection) = connect_http2(server).await;
        let (response, _) = client.send_request(request, true).ok()?;
        let answer = receive(response).await;
        connection.abort();
        answer.ok()
    };
    let in_time = async { tokio::time::timeout(DEADLINE, exchange).await };
    server.runtime.block_on(in_time).expect("neither an answer nor an end")
}

pub async fn connect_http2(
    server: &Server,
) -> (h2::client::SendRequest<bytes::Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    (client, tokio::spawn(connection))
}

async fn receive(response: h2::client::ResponseFuture) -> Result<Answer, h2::Error> {
    let (head, mut stream) = response.await?.into_parts();
    let lines = head.headers.iter();
    let lines = lines.map(|(name, value)| (name.to_string(), from_latin1(value.as_bytes())));
    let (lines, status) = (lines.collect(), head.status.into());
    let mut answer = Answer { status, lines, body: Vec::new(), is_complete: true };
    while let Some(data) = stream.data().await {
        let Ok(data) = data else {
            answer.is_complete = false;
            break;
        };
        stream.flow_control().release_capacity(data.len())?;
        answer.body.extend(data);
    }
    Ok(answer)
}
