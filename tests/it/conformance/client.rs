//! HTTP/1.1 as bytes (RFC 9112): writes exactly what it is told, and believes nothing that
//! it reads.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use super::oracle::{Request, Response};

/// One connection, kept alive over all requests: an answer that is longer or shorter than
/// it says spoils the next one.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub(crate) fn open(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).unwrap();
        stream.set_nodelay(true).unwrap();
        // For a server that hangs, not for one that is slow.
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    pub(crate) fn exchange(&mut self, url: &str, request: &Request) -> Response {
        self.send(url, request);
        let status = self.status();
        let lines = self.field_lines();
        let mut response = Response { status, lines, body: Vec::new() };
        // RFC 9112 §6.3: these have no body, whatever their fields say.
        if request.method != "HEAD" && status >= 200 && ![204, 304].contains(&status) {
            response.body = self.body(&response);
        }
        response
    }

    fn send(&mut self, url: &str, request: &Request) {
        let mut message = format!("{} {url} HTTP/1.1\r\nHost: localhost\r\n", request.method);
        if !["GET", "HEAD"].contains(&request.method.as_str()) {
            message.push_str("Content-Length: 0\r\n");
        }
        let mut message = message.into_bytes();
        for (name, value) in &request.lines {
            message.extend_from_slice(format!("{name}: ").as_bytes());
            message.extend_from_slice(value);
            message.extend_from_slice(b"\r\n");
        }
        message.extend_from_slice(b"\r\n");
        self.stream.get_mut().write_all(&message).unwrap();
    }

    fn line(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).unwrap();
        assert!(line.ends_with(b"\r\n"), "no line: {:?}", String::from_utf8_lossy(&line));
        line.truncate(line.len() - 2);
        line
    }

    fn status(&mut self) -> u16 {
        let line = String::from_utf8(self.line()).unwrap();
        let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
        status.and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no status: {line}"))
    }

    fn field_lines(&mut self) -> Vec<(String, Vec<u8>)> {
        let mut lines = Vec::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                return lines;
            }
            let colon = line.iter().position(|&byte| byte == b':').expect("a field has a name");
            let name = String::from_utf8(line[..colon].to_vec()).unwrap();
            lines.push((name.to_ascii_lowercase(), line[colon + 1..].trim_ascii().to_vec()));
        }
    }

    fn body(&mut self, response: &Response) -> Vec<u8> {
        match (&response.lines("transfer-encoding")[..], &response.lines("content-length")[..]) {
            ([coding], []) if coding.eq_ignore_ascii_case(b"chunked") => self.chunks(),
            ([], [length]) => {
                let length = std::str::from_utf8(length).unwrap().parse().unwrap();
                self.bytes(length)
            }
            framing => panic!("the body ends nowhere: {framing:?}"),
        }
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let line = String::from_utf8(self.line()).unwrap();
            let size = line.split(';').next().unwrap().trim();
            let size = usize::from_str_radix(size, 16).expect("a chunk has a size");
            if size == 0 {
                // No trailers are expected, and none are wanted.
                assert!(self.line().is_empty());
                return body;
            }
            body.extend(self.bytes(size));
            assert!(self.line().is_empty(), "a chunk is as long as it says");
        }
    }
}
