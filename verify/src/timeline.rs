//! A run as a person reads it: a lane for each client, one for the server,
//! time running down, the state of the keys beside the steps that changed
//! them, and the broken invariant in words at its step (R6.5).
//!
//! A run of fifty clients does not fit on a page, and need not: the clients
//! nearest to the end are the ones that broke something. They get a lane each;
//! what the others did between two lines is counted in one, and so is what a
//! client asks and learns again and again.

mod story;
mod svg;
mod terminal;
mod words;

use std::collections::BTreeMap;

use sluice_sim::world::{ActorId, Happening};

use crate::property::Violation;
use story::Story;

/// What people call the clients; those without a name go by their address.
pub type Names = BTreeMap<ActorId, String>;

/// One step of a run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Step {
    /// Its number in the run.
    pub step: u64,
    /// Simulated time, in nanoseconds.
    pub at_ns: u64,
    /// What happened.
    pub what: Happening,
    /// The gates' state in words, if this changed it.
    pub state: Option<String>,
}

/// How to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Columns of the page; never exceeded. Only in a terminal.
    pub width: usize,
    /// Most clients with a lane of their own.
    pub lanes: usize,
    /// Most lines before the end.
    pub lines: usize,
    /// ANSI colours. Only in a terminal.
    pub colour: bool,
}

impl Default for Style {
    fn default() -> Self {
        Self {
            width: 80,
            lanes: 8,
            lines: 40,
            colour: false,
        }
    }
}

/// One thing that happened, in words; who is named by address.
#[must_use]
pub fn say(what: &Happening) -> String {
    match words::Line::of(what) {
        Some(line) => match line.who {
            Some(who) => format!("{}.{} {}", who.host, who.actor, line.words),
            None => line.words,
        },
        None => format!("{what:?}"),
    }
}

/// Draws the end of a run, and what broke there, for a terminal.
#[must_use]
pub fn render(
    steps: &[Step],
    names: &Names,
    violation: Option<&Violation>,
    style: Style,
) -> String {
    terminal::render(&Story::new(steps, names, style), violation, style)
}

/// Draws the same as SVG that stands alone.
#[must_use]
pub fn svg(
    steps: &[Step],
    names: &Names,
    violation: Option<&Violation>,
    style: Style,
    title: &str,
) -> String {
    svg::render(&Story::new(steps, names, style), violation, title)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_core::client::{Event, RequestId};
    use sluice_core::redis::{Command, Reply};

    fn who(actor: u16) -> ActorId {
        ActorId {
            host: actor % 2,
            actor,
        }
    }

    fn drawn(steps: &[Step], violation: Option<&Violation>, style: Style) -> String {
        render(steps, &Names::new(), violation, style)
    }

    fn race(clients: u16) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut push = |what| {
            let step = steps.len() as u64 + 1;
            steps.push(Step {
                step,
                at_ns: step * 1_250_000,
                what,
                state: None,
            });
        };
        let executed = |actor, command: Command, reply| Happening::Executed {
            who: who(actor),
            connection: 0,
            request: Some(RequestId(1)),
            command,
            reply,
            sent_ns: 0,
        };
        for actor in 0..clients {
            push(executed(
                actor,
                Command::new("HLEN").arg("sessions"),
                Reply::Int(0),
            ));
        }
        for actor in 0..clients {
            push(Happening::Delivered {
                who: who(actor),
                request: RequestId(1),
                reply: Reply::Int(0),
                sent_ns: 0,
            });
            let set = Command::new("HSET")
                .arg("sessions")
                .arg(format!("user-{actor}"))
                .arg("active");
            push(executed(actor, set, Reply::Int(1)));
            push(Happening::Told {
                who: who(actor),
                event: Event::Granted {
                    fence: 0,
                    until: None,
                    wait_ms: 0,
                },
            });
        }
        push(Happening::Crashed {
            host: 1,
            until_ns: 3_000_000_000,
        });
        steps
    }

    fn broken() -> Violation {
        Violation {
            step: 9,
            words: "R1.1 (s): 3 sessions are held, and the cap is 2".into(),
            before: "held user-0 user-1; waiting nobody".into(),
            after: format!(
                "held {}; waiting nobody",
                (0..30).map(|i| format!("user-{i} ")).collect::<String>()
            ),
        }
    }

    #[test]
    fn a_page_is_never_wider_than_asked() {
        for (clients, width, lanes) in [(3, 80, 8), (50, 80, 8), (12, 60, 12), (1, 80, 1)] {
            let style = Style {
                width,
                lanes,
                ..Style::default()
            };
            let page = drawn(&race(clients), Some(&broken()), style);
            for line in page.lines() {
                assert!(
                    line.chars().count() <= width,
                    "{} columns: {line}",
                    line.chars().count()
                );
            }
            assert!(page.contains("✗ step 9: R1.1"), "{page}");
        }
    }

    #[test]
    fn the_race_of_three_reads_like_this() {
        insta::assert_snapshot!(drawn(&race(3), Some(&broken()), Style::default()));
    }

    #[test]
    fn the_others_are_counted_and_the_beginning_is_left_out() {
        let style = Style {
            lanes: 2,
            ..Style::default()
        };
        let page = drawn(&race(20), Some(&broken()), style);
        assert!(page.contains("steps of other clients"), "{page}");
        let style = Style {
            lines: 3,
            ..Style::default()
        };
        assert!(drawn(&race(3), None, style).contains("earlier steps left out"));
    }

    #[test]
    fn who_asks_the_same_for_ever_takes_one_line() {
        let mut steps = race(1);
        let poll: Vec<Step> = steps[..2].to_vec();
        for _ in 0..500 {
            for half in &poll {
                let mut step = half.clone();
                step.step = steps.len() as u64 + 1;
                step.at_ns = step.step * 1_250_000;
                steps.push(step);
            }
        }
        let page = drawn(&steps, None, Style::default());
        assert!(page.lines().count() < 12, "{page}");
        assert!(
            page.contains("0.0 asks and learns the same 499 times more, until 1.256"),
            "{page}"
        );
        // What changes the state is never folded.
        for step in &mut steps {
            step.state = Some("held 1 of 2".into());
        }
        assert!(!drawn(&steps, None, Style::default()).contains("more, until"));
    }

    #[test]
    fn the_svg_stands_alone_and_takes_no_markup_from_outside() {
        let mut steps = race(3);
        steps[0].state = Some("held <script>alert(1)</script> & co".into());
        let svg = svg(
            &steps,
            &Names::new(),
            Some(&broken()),
            Style::default(),
            "a \"race\" <b>",
        );
        assert!(!svg.contains("<script") && !svg.contains("<b>"), "{svg}");
        assert!(!svg.contains("href") && svg.starts_with("<svg xmlns="));
        assert_eq!(svg.matches("<g>").count(), svg.matches("</g>").count());
        assert_eq!(
            svg.matches("marker-end").count(),
            9,
            "one arrow each way per exchange"
        );
    }

    #[test]
    fn colour_only_when_asked() {
        let plain = drawn(&race(3), Some(&broken()), Style::default());
        let coloured = drawn(
            &race(3),
            Some(&broken()),
            Style {
                colour: true,
                ..Style::default()
            },
        );
        assert!(!plain.contains('\x1b') && coloured.contains("\x1b[1;31m"));
    }
}
