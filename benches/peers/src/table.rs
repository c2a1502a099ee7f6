//! Results as Markdown.

use crate::{
    entrants::Scenario,
    rounds::{Results, Row},
};

pub(crate) fn render(title: &str, results: &Results) -> String {
    let floor = &results.rows[0];
    let mut lines = vec![format!("### {title}\n"), head(floor), rule()];
    lines.extend(results.rows.iter().map(|row| line(row, floor)));
    lines.join("\n") + "\n"
}

fn head(floor: &Row) -> String {
    let columns =
        Scenario::ALL.map(|scenario| format!(" {} µs | × {} |", scenario.name(), floor.name));
    format!("| |{} {} req/s | RSS MiB |", columns.concat(), Scenario::Small.name())
}

fn rule() -> String {
    format!("|---|{}", "--:|".repeat(2 * Scenario::ALL.len() + 2))
}

fn line(row: &Row, floor: &Row) -> String {
    let columns = Scenario::ALL.map(|scenario| {
        format!(" {:.1} | {:.2} |", row.micros(scenario), row.ratio(floor, scenario))
    });
    let (columns, per_second) = (columns.concat(), row.per_second(Scenario::Small));
    let mebibytes = row.resident as f64 / 1024.0;
    format!("| {} |{columns} {per_second:.0} | {mebibytes:.1} |", row.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rounds::tests::row;

    #[test]
    fn a_table() {
        let results =
            Results { rows: vec![row("hyper", &[10.0, 12.0]), row("ours", &[15.0, 18.0])] };
        let expected = "\
### HTTP/1.1

| | 1 KiB µs | × hyper | 100 KiB µs | × hyper | 304 µs | × hyper | 5 B µs | × hyper | 1 MiB µs | × hyper | 20 MiB µs | × hyper | 1 KiB req/s | RSS MiB |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|
| hyper | 11.0 | 1.00 | 11.0 | 1.00 | 11.0 | 1.00 | 11.0 | 1.00 | 11.0 | 1.00 | 11.0 | 1.00 | 91667 | 2.0 |
| ours | 16.5 | 1.50 | 16.5 | 1.50 | 16.5 | 1.50 | 16.5 | 1.50 | 16.5 | 1.50 | 16.5 | 1.50 | 61111 | 2.0 |
";
        assert_eq!(render("HTTP/1.1", &results), expected);
    }
}
