//! Who is loaded when, and what comes of it.

use crate::{
    Result,
    args::Effort,
    entrants::{Entrant, Sample, Scenario},
};

/// Long enough to have seen every branch, and to have opened every file.
const WARM_UP_SECONDS: u32 = 1;

#[derive(Debug)]
pub(crate) struct Results {
    /// The first is what the others are compared with.
    pub(crate) rows: Vec<Row>,
}

#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// KiB, after all the load.
    pub(crate) resident: u64,
    /// One for each round.
    samples: [Vec<Sample>; Scenario::ALL.len()],
}

/// Each in turn under each load, round after round: what slows the machine for a while
/// meets all of them.
pub(crate) async fn run(entrants: &[Entrant], effort: Effort) -> Result<Results> {
    let mut samples = vec![<[Vec<Sample>; Scenario::ALL.len()]>::default(); entrants.len()];
    for entrant in entrants {
        entrant.measure(Scenario::Small, WARM_UP_SECONDS).await?;
    }
    for round in 1..=effort.rounds {
        for scenario in Scenario::ALL {
            eprintln!("  round {round} of {}: {}", effort.rounds, scenario.name());
            for (entrant, samples) in entrants.iter().zip(&mut samples) {
                let sample = entrant.measure(scenario, effort.seconds).await?;
                samples[scenario as usize].push(sample);
            }
        }
    }
    let row = |(entrant, samples): (&Entrant, _)| {
        Ok(Row { name: entrant.name.clone(), resident: entrant.resident()?, samples })
    };
    Ok(Results { rows: entrants.iter().zip(samples).map(row).collect::<Result<_>>()? })
}

impl Results {
    pub(crate) fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }
}

impl Row {
    pub(crate) fn micros(&self, scenario: Scenario) -> f64 {
        median(self.samples(scenario).map(|sample| sample.micros))
    }

    pub(crate) fn per_second(&self, scenario: Scenario) -> f64 {
        median(self.samples(scenario).map(|sample| sample.per_second))
    }

    /// The median of the ratios within a round: less of the machine's moods is in them than
    /// in the ratio of two medians.
    pub(crate) fn ratio(&self, other: &Self, scenario: Scenario) -> f64 {
        let pairs = self.samples(scenario).zip(other.samples(scenario));
        median(pairs.map(|(this, other)| this.micros / other.micros))
    }

    fn samples(&self, scenario: Scenario) -> impl Iterator<Item = &Sample> {
        self.samples[scenario as usize].iter()
    }
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A row of which every scenario has cost this much, round by round.
    pub(crate) fn row(name: &str, micros: &[f64]) -> Row {
        let sample = |&micros| Sample { micros, per_second: 1e6 / micros };
        let samples: Vec<_> = micros.iter().map(sample).collect();
        let samples = std::array::from_fn(|_| samples.clone());
        Row { name: name.to_owned(), resident: 2048, samples }
    }

    #[test]
    fn medians() {
        for (values, expected) in
            [(&[3.0][..], 3.0), (&[9.0, 1.0, 2.0], 2.0), (&[4.0, 1.0, 100.0, 2.0], 3.0)]
        {
            assert_eq!(median(values.iter().copied()), expected, "{values:?}");
        }
        assert!(median(std::iter::empty()).is_nan());
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        let (slow, floor) = (row("slow", &[20.0, 6.0, 30.0]), row("floor", &[10.0, 5.0, 20.0]));
        assert_eq!(slow.micros(Scenario::Small), 20.0);
        assert_eq!(slow.per_second(Scenario::Small), 50_000.0);
        assert_eq!(slow.ratio(&floor, Scenario::Small), 1.5);
        assert_eq!(floor.ratio(&floor, Scenario::Large), 1.0);
    }
}
