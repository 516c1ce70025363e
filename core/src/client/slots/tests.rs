//! The client driven by hand, line by line of what it promises; `chaos` drives
//! it against the real table over a bad network.

extern crate std;

use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use core::hash::Hasher as _;

use super::*;
use crate::script::{GateKeys, Script};
use crate::slots::{Config, Presence};

mod chaos;

const MS: u64 = 1_000_000;
const LEASE: u64 = 60_000;
/// End of belief in a lease of 60 s counted from its request: 200 ppm of drift,
/// 50 ms of margin, a millisecond of the store's clock.
const BELIEF_NS: u64 = (LEASE - 1) * (MS - 200) - 50 * MS;

fn settings() -> Settings {
    let keys = GateKeys::new("", "g").unwrap();
    let settings = Settings::new(keys, Config::session_cap(20));
    settings.validate().unwrap();
    settings
}

struct Rig {
    client: SlotsClient,
    now: LocalTime,
    sent: Vec<(RequestId, Command)>,
    told: Vec<Event>,
    rest: Vec<Output>,
}

impl Rig {
    fn new() -> Self {
        Self::with(settings())
    }

    fn with(settings: Settings) -> Self {
        Self {
            client: SlotsClient::new(Arc::new(settings), b"me").unwrap(),
            now: LocalTime(1_000 * MS),
            sent: Vec::new(),
            told: Vec::new(),
            rest: Vec::new(),
        }
    }

    /// A rig that holds a slot with fence 7 since just now.
    fn holding() -> Self {
        let mut rig = Self::new();
        rig.ask(Ask::Acquire);
        rig.reply("granted 7 60000 0 0");
        rig.told.clear();
        rig
    }

    /// A rig in line, at position 3.
    fn waiting() -> Self {
        let mut rig = Self::new();
        rig.ask(Ask::Acquire);
        rig.reply("waiting 3 0 0 0 0");
        rig.told.clear();
        rig
    }

    fn input(&mut self, input: Input) {
        self.client.handle(self.now, input);
        while let Some(output) = self.client.poll_output() {
            match output {
                Output::Send { request, command } => self.sent.push((request, command)),
                Output::Tell(event) => self.told.push(event),
                other => self.rest.push(other),
            }
        }
    }

    fn ask(&mut self, ask: Ask) {
        self.input(Input::Ask(ask));
    }

    fn reply(&mut self, words: &str) {
        let request = self.sent.last().unwrap().0;
        self.input(Input::Reply(request, Reply::bulk(words)));
    }

    fn refuse(&mut self, text: &str) {
        let request = self.sent.last().unwrap().0;
        self.input(Input::Reply(request, Reply::error(text)));
    }

    fn fail(&mut self, failure: Failure) {
        let request = self.sent.last().unwrap().0;
        self.input(Input::Failed(request, failure));
    }

    /// Lets time pass, waking the client at each of its deadlines.
    fn pass(&mut self, ms: u64) {
        let end = self.now.plus_ms(ms);
        while let Some((at, _)) = self.client.deadline().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.input(Input::Wake);
        }
        self.now = end;
    }

    /// Wakes the client at its next deadline. Returns milliseconds until then.
    fn next(&mut self) -> u64 {
        let (at, _) = self.client.deadline().unwrap();
        let ms = at.since_ms(self.now);
        self.now = self.now.max(at);
        self.input(Input::Wake);
        ms
    }

    fn last(&self) -> String {
        text(&self.sent.last().unwrap().1)
    }

    fn told(&mut self) -> Vec<Event> {
        core::mem::take(&mut self.told)
    }

    fn troubles(&mut self) -> usize {
        let told = self.told();
        assert!(
            told.iter().all(|event| matches!(event, Event::Trouble(_))),
            "{told:?}"
        );
        told.len()
    }

    fn believes(&self) -> Option<Fence> {
        self.client.belief(self.now)
    }
}

/// `acquire me 1`: script and what follows the configuration.
fn text(command: &Command) -> String {
    const SCRIPTS: [&Script; 5] = [
        &script::ACQUIRE,
        &script::POLL,
        &script::RENEW,
        &script::RELEASE,
        &script::CANCEL,
    ];
    let args: Vec<_> = command
        .args
        .iter()
        .map(|arg| String::from_utf8_lossy(arg).into_owned())
        .collect();
    if args[0] == "SCRIPT" {
        let script = SCRIPTS.iter().find(|script| script.text == args[2]);
        return "load ".to_string() + script.unwrap().name;
    }
    let script = SCRIPTS
        .iter()
        .find(|script| script.sha1 == args[1])
        .unwrap();
    let mut words = vec![script.name.to_string()];
    words.extend_from_slice(&args[7..]);
    words.join(" ")
}

#[test]
fn a_grant_is_believed_from_its_sending_and_not_from_its_arrival() {
    let mut rig = Rig::new();
    let sent = rig.now;
    rig.ask(Ask::Acquire);
    assert_eq!(rig.last(), "acquire me 1");
    rig.now = rig.now.plus_ms(400);
    rig.reply("granted 7 60000 5 0");
    let until = LocalTime(sent.0 + BELIEF_NS);
    assert_eq!(
        rig.told(),
        [Event::Granted {
            fence: 7,
            until: Some(until),
            wait_ms: 5
        }]
    );
    assert_eq!(rig.client.until(), Some(until));
    assert_eq!(rig.client.belief(LocalTime(until.0 - 1)), Some(7));
    assert_eq!(rig.client.belief(until), None);
}

#[test]
fn a_grant_that_arrives_too_late_to_be_used_is_renewed_before_it_is_told() {
    let mut rig = Rig::with(Settings {
        config: Config::session_cap(20),
        ..settings()
    });
    rig.ask(Ask::Acquire);
    rig.now = rig.now.plus_ms(900);
    rig.reply("granted 7 800 0 0");
    assert_eq!(rig.told(), []);
    assert_eq!(rig.believes(), None);
    assert_eq!(rig.last(), "renew me 7 1");
    rig.reply("renewed 60000 0");
    assert!(matches!(rig.told()[..], [Event::Granted { fence: 7, .. }]));
    assert_eq!(rig.believes(), Some(7));
}

#[test]
fn a_slot_without_lease_is_held_until_it_is_released() {
    let mut rig = Rig::with(Settings {
        config: Config {
            tombstone_ms: 60_000,
            ..Config::limiter(10, None)
        },
        ..settings()
    });
    rig.ask(Ask::Acquire);
    rig.reply("granted 7 -1 0 0");
    assert_eq!(rig.client.deadline(), None);
    rig.pass(1 << 40);
    assert_eq!((rig.believes(), rig.sent.len()), (Some(7), 1));
}

#[test]
fn a_waiter_subscribes_and_polls_often_enough_to_stay_present() {
    let mut rig = Rig::new();
    rig.ask(Ask::Acquire);
    rig.reply("waiting 3 0 0 0 0");
    assert_eq!(rig.told(), [Event::Waiting { position: 3 }]);
    let channel = Bytes::from(&b"{g}:line:wake"[..]);
    assert_eq!(rig.rest, [Output::Subscribe(channel)]);
    assert_eq!(rig.next(), 1_000);
    assert_eq!(rig.last(), "poll me 1");
    rig.reply("waiting 3 0 0 0 0");
    assert_eq!(rig.told(), [], "no news");
    rig.next();
    rig.reply("waiting 2 0 0 0 0");
    assert_eq!(rig.told(), [Event::Waiting { position: 2 }]);

    let mut config = Config::session_cap(20);
    config.presence = Some(Presence {
        absent_after_ms: 900,
        abandon_after_ms: 5_000,
        claim_within_ms: 400,
    });
    let mut rig = Rig::with(Settings {
        config,
        ..settings()
    });
    rig.ask(Ask::Acquire);
    rig.reply("waiting 1 0 0 0 0");
    assert!(
        rig.next() < 300,
        "three polls fit into absent_after, two into claim_within"
    );
}

#[test]
fn a_waiter_polls_at_once_when_it_is_called_or_may_have_missed_it() {
    let mut rig = Rig::waiting();
    rig.input(Input::Message(Bytes::from(&b"someone else"[..])));
    assert_eq!(rig.last(), "acquire me 1");
    rig.input(Input::Message(Bytes::from(&b"me"[..])));
    assert_eq!(rig.last(), "poll me 1");
    rig.reply("waiting 3 0 0 0 0");
    rig.input(Input::Unsubscribed);
    assert_eq!(rig.sent.len(), 2);
    rig.input(Input::Subscribed);
    assert_eq!(rig.sent.len(), 3);
    // A message while a poll is under way: that poll may have been too early.
    rig.input(Input::Message(Bytes::from(&b"me"[..])));
    assert_eq!(rig.sent.len(), 3);
    rig.reply("waiting 1 0 0 0 0");
    assert_eq!(rig.sent.len(), 4);
    rig.reply("granted 7 60000 9 0");
    assert!(matches!(rig.told()[..], [_, Event::Granted { .. }]));
    assert_eq!(rig.rest.last(), Some(&Output::Unsubscribe));
}

#[test]
fn work_left_over_is_asked_for_again_at_once() {
    let mut rig = Rig::waiting();
    rig.next();
    rig.reply("waiting 3 0 0 0 1");
    assert_eq!((rig.last().as_str(), rig.sent.len()), ("poll me 1", 3));
}

#[test]
fn an_unanswered_join_is_repeated_under_the_same_nonce_ever_slower() {
    let mut rig = Rig::new();
    rig.ask(Ask::Acquire);
    rig.fail(Failure::Unknown);
    assert_eq!(rig.troubles(), 1);
    let mut pauses = Vec::new();
    for _ in 0..12 {
        pauses.push(rig.next());
        assert_eq!(rig.last(), "acquire me 1");
        rig.fail(Failure::Unknown);
    }
    assert!(pauses[0] <= 20 && pauses[3] > pauses[0], "{pauses:?}");
    assert!(pauses.iter().all(|ms| *ms <= 2_000), "{pauses:?}");
    assert!(*pauses.last().unwrap() >= 1_000, "{pauses:?}");
    assert_eq!(rig.troubles(), 12);
    rig.next();
    rig.reply("granted 7 60000 0 0");
    assert_eq!(rig.believes(), Some(7));
}

#[test]
fn silence_resets_the_connection_and_a_late_answer_counts_no_more() {
    let mut rig = Rig::new();
    rig.ask(Ask::Acquire);
    let first = rig.sent[0].0;
    assert_eq!(rig.next(), 1_000);
    assert_eq!(rig.rest, [Output::Reset(Conn::Commands)]);
    assert_eq!(rig.troubles(), 1);
    rig.input(Input::Reply(first, Reply::bulk("granted 7 60000 0 0")));
    assert_eq!(rig.believes(), None);
    rig.next();
    assert_eq!(rig.last(), "acquire me 1");
    rig.reply("granted 7 59000 0 0");
    assert_eq!(rig.believes(), Some(7));
}

#[test]
fn a_script_that_is_missing_is_loaded_and_the_same_request_sent_again() {
    let mut rig = Rig::new();
    rig.ask(Ask::Acquire);
    rig.refuse("NOSCRIPT No matching script. Please use EVAL.");
    assert_eq!(rig.last(), "load acquire");
    rig.reply(script::ACQUIRE.sha1);
    assert_eq!(rig.last(), "acquire me 1");
    rig.reply("waiting 1 0 0 0 0");
    assert_eq!(rig.told(), [Event::Waiting { position: 1 }]);
    rig.next();
    rig.refuse("NOSCRIPT No matching script. Please use EVAL.");
    assert_eq!(rig.last(), "load poll");
    rig.reply(script::POLL.sha1);
    assert_eq!(rig.last(), "poll me 1");
}

#[test]
fn a_server_that_forgets_scripts_at_once_is_not_hammered() {
    let mut rig = Rig::new();
    rig.ask(Ask::Acquire);
    let start = rig.now;
    for _ in 0..20 {
        rig.refuse("NOSCRIPT No matching script. Please use EVAL.");
        if !rig.last().starts_with("load") {
            rig.next();
        }
        rig.reply(script::ACQUIRE.sha1);
    }
    assert!(rig.now.since_ms(start) > 5_000);
}

#[test]
fn no_error_is_taken_for_denied() {
    for text in [
        "LOADING x",
        "BUSY x",
        "OOM x",
        "CLUSTERDOWN x",
        "TRYAGAIN x",
        "NEW x",
    ] {
        let mut rig = Rig::new();
        rig.ask(Ask::Acquire);
        rig.refuse(text);
        assert_eq!(rig.troubles(), 1, "{text}");
        rig.next();
        assert_eq!(rig.last(), "acquire me 1");
    }
    for text in ["READONLY x", "MASTERDOWN x"] {
        let mut rig = Rig::new();
        rig.ask(Ask::Acquire);
        rig.refuse(text);
        assert_eq!(rig.rest, [Output::Reset(Conn::Commands)], "{text}");
        rig.next();
        assert_eq!(rig.last(), "acquire me 1");
    }
    for text in [
        "NOAUTH x",
        "NOPERM x",
        "WRONGTYPE x",
        "MOVED 1 h:1",
        "ERR x",
    ] {
        let mut rig = Rig::new();
        rig.ask(Ask::Acquire);
        rig.refuse(text);
        let told = rig.told();
        let [Event::Fatal(why)] = &told[..] else {
            panic!("{told:?}");
        };
        assert!(why.ends_with(text), "{why}");
        assert!(rig.client.is_idle());
    }
}

#[test]
fn an_answer_of_another_kind_is_fatal_and_names_it() {
    for strange in [
        Reply::bulk("welcome 1"),
        Reply::Nil,
        Reply::bulk("renewed 5 0"),
    ] {
        let mut rig = Rig::new();
        rig.ask(Ask::Acquire);
        let request = rig.sent[0].0;
        rig.input(Input::Reply(request, strange));
        let told = rig.told();
        assert!(
            matches!(&told[..], [Event::Fatal(why)] if why.contains("version")),
            "{told:?}"
        );
        assert_eq!(rig.last(), "cancel me 1", "it may have joined");
    }
}

#[test]
fn a_holder_outlives_a_refusal_until_its_lease_ends() {
    let mut rig = Rig::holding();
    let until = rig.client.until().unwrap();
    rig.next();
    rig.refuse("NOPERM no more");
    assert_eq!(rig.troubles(), 1);
    assert_eq!(rig.believes(), Some(7));
    while rig
        .told
        .iter()
        .all(|event| matches!(event, Event::Trouble(_)))
    {
        rig.next();
        if rig.last().starts_with("renew") {
            rig.refuse("NOPERM no more");
        }
    }
    assert_eq!(rig.told.last(), Some(&Event::Ended(Ended::Expired)));
    assert_eq!(rig.now, until);
}

#[test]
fn a_restarted_client_with_a_nonce_too_small_heals_itself() {
    let mut rig = Rig::new();
    rig.ask(Ask::Acquire);
    rig.reply("stale 1 0"); // its former self had 1 too, and that place has ended
    assert_eq!(rig.last(), "acquire me 2");
    rig.reply("stale 41 0");
    assert_eq!(rig.last(), "acquire me 42");
    rig.reply("granted 7 60000 0 0");
    assert_eq!((rig.believes(), rig.client.nonce()), (Some(7), 42));
}

#[test]
fn nonces_that_are_used_up_are_told() {
    let mut rig = Rig::new();
    rig.ask(Ask::Acquire);
    rig.reply("stale 9007199254740991 0");
    assert!(matches!(&rig.told()[..], [Event::Fatal(why)] if why.contains("another id")));
}

#[test]
fn a_join_whose_own_place_has_ended_learns_how() {
    let mut rig = Rig::new();
    rig.ask(Ask::Acquire);
    rig.fail(Failure::Unknown);
    rig.next();
    rig.reply("stale 1 0");
    assert_eq!(rig.last(), "poll me 1");
    rig.told.clear();
    rig.reply("ended timed_out 0");
    assert_eq!(rig.told(), [Event::Ended(Ended::TimedOut)]);
    assert!(rig.client.is_idle());
}

#[test]
fn a_takeover_by_another_process_ends_it() {
    let mut rig = Rig::waiting();
    rig.next();
    rig.reply("stale 9 0");
    assert_eq!(rig.told(), [Event::Ended(Ended::Cancelled)]);
    assert!(rig.client.is_idle());
    let mut rig = Rig::holding();
    rig.next();
    rig.reply("lost 0");
    assert_eq!(rig.told(), [Event::Ended(Ended::Expired)]);
    assert!(rig.client.is_idle() && rig.believes().is_none());
}

#[test]
fn a_place_that_ended_is_told_and_one_that_was_forgotten_is_taken_anew() {
    let mut rig = Rig::waiting();
    rig.next();
    rig.reply("ended abandoned 0");
    assert_eq!(rig.told(), [Event::Ended(Ended::Abandoned)]);
    for forgotten in ["unknown 0", "stale 0 0"] {
        let mut rig = Rig::waiting();
        rig.next();
        rig.reply(forgotten);
        assert_eq!(rig.troubles(), 1);
        assert_eq!(rig.last(), "acquire me 2");
        rig.reply("waiting 9 0 0 0 0");
        assert_eq!(rig.told(), [Event::Waiting { position: 9 }]);
    }
}

#[test]
fn a_cancellation_overtakes_nothing_and_is_repeated_until_it_is_answered() {
    let mut rig = Rig::new();
    rig.ask(Ask::Acquire);
    let join = rig.sent[0].0;
    rig.ask(Ask::Cancel);
    assert_eq!(rig.last(), "cancel me 1");
    // The answer to the join, whatever it is, no longer counts.
    rig.input(Input::Reply(join, Reply::bulk("granted 7 60000 0 0")));
    assert_eq!((rig.told(), rig.believes()), (vec![], None));
    for _ in 0..30 {
        rig.fail(Failure::Unknown);
        rig.next();
        assert_eq!(rig.last(), "cancel me 1");
    }
    rig.told.clear();
    rig.reply("cancelled 0");
    assert_eq!(rig.told(), [Event::Cancelled]);
    assert!(rig.client.is_idle());
}

#[test]
fn cancel_works_in_every_state() {
    let mut rig = Rig::new();
    rig.ask(Ask::Cancel);
    assert_eq!(rig.told(), [Event::Cancelled]);
    for (mut rig, state) in [(Rig::waiting(), "waiting"), (Rig::holding(), "holding")] {
        rig.ask(Ask::Cancel);
        assert_eq!(rig.believes(), None, "{state}");
        assert_eq!(rig.last(), "cancel me 1", "{state}");
        rig.reply("stale 5 0"); // a newer attempt has taken over: out all the same
        assert_eq!(rig.told(), [Event::Cancelled], "{state}");
    }
    let mut rig = Rig::holding();
    rig.ask(Ask::Release);
    rig.ask(Ask::Cancel);
    rig.reply("released 0");
    assert_eq!(rig.told(), [Event::Cancelled]);
    let mut rig = Rig::waiting();
    rig.ask(Ask::Release);
    rig.reply("cancelled 0");
    assert_eq!(rig.told(), [Event::Released]);
}

#[test]
fn a_rejection_after_an_unanswered_join_leaves_a_tombstone() {
    let mut rig = Rig::new();
    rig.ask(Ask::TryAcquire);
    assert_eq!(rig.last(), "acquire me 1 0 0");
    rig.fail(Failure::Unknown);
    rig.next();
    rig.told.clear();
    rig.reply("rejected busy 0");
    assert_eq!(rig.told(), [Event::Rejected(Rejected::Busy)]);
    assert_eq!(rig.last(), "cancel me 1", "a copy may still be under way");
    rig.reply("cancelled 0");
    assert_eq!(rig.told(), []);
    assert!(rig.client.is_idle());

    for certain in [false, true] {
        let mut rig = Rig::new();
        rig.ask(Ask::Acquire);
        if certain {
            rig.fail(Failure::NotSent);
            rig.next();
        }
        rig.told.clear();
        rig.reply("rejected full 0");
        assert_eq!(rig.told(), [Event::Rejected(Rejected::Full)]);
        assert!(rig.client.is_idle(), "no copy of the join is under way");
    }
}

#[test]
fn a_try_that_finds_an_old_place_in_line_is_busy_and_leaves() {
    let mut rig = Rig::new();
    rig.ask(Ask::TryAcquire);
    rig.reply("waiting 4 0 0 0 0");
    assert_eq!(rig.told(), [Event::Rejected(Rejected::Busy)]);
    assert_eq!(rig.last(), "cancel me 1");
}

#[test]
fn a_try_without_any_answer_ends_in_time() {
    let mut rig = Rig::new();
    rig.ask(Ask::TryAcquire);
    rig.pass(settings().try_limit_ms);
    assert_eq!(rig.told.last(), Some(&Event::Ended(Ended::TimedOut)));
    assert_eq!(rig.last(), "cancel me 1");
}

#[test]
fn a_release_is_repeated_until_it_is_answered_or_the_lease_has_ended() {
    let mut rig = Rig::holding();
    rig.ask(Ask::Release);
    assert_eq!(
        (rig.last().as_str(), rig.believes()),
        ("release me 7", None)
    );
    rig.fail(Failure::Unknown);
    rig.next();
    assert_eq!(rig.last(), "release me 7");
    rig.told.clear();
    rig.reply("lost 0"); // the first copy had been executed
    assert_eq!(rig.told(), [Event::Released]);

    let mut rig = Rig::holding();
    rig.ask(Ask::Release);
    rig.pass(LEASE - 1);
    assert!(!rig.client.is_idle());
    rig.pass(1);
    assert_eq!(rig.told.last(), Some(&Event::Released));
    assert!(rig.client.is_idle());
}

#[test]
fn a_waiter_gives_up_at_its_limit_and_eats_no_slot() {
    let mut rig = Rig::with(Settings {
        wait_limit_ms: Some(2_500),
        ..settings()
    });
    rig.ask(Ask::Acquire);
    rig.reply("waiting 3 0 0 0 0");
    rig.pass(2_400);
    rig.told.clear();
    rig.sent
        .retain(|(_, command)| text(command).starts_with("poll"));
    let poll = rig.sent.last().unwrap().0;
    rig.pass(100);
    assert_eq!(rig.told(), [Event::Ended(Ended::TimedOut)]);
    assert_eq!(rig.last(), "cancel me 1");
    rig.input(Input::Reply(poll, Reply::bulk("granted 7 60000 0 0")));
    assert_eq!((rig.believes(), rig.told()), (None, vec![]));
    rig.reply("cancelled 0");
    assert_eq!(rig.told(), []);
    assert!(rig.client.is_idle());
}

#[test]
fn a_grant_that_comes_with_the_limit_is_too_late() {
    let mut rig = Rig::with(Settings {
        wait_limit_ms: Some(500),
        ..settings()
    });
    rig.ask(Ask::Acquire);
    rig.now = rig.now.plus_ms(500);
    rig.reply("granted 7 60000 0 0");
    assert_eq!(rig.told(), [Event::Ended(Ended::TimedOut)]);
    assert_eq!(rig.last(), "cancel me 1");
}

#[test]
fn a_holder_beats_at_a_third_of_its_lease_and_carries_touches() {
    let mut rig = Rig::holding();
    assert_eq!(rig.next(), 20_000);
    assert_eq!(rig.last(), "renew me 7");
    rig.ask(Ask::Touch); // too late for this one
    rig.now = rig.now.plus_ms(30);
    rig.reply("renewed 60000 0");
    assert_eq!(rig.next(), 19_970, "counted from sending");
    assert_eq!(rig.last(), "renew me 7 1");
    rig.fail(Failure::Unknown);
    rig.next();
    assert_eq!(rig.last(), "renew me 7 1", "a lost touch is sent again");
    rig.reply("renewed 60000 0");
    rig.next();
    assert_eq!(rig.last(), "renew me 7");
    assert_eq!(rig.believes(), Some(7));
}

#[test]
fn a_lease_that_cannot_be_renewed_ends_by_the_holders_own_clock() {
    let mut rig = Rig::holding();
    let until = rig.client.until().unwrap();
    // No answer ever: the end is known without anyone's help.
    assert_eq!(rig.client.belief(until), None);
    rig.pass(LEASE - 100);
    assert_eq!(rig.believes(), Some(7));
    let renewal = rig.sent.last().unwrap().0;
    rig.told.clear();
    rig.pass(100);
    assert_eq!(rig.told(), [Event::Ended(Ended::Expired)]);
    assert_eq!(
        rig.last(),
        "release me 7",
        "in the background, in case it is not over"
    );
    rig.input(Input::Reply(renewal, Reply::bulk("renewed 60000 0")));
    assert_eq!(rig.believes(), None, "a dead lease is not resurrected");
    rig.ask(Ask::Acquire);
    assert_eq!(rig.last(), "acquire me 2");
    rig.reply("granted 8 60000 0 0");
    assert_eq!(rig.believes(), Some(8));
}

#[test]
fn an_idle_holder_beats_no_faster_than_it_repeats() {
    let mut rig = Rig::holding();
    rig.next();
    rig.reply("renewed 3000 0"); // the idle time is nearly over
    let before = rig.sent.len();
    while rig.believes().is_some() {
        rig.next();
        if rig.last().starts_with("renew") {
            let left = 3_000_u64.saturating_sub(rig.now.0 / MS - 21_000);
            rig.reply(&("renewed ".to_string() + &left.to_string() + " 0"));
        }
    }
    assert!(rig.sent.len() - before < 30, "{}", rig.sent.len());
    assert_eq!(rig.told(), [Event::Ended(Ended::Expired)]);
}

#[test]
fn who_acquires_while_leaving_begins_when_that_is_over() {
    let mut rig = Rig::holding();
    rig.ask(Ask::Release);
    rig.ask(Ask::Acquire);
    assert_eq!(rig.last(), "release me 7");
    rig.reply("released 0");
    assert_eq!(rig.told(), [Event::Released]);
    assert_eq!(rig.last(), "acquire me 2");
}

#[test]
fn asking_twice_changes_nothing() {
    let mut rig = Rig::waiting();
    rig.ask(Ask::Acquire);
    assert_eq!(rig.sent.len(), 1);
    let mut rig = Rig::holding();
    rig.ask(Ask::Acquire);
    assert!(matches!(rig.told()[..], [Event::Granted { fence: 7, .. }]));
    rig.ask(Ask::Release);
    rig.ask(Ask::Release);
    assert_eq!(rig.sent.len(), 2);
}

#[test]
fn a_clock_that_steps_back_does_no_harm() {
    let mut rig = Rig::holding();
    let sent = rig.sent.len();
    rig.now = LocalTime(0);
    rig.input(Input::Wake);
    assert_eq!(rig.sent.len(), sent);
    assert_eq!(rig.believes(), Some(7));
    // The lease goes on by the time that really passes, not by the number shown.
    let (beat, _) = rig.client.deadline().unwrap();
    assert_eq!(beat, LocalTime(20_000 * MS));
    assert_eq!(rig.client.until(), Some(LocalTime(BELIEF_NS)));
    rig.pass(LEASE);
    assert_eq!(rig.believes(), None);
    assert_eq!(rig.told.last(), Some(&Event::Ended(Ended::Expired)));
}

#[test]
fn a_clock_that_leaps_ahead_ends_belief() {
    let mut rig = Rig::holding();
    rig.now = LocalTime(u64::MAX);
    assert_eq!(rig.believes(), None);
    rig.input(Input::Wake);
    assert_eq!(rig.told(), [Event::Ended(Ended::Expired)]);
}

#[test]
fn answers_to_nobody_are_dropped() {
    let mut rig = Rig::waiting();
    rig.input(Input::Reply(
        RequestId(77),
        Reply::bulk("granted 7 60000 0 0"),
    ));
    rig.input(Input::Failed(RequestId(78), Failure::Unknown));
    assert_eq!((rig.told(), rig.believes()), (vec![], None));
}

#[test]
fn clients_that_behave_alike_hash_alike() {
    fn hash(client: &SlotsClient) -> u64 {
        let mut hasher = std::hash::DefaultHasher::new();
        client.hash(&mut hasher);
        hasher.finish()
    }
    let mut one = Rig::new();
    let mut two = Rig::new();
    for rig in [&mut one, &mut two] {
        rig.ask(Ask::Acquire);
    }
    let start = two.now;
    two.fail(Failure::NotSent);
    two.next();
    two.fail(Failure::NotSent);
    two.next();
    assert_ne!(
        hash(&one.client),
        hash(&two.client),
        "one has failures behind it"
    );
    for rig in [&mut one, &mut two] {
        rig.now = rig.now.max(start.plus_ms(500));
        rig.reply("granted 7 -1 0 0");
    }
    assert_eq!(hash(&one.client), hash(&two.client));
}

#[test]
fn bad_ids_and_settings_get_a_clear_message() {
    let settings_ok = Arc::new(settings());
    for id in [&b""[..], &[b'x'; 10_000], b"a\nb"] {
        assert!(SlotsClient::new(Arc::clone(&settings_ok), id).is_err());
    }
    let message = |change: &dyn Fn(&mut Settings)| {
        let mut settings = settings();
        change(&mut settings);
        settings.validate().unwrap_err().to_string()
    };
    assert!(message(&|s| s.poll_ms = 0).contains("poll must be"));
    assert!(message(&|s| s.wait_limit_ms = Some(0)).contains("wait_limit"));
    assert!(message(&|s| s.drift_ppm = 1_000_000).contains("drift_ppm"));
    assert!(message(&|s| s.config.capacity = 0).contains("configuration"));
    assert!(message(&|s| s.margin_ms = 60_000).contains("at least"));
    assert!(message(&|s| s.margin_ms = u64::MAX).contains("margin"));
    let short = Config::semaphore(3, 10, 1_000);
    let keys = GateKeys::new("", "g").unwrap();
    assert_eq!(Settings::new(keys, short).validate(), Ok(()));
}
