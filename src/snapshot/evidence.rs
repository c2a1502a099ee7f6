//! How does the layer know that a response is the scanned file? It compares what the response
//! says of itself with the manifest, without I/O.

use http::StatusCode;

use crate::policy::Match;

/// One property of a response, compared with that of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evidence {
    Agrees,
    Disagrees,
    /// The response does not have the property, or that of the file is unknown.
    Absent,
}

impl Evidence {
    /// `None` means that there is nothing to compare.
    pub(crate) fn of(agrees: Option<bool>) -> Self {
        match agrees {
            Some(true) => Self::Agrees,
            Some(false) => Self::Disagrees,
            None => Self::Absent,
        }
    }

    pub(crate) fn agrees(self) -> bool {
        self == Self::Agrees
    }

    pub(crate) fn disagrees(self) -> bool {
        self == Self::Disagrees
    }

    /// Combines two pieces of evidence: the worse one counts, and an absent one does not.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Disagrees, _) | (_, Self::Disagrees) => Self::Disagrees,
            (Self::Agrees, _) | (_, Self::Agrees) => Self::Agrees,
            (Self::Absent, Self::Absent) => Self::Absent,
        }
    }
}

/// When an agreeing length proves something of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LengthTrust {
    Always,
    /// If the manifest knows when the file was modified: in development an edit may keep the
    /// length.
    WithTime,
    /// If the response has the date that the file had when it was checked: anybody may have
    /// written into the directory of releases since.
    #[cfg(feature = "releases")]
    WithDate,
}

impl LengthTrust {
    pub(crate) fn of(is_development: bool) -> Self {
        if is_development { Self::WithTime } else { Self::Always }
    }
}

/// How the bytes of a response relate to those in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// The same bytes: the file itself, or its pre-compressed sibling.
    Stored,
    /// Compressed on their way to the layer, so that their length is not the file's.
    OnTheWay,
}

/// All the evidence that a response has about the requested file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Comparison {
    pub(crate) status: StatusCode,
    pub(crate) coding: Coding,
    /// The length of the whole representation, even if only a part of it is sent.
    pub(crate) length: Evidence,
    /// `Last-Modified`.
    pub(crate) date: Evidence,
    /// The inner service's own `ETag`.
    pub(crate) tag: Evidence,
    /// The request to the inner service had a `Range`.
    pub(crate) is_range_forwarded: bool,
    /// An agreeing length proves something; see [`LengthTrust`].
    pub(crate) is_length_trusted: bool,
}

impl Comparison {
    /// Decides whether the response is the scanned file.
    #[inline]
    pub(crate) fn evaluate(self) -> Match {
        let length = match self.coding {
            Coding::Stored => self.length,
            Coding::OnTheWay => Evidence::Absent,
        };
        if length.and(self.date).and(self.tag).disagrees() {
            return Match::Mismatch;
        }
        let is_length_proof = length.agrees() && self.is_length_trusted;
        let is_proven = match self.status {
            // No bytes follow, so the date alone is enough.
            StatusCode::NOT_MODIFIED => length.and(self.date).and(self.tag).agrees(),
            // A part without a forwarded `Range`, or of something of unknown length, may be a
            // part of anything.
            StatusCode::PARTIAL_CONTENT => {
                self.is_range_forwarded && length.agrees() && (is_length_proof || self.tag.agrees())
            }
            // A date proves nothing about a body: whoever rewrites a body on its way removes
            // its length, but leaves its date.
            _ => is_length_proof || self.tag.agrees(),
        };
        if is_proven { Match::Verified } else { Match::Unproven }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Evidence::{Absent, Agrees, Disagrees};

    const ALL: [Evidence; 3] = [Agrees, Disagrees, Absent];

    /// Where the bytes come from.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Source {
        Identity,
        Sibling,
        Compressed,
    }

    /// The rules once more, written in another way.
    fn oracle(
        [length, date, tag]: [Evidence; 3],
        source: Source,
        status: u16,
        has_range: bool,
        trusted: bool,
    ) -> Match {
        let measured = source != Source::Compressed;
        let any =
            |wanted| [(measured, length), (true, date), (true, tag)].contains(&(true, wanted));
        match status {
            _ if any(Disagrees) => Match::Mismatch,
            304 if any(Agrees) => Match::Verified,
            206 if !has_range || !measured || length != Agrees => Match::Unproven,
            200 | 206 | 416 if tag == Agrees => Match::Verified,
            200 | 206 | 416 if measured && length == Agrees && trusted => Match::Verified,
            _ => Match::Unproven,
        }
    }

    #[test]
    fn every_combination() {
        let mut rows = 0;
        for (length, date, tag) in ALL
            .into_iter()
            .flat_map(|length| ALL.into_iter().map(move |date| (length, date)))
            .flat_map(|(length, date)| ALL.into_iter().map(move |tag| (length, date, tag)))
        {
            for source in [Source::Identity, Source::Sibling, Source::Compressed] {
                for status in [200, 206, 304, 416] {
                    for (has_range, trusted) in
                        [(true, true), (false, true), (true, false), (false, false)]
                    {
                        let coding = match source {
                            Source::Identity | Source::Sibling => Coding::Stored,
                            Source::Compressed => Coding::OnTheWay,
                        };
                        let comparison = Comparison {
                            status: StatusCode::from_u16(status).unwrap(),
                            coding,
                            length,
                            date,
                            tag,
                            is_range_forwarded: has_range,
                            is_length_trusted: trusted,
                        };
                        let expected =
                            oracle([length, date, tag], source, status, has_range, trusted);
                        assert_eq!(comparison.evaluate(), expected, "{comparison:?}");
                        rows += 1;
                    }
                }
            }
        }
        assert_eq!(rows, 27 * 3 * 4 * 4);
    }

    /// The rows that occur in practice.
    #[test]
    fn named_cases() {
        let whole = Comparison {
            status: StatusCode::OK,
            coding: Coding::Stored,
            length: Absent,
            date: Absent,
            tag: Absent,
            is_range_forwarded: false,
            is_length_trusted: true,
        };
        let part = Comparison { status: StatusCode::PARTIAL_CONTENT, ..whole };
        for (name, comparison, expected) in [
            ("nothing is known", whole, Match::Unproven),
            ("embedded file", Comparison { length: Agrees, ..whole }, Match::Verified),
            (
                "embedded file in development",
                Comparison { length: Agrees, is_length_trusted: false, ..whole },
                Match::Unproven,
            ),
            (
                "a page that is written into as it streams",
                Comparison { date: Agrees, ..whole },
                Match::Unproven,
            ),
            (
                "the same, compressed",
                Comparison { date: Agrees, coding: Coding::OnTheWay, ..whole },
                Match::Unproven,
            ),
            (
                "a file of `ServeDir`, compressed",
                Comparison { date: Agrees, tag: Agrees, coding: Coding::OnTheWay, ..whole },
                Match::Verified,
            ),
            (
                "an edit within the same second that keeps the length",
                Comparison { length: Agrees, date: Agrees, tag: Disagrees, ..whole },
                Match::Mismatch,
            ),
            (
                "a part that was asked for",
                Comparison { length: Agrees, date: Agrees, is_range_forwarded: true, ..part },
                Match::Verified,
            ),
            (
                "a part that nobody asked for",
                Comparison { length: Agrees, date: Agrees, tag: Agrees, ..part },
                Match::Unproven,
            ),
            (
                "a part without Content-Range",
                Comparison { date: Agrees, tag: Agrees, is_range_forwarded: true, ..part },
                Match::Unproven,
            ),
        ] {
            assert_eq!(comparison.evaluate(), expected, "{name}");
        }
    }

    #[test]
    fn combined() {
        for (one, other, expected) in [
            (Agrees, Agrees, Agrees),
            (Agrees, Absent, Agrees),
            (Absent, Agrees, Agrees),
            (Absent, Absent, Absent),
            (Agrees, Disagrees, Disagrees),
            (Disagrees, Agrees, Disagrees),
            (Absent, Disagrees, Disagrees),
            (Disagrees, Absent, Disagrees),
            (Disagrees, Disagrees, Disagrees),
        ] {
            assert_eq!(one.and(other), expected, "{one:?} {other:?}");
        }
    }
}
