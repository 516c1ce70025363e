//! The decision file: a run as text.
//!
//! One JSON object a line: a header, the decisions in order, and a last line
//! that counts them, so that a truncated file is known for one. Decisions are
//! written by meaning ("execute the 5th command of actor 3 on host 0"), so a
//! person can read them, and a replay can tell where it leaves them.
//!
//! ```text
//! {"sluice":"decisions","version":2,"subject":"naive","scenario":"over-50","seed":7,"steps":4242,"digest":"00c0ffee00c0ffee"}
//! {"pick":"execute","host":0,"actor":3,"n":5}
//! {"draw":"delay","host":0,"actor":3,"n":5,"value":81923}
//! {"after":"execute","host":0,"actor":3,"n":6}
//! {"pick":"crash","n":0}
//! {"decisions":4}
//! ```
//!
//! A *whole* file has every answer of its run, and is repeated to the letter
//! ([`crate::strategy::Replay`]). A *shrunken* one has only those that matter:
//! it is followed ([`crate::strategy::Follow`]), says what it breaks, and
//! carries a line about why.

use core::fmt;
use std::io;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::choice::{Kind, Label};

/// The version this program writes, and the only one it reads.
pub const VERSION: u32 = 2;

/// One answer to one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// This alternative was taken.
    Pick(Label),
    /// For this, the number (or the nanoseconds) was this.
    Draw(Label, u64),
    /// No answer, but a place: the faults that follow strike once this event
    /// has happened. In whole files the order says so.
    After(Label),
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pick(label) => write!(f, "{label}"),
            Self::Draw(label, value) => write!(f, "{label} = {value}"),
            Self::After(label) => write!(f, "after {label}"),
        }
    }
}

/// A run that can be repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionFile {
    /// Who was on trial, in the words of whoever ran it.
    pub subject: String,
    /// In which scenario, likewise.
    pub scenario: String,
    /// The seed, if the decisions came from one.
    pub seed: Option<u64>,
    /// How many steps the run took.
    pub steps: u64,
    /// The digest of its trace ([`crate::world::World::digest`]).
    pub digest: u64,
    /// What it breaks, if it is shrunken: then only the decisions that matter
    /// are there.
    pub shrunken: Option<Shrunken>,
    /// What was decided, in order.
    pub decisions: Vec<Decision>,
}

/// What a shrunken file knows of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shrunken {
    /// The invariant that broke, in the words of whoever checked it.
    pub breaks: String,
    /// What it was shrunken from, in words.
    pub from: String,
    /// Post-mortem: why it happens, and what was done about it.
    pub note: String,
}

/// Why a text is no decision file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LogError {
    /// The first line is not a header.
    #[error(
        "line 1 is not the header of a decision file ({problem}); \
         give a file that `verify find` or `--record` has written"
    )]
    NotADecisionFile {
        /// What is wrong with it.
        problem: String,
    },
    /// Written by another version.
    #[error(
        "the decision file is of version {found}, this program reads version {VERSION}; \
         replay it with the release that wrote it, or record the run again from its seed"
    )]
    Version {
        /// The version in the header.
        found: u32,
    },
    /// A line that says nothing known.
    #[error(
        "line {line} is not a decision ({problem}); \
         the file was altered: restore it, or record the run again from its seed"
    )]
    Malformed {
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// The last line is missing.
    #[error(
        "the file ends after line {line} without its count of decisions: it was truncated; \
         copy it again, or record the run again from its seed"
    )]
    Truncated {
        /// The last line there is.
        line: usize,
    },
    /// Lines are missing in between, or were added.
    #[error(
        "the file counts {counted} decisions but holds {found}: lines were lost or added; \
         copy it again, or record the run again from its seed"
    )]
    Count {
        /// What the last line says.
        counted: usize,
        /// What is there.
        found: usize,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    sluice: String,
    version: u32,
    subject: String,
    scenario: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    seed: Option<u64>,
    steps: u64,
    digest: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    shrunken: Option<Shrunken>,
}

/// Read before the header, whose other fields may differ between versions.
#[derive(Deserialize)]
struct Version {
    sluice: String,
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pick: Option<Kind>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    draw: Option<Kind>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    after: Option<Kind>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    host: Option<u16>,
    #[serde(skip_serializing_if = "is_zero", default)]
    actor: u16,
    n: u32,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    value: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Footer {
    decisions: usize,
}

impl DecisionFile {
    /// Writes the file.
    ///
    /// # Errors
    ///
    /// Those of `to`.
    pub fn write(&self, to: &mut dyn io::Write) -> io::Result<()> {
        let header = Header {
            sluice: "decisions".into(),
            version: VERSION,
            subject: self.subject.clone(),
            scenario: self.scenario.clone(),
            seed: self.seed,
            steps: self.steps,
            digest: format!("{:016x}", self.digest),
            shrunken: self.shrunken.clone(),
        };
        line(to, &header)?;
        for decision in &self.decisions {
            line(to, &Line::from(*decision))?;
        }
        let footer = Footer {
            decisions: self.decisions.len(),
        };
        line(to, &footer)?;
        to.flush()
    }

    /// The file as one string.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = Vec::new();
        self.write(&mut text).expect("memory takes every byte");
        String::from_utf8(text).expect("JSON is text")
    }

    /// Reads a file. Costs memory in proportion to the text.
    ///
    /// # Errors
    ///
    /// See [`LogError`]; each says what, where, and what to do.
    pub fn parse(text: &str) -> Result<Self, LogError> {
        let total = text.lines().count();
        let mut lines = text.lines().enumerate().map(|(i, line)| (i + 1, line));
        let header = parse_header(lines.next().map_or("", |(_, line)| line))?;
        let digest = u64::from_str_radix(&header.digest, 16).map_err(|_| {
            let problem = format!("digest {:?} is not hexadecimal", header.digest);
            LogError::NotADecisionFile { problem }
        })?;
        let mut decisions = Vec::new();
        let mut last = 1;
        let mut counted = None;
        for (number, line) in lines {
            // Every line ends in a line feed: one that does not was cut short.
            if number == total && !text.ends_with('\n') {
                return Err(LogError::Truncated { line: number });
            }
            last = number;
            if counted.is_some() {
                let problem = "there is more after the count".into();
                return Err(LogError::Malformed {
                    line: number,
                    problem,
                });
            }
            if line.starts_with("{\"decisions\"") {
                counted = Some(parse_line::<Footer>(number, line)?.decisions);
            } else {
                decisions.push(parse_line::<Line>(number, line)?.decision(number)?);
            }
        }
        let counted = counted.ok_or(LogError::Truncated { line: last })?;
        if counted != decisions.len() {
            let found = decisions.len();
            return Err(LogError::Count { counted, found });
        }
        Ok(Self {
            subject: header.subject,
            scenario: header.scenario,
            seed: header.seed,
            steps: header.steps,
            digest,
            shrunken: header.shrunken,
            decisions,
        })
    }
}

impl Line {
    fn decision(self, line: usize) -> Result<Decision, LogError> {
        let host = self.host.unwrap_or(Label::SERVER);
        let label = |kind| Label::new(kind, host, self.actor, self.n);
        match (self.pick, self.draw, self.after, self.value) {
            (Some(kind), None, None, None) => Ok(Decision::Pick(label(kind))),
            (None, Some(kind), None, Some(value)) => Ok(Decision::Draw(label(kind), value)),
            (None, None, Some(kind), None) => Ok(Decision::After(label(kind))),
            _ => Err(LogError::Malformed {
                line,
                problem: "expected either `pick`, or `draw` with `value`, or `after`".into(),
            }),
        }
    }
}

impl From<Decision> for Line {
    fn from(decision: Decision) -> Self {
        let (label, value) = match decision {
            Decision::Pick(label) | Decision::After(label) => (label, None),
            Decision::Draw(label, value) => (label, Some(value)),
        };
        Self {
            pick: matches!(decision, Decision::Pick(_)).then_some(label.kind),
            draw: matches!(decision, Decision::Draw(..)).then_some(label.kind),
            after: matches!(decision, Decision::After(_)).then_some(label.kind),
            host: (label.host != Label::SERVER).then_some(label.host),
            actor: label.actor,
            n: label.occurrence,
            value,
        }
    }
}

fn parse_header(line: &str) -> Result<Header, LogError> {
    let wrong = |problem: String| LogError::NotADecisionFile { problem };
    let version: Version = serde_json::from_str(line).map_err(|e| wrong(e.to_string()))?;
    if version.sluice != "decisions" {
        return Err(wrong(format!("it holds {:?}", version.sluice)));
    }
    if version.version != VERSION {
        let found = version.version;
        return Err(LogError::Version { found });
    }
    serde_json::from_str(line).map_err(|e| wrong(e.to_string()))
}

fn parse_line<'a, T: Deserialize<'a>>(line: usize, text: &'a str) -> Result<T, LogError> {
    serde_json::from_str(text).map_err(|e| LogError::Malformed {
        line,
        problem: e.to_string(),
    })
}

fn line(to: &mut dyn io::Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *to, value)?;
    to.write_all(b"\n")
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
const fn is_zero(n: &u16) -> bool {
    *n == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file() -> DecisionFile {
        DecisionFile {
            subject: "naive".into(),
            scenario: "over-50 \"quoted\"".into(),
            seed: Some(u64::MAX),
            steps: 9,
            digest: 0xc0_ffee,
            shrunken: Some(Shrunken {
                breaks: "R1.1 (s)".into(),
                from: "race: 21 clients".into(),
                note: "count and set apart".into(),
            }),
            decisions: vec![
                Decision::Pick(Label::new(Kind::Execute, 0, 3, 5)),
                Decision::Draw(Label::new(Kind::Delay, 1, 0, 7), u64::MAX),
                Decision::After(Label::new(Kind::Deliver, 1, 0, 7)),
                Decision::Pick(Label::new(Kind::Heal, Label::SERVER, 0, 0)),
            ],
        }
    }

    #[test]
    fn reads_what_it_wrote() {
        let text = file().to_text();
        assert_eq!(DecisionFile::parse(&text), Ok(file()));
        assert_eq!(
            text.lines().nth(1),
            Some(r#"{"pick":"execute","host":0,"actor":3,"n":5}"#)
        );
        assert_eq!(text.lines().last(), Some(r#"{"decisions":4}"#));
    }

    /// Wherever it is cut, a file is known to be incomplete.
    #[test]
    fn every_truncation_is_noticed() {
        let text = file().to_text();
        let end_of_header = text.find('\n').unwrap();
        for end in 0..text.len() {
            let error = DecisionFile::parse(&text[..end]).expect_err("truncated");
            match error {
                LogError::NotADecisionFile { .. } => assert!(end < end_of_header),
                LogError::Truncated { .. } => assert!(end >= end_of_header, "{end}"),
                other => panic!("cut at {end}: {other}"),
            }
        }
    }

    #[test]
    fn other_versions_and_bad_lines_are_told_apart() {
        let text = file().to_text();
        let newer = text.replacen("\"version\":2", "\"version\":3,\"new\":0", 1);
        let error = DecisionFile::parse(&newer).unwrap_err();
        assert_eq!(error, LogError::Version { found: 3 });
        assert!(error.to_string().contains("version 3"));

        let bad = text.replacen("\"execute\"", "\"exercise\"", 1);
        match DecisionFile::parse(&bad).unwrap_err() {
            LogError::Malformed { line: 2, problem } => assert!(problem.contains("exercise")),
            other => panic!("{other}"),
        }

        let both = text.replacen("\"draw\"", "\"pick\"", 1);
        assert!(matches!(
            DecisionFile::parse(&both),
            Err(LogError::Malformed { line: 3, .. })
        ));

        let lost: String = text
            .lines()
            .filter(|l| !l.contains("heal"))
            .fold(String::new(), |all, line| all + line + "\n");
        let error = DecisionFile::parse(&lost).unwrap_err();
        assert_eq!(
            error,
            LogError::Count {
                counted: 4,
                found: 3
            }
        );

        let more = text + "{\"pick\":\"heal\",\"n\":0}\n";
        assert!(matches!(
            DecisionFile::parse(&more),
            Err(LogError::Malformed { line: 7, .. })
        ));
        assert!(matches!(
            DecisionFile::parse("{\"sluice\":\"report\",\"version\":2}"),
            Err(LogError::NotADecisionFile { .. })
        ));
    }

    proptest! {
        #[test]
        fn no_input_panics(text in "\\PC{0,80}", at in 0usize..5) {
            let mut lines: Vec<String> = file().to_text().lines().map(Into::into).collect();
            lines[at] = text;
            let _ = DecisionFile::parse(&lines.join("\n"));
        }
    }
}
