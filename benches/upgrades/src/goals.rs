//! How little should travel, in per cent of the compressed files?

use crate::{
    send::Sent,
    table::{median, share, sum},
};

const MEDIAN: f64 = 5.;
const SUM: f64 = 12.;

/// Prints the goals, and returns whether they are met.
pub(crate) fn report(rows: &[(String, Sent)]) -> bool {
    let goals = [("median", median(rows), MEDIAN), ("sum", share(&sum(rows)), SUM)];
    for (name, actual, limit) in goals {
        let state = if actual <= limit { "met" } else { "MISSED" };
        println!("\n{name}: {actual:.1} %, at most {limit} %: {state}");
    }
    goals.iter().all(|(_, actual, limit)| actual <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_goals_count() {
        let row = |compressed, sent| {
            ("a".to_owned(), Sent { files: 1, deltas: 1, whole: 1, compressed, sent })
        };
        assert!(report(&[row(100, 5)]));
        assert!(!report(&[row(100, 6)]), "the median");
        assert!(!report(&[row(100, 1), row(100, 1), row(100, 90)]), "the sum");
    }
}
