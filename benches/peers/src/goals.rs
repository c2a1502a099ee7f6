//! How `ours` should compare with the others.

use crate::{entrants::Scenario, rounds::Results};

const GOALS: &[Goal] = &[
    Goal::new("ours-memory", Scenario::Small, 1.15, "hyper"),
    Goal::new("ours-memory", Scenario::Large, 1.15, "hyper"),
    Goal::new("ours-memory", Scenario::Small, 1.0, "nginx-ofc"),
    Goal::new("ours-memory", Scenario::Small, 1.0, "memory-serve"),
    Goal::new("ours-memory", Scenario::Small, 1.0, "static-serve"),
    Goal::new("ours", Scenario::NotModified, 1.05, "hyper"),
    Goal::new("ours", Scenario::NotModified, 0.15, "servedir"),
    Goal::new("ours", Scenario::NotModified, 0.90, "nginx-ofc"),
    Goal::new("ours", Scenario::Large, 1.05, "servedir"),
    Goal::new("ours", Scenario::Hello, 1.06, "servedir"),
    Goal::new("ours-disk", Scenario::Small, 2.6, "hyper"),
    Goal::new("ours-disk", Scenario::Small, 1.1, "nginx"),
    Goal::new("ours-disk", Scenario::Large, 1.4, "hyper"),
    Goal::new("ours-disk", Scenario::Twenty, 1.6, "hyper"),
];

/// A request to `server` costs at most `limit` times what it costs at `other`.
#[derive(Clone, Copy, Debug)]
struct Goal {
    server: &'static str,
    scenario: Scenario,
    limit: f64,
    other: &'static str,
}

pub(crate) fn render(results: &Results) -> String {
    GOALS.iter().map(|goal| goal.line(results) + "\n").collect()
}

impl Goal {
    const fn new(
        server: &'static str,
        scenario: Scenario,
        limit: f64,
        other: &'static str,
    ) -> Self {
        Self { server, scenario, limit, other }
    }

    fn line(&self, results: &Results) -> String {
        let Self { server, scenario, limit, other } = self;
        let verdict = match self.ratio(results) {
            Some(ratio) if ratio <= *limit => format!("measured {ratio:.3} met"),
            Some(ratio) => format!("measured {ratio:.3} missed"),
            None => "not measured".to_owned(),
        };
        format!("goal {server}, {}: ≤ {limit:.2} × {other} {verdict}", scenario.name())
    }

    fn ratio(&self, results: &Results) -> Option<f64> {
        let (server, other) = (results.row(self.server)?, results.row(self.other)?);
        Some(server.ratio(other, self.scenario))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rounds::tests::row;

    #[test]
    fn verdicts() {
        let results = Results { rows: vec![row("hyper", &[10.0]), row("ours", &[10.5])] };
        for (name, goal, expected) in [
            ("on it", Goal::new("ours", Scenario::Hello, 1.05, "hyper"), "measured 1.050 met"),
            ("above", Goal::new("ours", Scenario::Hello, 1.04, "hyper"), "measured 1.050 missed"),
            ("without it", Goal::new("theirs", Scenario::Hello, 1.04, "hyper"), "not measured"),
            ("without the other", Goal::new("ours", Scenario::Hello, 1.0, "nginx"), "not measured"),
        ] {
            let line = goal.line(&results);
            assert!(line.ends_with(&format!(" {expected}")), "{name}: {line}");
        }
    }

    #[test]
    fn goals_are_of_known_servers() {
        for goal in GOALS {
            let known = |name: &str| crate::servers::named(name).is_ok();
            assert!(known(goal.server), "{goal:?}");
            assert!(known(goal.other), "{goal:?}");
        }
    }
}
