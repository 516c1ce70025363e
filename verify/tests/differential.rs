//! The simulated Redis against a real one: the same commands, the same replies.
//!
//! Two ways of asking. *Conversations* are files of lines picked by hand, each
//! of which once was, or easily could be, answered differently. *Random
//! sequences* fill templates of commands with keys and with values that sit on
//! the edges (empty, huge, negative, not a number, wrong type), so that the
//! pairs of commands nobody thought of meet as well; a mismatch is shrunk.
//!
//! What Redis leaves open is not compared: the order of what comes out of a
//! hash table (both sides are sorted), and members picked at random.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use libtest_mimic::{Arguments, Failed};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use verify::diff::{Line, Pair, Search, lines, templates, words};
use verify::real::{self, Server};

const CONVERSATIONS: &[(&str, &str)] = &[
    ("keys", include_str!("differential/keys.txt")),
    ("strings", include_str!("differential/strings.txt")),
    ("bits", include_str!("differential/bits.txt")),
    (
        "hyperloglogs",
        include_str!("differential/hyperloglogs.txt"),
    ),
    ("streams", include_str!("differential/streams.txt")),
    ("blocking", include_str!("differential/blocking.txt")),
    ("databases", include_str!("differential/databases.txt")),
    ("hashes", include_str!("differential/hashes.txt")),
    ("lists", include_str!("differential/lists.txt")),
    ("sets", include_str!("differential/sets.txt")),
    ("sorted sets", include_str!("differential/zsets.txt")),
    (
        "transactions",
        include_str!("differential/transactions.txt"),
    ),
    ("scripts", include_str!("differential/scripts.txt")),
    ("libraries", include_str!("differential/libraries.txt")),
    ("watches", include_str!("differential/watches.txt")),
    ("operators", include_str!("differential/operators.txt")),
];

fn main() {
    let mut trials: Vec<_> = CONVERSATIONS
        .iter()
        .map(|(name, text)| {
            real::trial(format!("the conversation about {name}"), |server| {
                conversation(server, text)
            })
        })
        .collect();
    trials.push(real::trial("random sequences", random_sequences));
    trials.push(real::trial("a planted difference is seen", planted));
    trials.push(real::trial("a planted difference is shrunk", shrunk));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn conversation(server: &Server, text: &str) -> Result<(), Failed> {
    let space = server.space()?;
    let mut pair = Pair::new(server, space.prefix().to_owned())?;
    let mut differences = Vec::new();
    for (at, line) in lines(text) {
        for said in spelt_out(line) {
            if let Some((ours, theirs)) = pair.ask(&words(&said))? {
                differences.push(format!(
                    "line {at}: {line}\n  {said}\n  real      {theirs:?}\n  simulated {ours:?}"
                ));
            }
        }
    }
    if differences.is_empty() {
        return Ok(());
    }
    Err(format!("{}\n{}", server.describe(), differences.join("\n")).into())
}

/// `watched KEYS: COMMAND` asks whether the command breaks a watch on the keys.
fn spelt_out(line: &str) -> Vec<String> {
    let watched = line.strip_prefix("watched ");
    match watched.and_then(|rest| rest.split_once(": ")) {
        None => vec![line.to_owned()],
        Some((keys, command)) => {
            let watch = format!("WATCH {keys}");
            [&watch, command, "MULTI", "PING", "EXEC"]
                .map(str::to_owned)
                .into()
        }
    }
}

/// The alarm works: a server that has missed one write is found out.
fn planted(server: &Server) -> Result<(), Failed> {
    let space = server.space()?;
    let mut pair = Pair::new(server, space.prefix().to_owned())?;
    pair.ask(&words("SADD $s a b"))?;
    pair.forget();
    match pair.ask(&words("SCARD $s"))? {
        Some(_) => Ok(()),
        None => Err("a lost write was not seen".into()),
    }
}

/// A simulated server that has missed what was said before is found out by the
/// search too, in as few commands as show it.
fn shrunk(server: &Server) -> Result<(), Failed> {
    let space = server.space()?;
    let mut search = Search::new(server, &space, 1)?;
    search.sabotage();
    let found = (0..300).find_map(|_| search.try_next().transpose());
    match found.transpose()? {
        Some((_, found)) if found.commands.len() <= 3 => Ok(()),
        Some((_, found)) => Err(format!("not minimal: {found}").into()),
        None => Err("nothing was found".into()),
    }
}

fn random_sequences(server: &Server) -> Result<(), Failed> {
    const SEED: [u8; 32] = *b"the same sequences in every run.";
    let cases = std::env::var("SLUICE_DIFF_CASES")
        .ok()
        .and_then(|n| n.parse().ok());
    let config = Config {
        cases: cases.unwrap_or(150),
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..Config::default()
    };
    let templates = templates();
    let one = (
        0..templates.len(),
        0usize..1000,
        prop::array::uniform8(0usize..1000),
    );
    let one = one.prop_map(|(template, through, picks)| Line {
        template,
        through,
        picks,
    });
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &SEED);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let space = server.space()?;
    let used = RefCell::new(BTreeSet::new());
    let cases = Cell::new(0);
    let pair = RefCell::new(Pair::new(server, String::new())?);
    let outcome = runner.run(&prop::collection::vec(one, 1..60), |lines| {
        cases.set(cases.get() + 1);
        let mut used = used.borrow_mut();
        used.extend(lines.iter().map(|line| templates[line.template]));
        let prefix = space.key(&format!("{}:", cases.get()));
        match pair.borrow_mut().compare(prefix, &lines) {
            Ok(None) => Ok(()),
            Ok(Some(found)) => Err(TestCaseError::fail(format!("\n{found}"))),
            Err(error) => Err(TestCaseError::fail(error.to_string())),
        }
    });
    let used = used.into_inner().len();
    let all: BTreeSet<_> = templates.iter().collect();
    match outcome {
        Ok(()) if used * 10 >= all.len() * 9 => Ok(()),
        Ok(()) => Err(format!("only {used} of {} templates were used", all.len()).into()),
        Err(TestError::Fail(reason, _)) => Err(format!("{}{reason}", server.describe()).into()),
        Err(TestError::Abort(reason)) => Err(reason.to_string().into()),
    }
}
