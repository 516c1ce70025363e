//! `verify history`: is what was recorded linearizable?

use std::fmt::Display;
use std::fs::File;
use std::io::BufReader;

use serde::Serialize;
use serde_json::{Value, json};

use super::{Exit, Failure, Format, HistoryArgs};
use crate::history::drawing::draw;
use crate::history::queue::Queue;
use crate::history::slots::Slots;
use crate::history::{
    Budget, Conflict, Header, History, Kind, Model, Operation, Recording, Verdict, check, read,
};

/// What the recording held, and what was found.
struct Shown {
    operations: usize,
    unknown: usize,
    keys: usize,
    exit: Exit,
    /// The verdict in words, with the picture of what is wrong.
    text: String,
    /// The same for programs.
    json: Value,
}

pub(super) fn run(args: &HistoryArgs) -> Result<Exit, Failure> {
    let name = args.file.display();
    let wrong = |why: String| Failure::usage(format!("{name}: {why}"));
    let file = File::open(&args.file).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let (header, recording) =
        read(BufReader::new(file)).map_err(|error| wrong(error.to_string()))?;
    let budget = Budget {
        configurations: args.budget,
    };
    let (what, shown) = match recording {
        Recording::Slots(history) => {
            let (what, model) = slots(header, args.cap).map_err(wrong)?;
            (what, judge(&model, &history, budget))
        }
        Recording::Queue(_) if args.cap.is_some() => {
            return Err(wrong("a queue has no slots; leave out --cap".to_owned()));
        }
        Recording::Queue(history) => ("a queue".to_owned(), judge(&Queue, &history, budget)),
    };
    let text = if args.output.format() == Format::Json {
        let value = json!({
            "file": name.to_string(),
            "model": what,
            "operations": shown.operations,
            "unknown": shown.unknown,
            "keys": shown.keys,
            "verdict": shown.json["verdict"],
            "why": shown.json["why"],
            "conflict": shown.json["conflict"],
        });
        serde_json::to_string_pretty(&value).map_err(Failure::environment)?
    } else {
        format!(
            "{} operations, {} with unknown outcomes, as {what}:\n{}",
            shown.operations, shown.unknown, shown.text
        )
    };
    args.output.text(&(text + "\n"))?;
    Ok(shown.exit)
}

fn slots(header: Header, cap: Option<u32>) -> Result<(String, Slots), String> {
    match (header.model, cap.or(header.capacity)) {
        (Kind::Lock, None | Some(1)) => Ok(("a lock".to_owned(), Slots::lock())),
        (Kind::Lock, Some(cap)) => Err(format!("a lock has one slot, not {cap}")),
        (_, Some(cap)) if cap > 0 => Ok((format!("{cap} slots"), Slots::new(cap))),
        _ => Err("how many slots? Say it with --cap, or as \"capacity\" in line 1".to_owned()),
    }
}

fn judge<M: Model>(model: &M, history: &History<M::Op, M::Reply>, budget: Budget) -> Shown
where
    M::Op: Display + Serialize,
    M::Reply: Display + Serialize,
{
    let unknown = history.operations.iter().filter(|o| o.answer.is_none());
    let (exit, text, json) = match check(model, history, budget) {
        Verdict::Holds => (
            Exit::Holds,
            "linearizable".to_owned(),
            json!({"verdict": "holds"}),
        ),
        Verdict::Inconclusive(why) => {
            let text = format!("inconclusive: {why}");
            let json = json!({"verdict": "inconclusive", "why": why});
            (Exit::Inconclusive, text, json)
        }
        Verdict::Violated(conflict) => {
            let json = json!({
                "verdict": "violated",
                "why": conflict.why,
                "conflict": window(&conflict),
            });
            (Exit::Violated, violated(&conflict), json)
        }
    };
    Shown {
        operations: history.operations.len(),
        unknown: unknown.count(),
        keys: history.keys.len(),
        exit,
        text,
        json,
    }
}

fn violated<O: Clone + Display, R: Clone + Display>(conflict: &Conflict<O, R>) -> String {
    let on = match &*conflict.key {
        "" => String::new(),
        key => format!(" on {key:?}"),
    };
    let size = if conflict.is_minimal {
        "nothing can be left out of these"
    } else {
        "too large to find out what can be left out"
    };
    format!(
        "not linearizable{on}: {}\n({size}; ┄: never answered)\n\n{}",
        conflict.why,
        draw(&conflict.window).trim_end()
    )
}

fn window<O: Serialize, R: Serialize>(conflict: &Conflict<O, R>) -> Value {
    let operation = |o: &Operation<O, R>| {
        json!({
            "client": conflict.window.clients.name(o.client),
            "start": o.start,
            "end": o.answer.as_ref().map(|answer| answer.end),
            "op": o.op,
            "reply": o.reply(),
        })
    };
    let operations: Vec<Value> = conflict.window.operations.iter().map(operation).collect();
    json!({
        "key": conflict.key,
        "is_minimal": conflict.is_minimal,
        "operations": operations,
    })
}
