//! What the kernel says of a process.

use std::{fs, time::Duration};

use crate::Result;

/// `USER_HZ`, in which `/proc` counts: 100 a second on every common architecture.
const TICK: Duration = Duration::from_millis(10);

/// The processes that answer requests: the children, if there are any (the workers of
/// nginx), else the process itself.
pub(crate) fn workers(process: u32) -> Result<Vec<u32>> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let id = entry?.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some(id) = id
            && stat(id).is_ok_and(|stat| stat.parent == process)
        {
            children.push(id);
        }
    }
    Ok(if children.is_empty() { vec![process] } else { children })
}

/// The time that these have run, as user and in the kernel, in all of their threads.
pub(crate) fn cpu_time(processes: &[u32]) -> Result<Duration> {
    processes.iter().map(|&id| Ok(TICK * stat(id)?.ticks)).sum()
}

/// How much memory of these is resident, in KiB.
pub(crate) fn resident(processes: &[u32]) -> Result<u64> {
    let resident = |id| {
        let text = fs::read_to_string(format!("/proc/{id}/status"))?;
        parse_resident(&text).ok_or_else(|| format!("process {id} has no VmRSS").into())
    };
    processes.iter().map(resident).sum()
}

fn stat(id: u32) -> Result<Stat> {
    let text = fs::read_to_string(format!("/proc/{id}/stat"))?;
    parse_stat(&text).ok_or_else(|| format!("/proc/{id}/stat says {text:?}").into())
}

#[derive(Debug, PartialEq)]
struct Stat {
    parent: u32,
    ticks: u32,
}

/// See proc_pid_stat(5). The second field, the name, may have anything in it.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, fields) = text.rsplit_once(')')?;
    // The first of these is the third in the manual.
    let field = |number: usize| fields.split_whitespace().nth(number - 3)?.parse::<u32>().ok();
    Some(Stat { parent: field(4)?, ticks: field(14)? + field(15)? })
}

fn parse_resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_lines() {
        let rest = "0 20 0 1 0 1122572 3133440 390";
        for (name, text, expected) in [
            (
                "plain",
                format!("22391 (cat) R 22378 22378 16162 0 -1 4194304 100 0 0 0 31 11 0 {rest}"),
                Some(Stat { parent: 22378, ticks: 42 }),
            ),
            (
                "a name with spaces and parentheses",
                format!("7 (nginx: (x) 1 2) S 6 22378 16162 0 -1 64 100 0 0 0 5 0 9 {rest}"),
                Some(Stat { parent: 6, ticks: 5 }),
            ),
            ("cut off", "22391 (cat) R 22378 22378".to_owned(), None),
            ("empty", String::new(), None),
        ] {
            assert_eq!(parse_stat(&text), expected, "{name}");
        }
    }

    #[test]
    fn resident_memory() {
        for (text, expected) in [
            ("Name:\tpeers\nVmHWM:\t    4000 kB\nVmRSS:\t    3456 kB\nThreads:\t1\n", Some(3456)),
            ("Name:\tkthreadd\nThreads:\t1\n", None),
            ("VmRSS:\t    3456 MB\n", None),
        ] {
            assert_eq!(parse_resident(text), expected, "{text:?}");
        }
    }

    #[test]
    fn this_process() {
        let processes = [std::process::id()];
        assert!(resident(&processes).unwrap() > 100);
        assert!(cpu_time(&processes).is_ok());
    }
}
