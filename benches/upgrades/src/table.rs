//! Results as Markdown.

use crate::send::Sent;

pub(crate) fn render(rows: &[(String, Sent)]) -> String {
    let head = "| upgrade | files | deltas | whole kB | zstd-19 kB | sent kB | sent / zstd |";
    let rule = "|---|--:|--:|--:|--:|--:|--:|";
    let lines = rows.iter().map(|(title, sent)| line(title, sent));
    let all = sum(rows);
    let last = [format!("| **median** | | | | | | {:.1} % |", median(rows)), line("**sum**", &all)];
    [head, rule]
        .map(str::to_owned)
        .into_iter()
        .chain(lines)
        .chain(last)
        .collect::<Vec<_>>()
        .join("\n")
}

fn line(title: &str, sent: &Sent) -> String {
    let [whole, compressed, bytes] =
        [sent.whole, sent.compressed, sent.sent].map(|bytes| format!("{:.1}", bytes as f64 / 1e3));
    let Sent { files, deltas, .. } = sent;
    let share = share(sent);
    format!("| {title} | {files} | {deltas} | {whole} | {compressed} | {bytes} | {share:.1} % |")
}

/// Returns what is sent, in per cent of the compressed files.
pub(crate) fn share(sent: &Sent) -> f64 {
    sent.sent as f64 * 100. / sent.compressed.max(1) as f64
}

/// Returns the median of the shares.
pub(crate) fn median(rows: &[(String, Sent)]) -> f64 {
    let mut shares = rows.iter().map(|(_, sent)| share(sent)).collect::<Vec<_>>();
    shares.sort_by(f64::total_cmp);
    match shares.len() {
        0 => 0.,
        count => (shares[(count - 1) / 2] + shares[count / 2]) / 2.,
    }
}

pub(crate) fn sum(rows: &[(String, Sent)]) -> Sent {
    rows.iter().fold(Sent::default(), |sum, (_, sent)| Sent {
        files: sum.files + sent.files,
        deltas: sum.deltas + sent.deltas,
        whole: sum.whole + sent.whole,
        compressed: sum.compressed + sent.compressed,
        sent: sum.sent + sent.sent,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, compressed: u64, sent: u64) -> (String, Sent) {
        (name.into(), Sent { files: 3, deltas: 2, whole: 9000, compressed, sent })
    }

    #[test]
    fn a_table() {
        let rows = [row("a 1 → 2", 2000, 100), row("b 1 → 2", 1000, 150)];
        let expected = "\
| upgrade | files | deltas | whole kB | zstd-19 kB | sent kB | sent / zstd |
|---|--:|--:|--:|--:|--:|--:|
| a 1 → 2 | 3 | 2 | 9.0 | 2.0 | 0.1 | 5.0 % |
| b 1 → 2 | 3 | 2 | 9.0 | 1.0 | 0.1 | 15.0 % |
| **median** | | | | | | 10.0 % |
| **sum** | 6 | 4 | 18.0 | 3.0 | 0.2 | 8.3 % |";
        assert_eq!(render(&rows), expected);
    }

    #[test]
    fn the_median_of_an_odd_number_is_one_of_them() {
        let rows = [row("a", 1000, 10), row("b", 1000, 900), row("c", 1000, 20)];
        assert_eq!(median(&rows), 2.);
        assert_eq!(median(&[]), 0.);
    }
}
