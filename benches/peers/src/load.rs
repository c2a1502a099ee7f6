//! The load generators: wrk for HTTP/1.1, h2load for HTTP/2. One thread each.

use tokio::process::Command;

use crate::{Protocol, Result};

/// Requests that a connection has under way at a time, where the protocol allows it.
const STREAMS: usize = 8;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) connections: usize,
    pub(crate) seconds: u32,
}

/// What a load generator has seen. Not one answer has failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Load {
    pub(crate) requests: f64,
    pub(crate) per_second: f64,
}

pub(crate) async fn run(
    protocol: Protocol,
    url: &str,
    etag: Option<&str>,
    settings: Settings,
) -> Result<Load> {
    let mut command = match protocol {
        Protocol::Http1 => wrk(settings),
        Protocol::Http2 => h2load(settings),
    };
    if let Some(etag) = etag {
        command.args(["-H", &format!("If-None-Match: {etag}")]);
    }
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    let output = command.arg(url).kill_on_drop(true).output().await;
    let output = output.map_err(|error| format!("{program}: {error}; see install.sh"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let load = match protocol {
        Protocol::Http1 => parse_wrk(&text),
        Protocol::Http2 => parse_h2load(&text),
    };
    load.map_err(|problem| format!("{url}: {program}: {problem}\n{text}").into())
}

fn wrk(Settings { connections, seconds }: Settings) -> Command {
    let mut command = Command::new("wrk");
    command.args([format!("-c{connections}"), format!("-d{seconds}s")]).arg("-t1");
    command
}

fn h2load(Settings { connections, seconds }: Settings) -> Command {
    let mut command = Command::new("h2load");
    command.args([format!("-c{connections}"), format!("-D{seconds}"), format!("-m{STREAMS}")]);
    command.arg("-t1");
    command
}

fn parse_wrk(text: &str) -> Result<Load> {
    for problem in ["Socket errors:", "Non-2xx or 3xx responses:"] {
        if let Some(line) = text.lines().find(|line| line.trim().starts_with(problem)) {
            return Err(line.trim().into());
        }
    }
    let requests = number_before(text, " requests in ").ok_or("no number of requests")?;
    let per_second = number_after(text, "Requests/sec:").ok_or("no requests per second")?;
    load(requests, per_second)
}

fn parse_h2load(text: &str) -> Result<Load> {
    for problem in [" failed", " errored", " timeout", " 4xx", " 5xx"] {
        match number_before(text, problem) {
            Some(0.0) => {}
            Some(count) => return Err(format!("{count}{problem}").into()),
            None => return Err(format!("no number of{problem}").into()),
        }
    }
    let requests = number_before(text, " succeeded").ok_or("no number of requests")?;
    let per_second = number_before(text, " req/s").ok_or("no requests per second")?;
    load(requests, per_second)
}

fn load(requests: f64, per_second: f64) -> Result<Load> {
    if requests > 0.0 { Ok(Load { requests, per_second }) } else { Err("no answer".into()) }
}

fn number_before(text: &str, label: &str) -> Option<f64> {
    text[..text.find(label)?].split_whitespace().next_back()?.parse().ok()
}

fn number_after(text: &str, label: &str) -> Option<f64> {
    text[text.find(label)? + label.len()..].split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRK: &str = "\
Running 1s test @ http://127.0.0.1:38123/a
  1 threads and 4 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   138.82us  127.30us   1.74ms   97.44%
    Req/Sec    31.34k     3.49k   37.11k    72.73%
  34227 requests in 1.10s, 7.77MB read
Requests/sec:  31125.05
Transfer/sec:      7.06MB
";

    const H2LOAD: &str = "\
Application protocol: h2c
finished in 1.00s, 32877.00 req/s, 3.92MB/s
requests: 32877 total, 32909 started, 32877 done, 32877 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 32877 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 3.92MB (4109821) total, 3.26MB (3419208) headers (space savings 40.23%), 96.32KB (98631) data
req/s           :    8147.90     8353.69     8217.69       92.95    75.00%
";

    #[test]
    fn wrk_answers() {
        let load = parse_wrk(WRK).unwrap();
        assert_eq!(load, Load { requests: 34227.0, per_second: 31125.05 });
    }

    #[test]
    fn wrk_problems() {
        let with = |line: &str| WRK.replace("Requests/sec", &format!("{line}\nRequests/sec"));
        for (text, expected) in [
            (with("  Non-2xx or 3xx responses: 46159"), "Non-2xx or 3xx responses: 46159"),
            (
                with("  Socket errors: connect 0, read 2, write 0, timeout 0"),
                "Socket errors: connect 0, read 2, write 0, timeout 0",
            ),
            (WRK.replace("34227", "0"), "no answer"),
            (String::new(), "no number of requests"),
        ] {
            assert_eq!(parse_wrk(&text).unwrap_err().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn h2load_answers() {
        let expected = Load { requests: 32877.0, per_second: 32877.0 };
        assert_eq!(parse_h2load(H2LOAD).unwrap(), expected);
        let not_modified = H2LOAD.replace("32877 2xx, 0 3xx", "0 2xx, 32877 3xx");
        assert_eq!(parse_h2load(&not_modified).unwrap(), expected);
    }

    #[test]
    fn h2load_problems() {
        for (from, to, expected) in [
            ("0 failed", "7 failed", "7 failed"),
            ("0 errored", "1 errored", "1 errored"),
            ("0 timeout", "2 timeout", "2 timeout"),
            ("0 4xx", "3 4xx", "3 4xx"),
            ("0 5xx", "4 5xx", "4 5xx"),
            ("32877 succeeded", "0 succeeded", "no answer"),
            (" 0 failed,", "", "no number of failed"),
        ] {
            let text = H2LOAD.replace(from, to);
            assert_eq!(parse_h2load(&text).unwrap_err().to_string(), expected, "{from} -> {to}");
        }
    }
}
