//! `HELP` of commands that are nothing but their subcommands, in the words of
//! Redis 7.0.

use sluice_core::redis::{Bytes, Reply};

/// One after another; each begins with its command's name.
const TEXT: &str = include_str!("help.txt");

/// What the command of this name (in lower case) says, if it is told of here.
pub(in crate::redis) fn of(name: &str) -> Option<Reply> {
    let begins = |line: &str| line.ends_with("Subcommands are:");
    let of_it = |line: &str| {
        let word = line.split(' ').next().unwrap_or_default();
        begins(line) && word.eq_ignore_ascii_case(name)
    };
    let mut lines = TEXT.lines().skip_while(|line| !of_it(line));
    let first = lines.next()?;
    let rest = lines.take_while(|line| !begins(line));
    let status = |line: &str| Reply::Status(Bytes::from(line.as_bytes()));
    Some(Reply::Array(
        std::iter::once(first).chain(rest).map(status).collect(),
    ))
}

#[cfg(test)]
mod tests {
    use crate::redis::tests::Bench;

    #[test]
    fn each_says_its_own_and_nothing_of_the_next() {
        let mut bench = Bench::new();
        for name in [
            "CLIENT", "CONFIG", "COMMAND", "SCRIPT", "PUBSUB", "SLOWLOG", "LATENCY", "ACL",
            "MODULE",
        ] {
            let told = bench.run(&format!("{name} HELP"));
            assert!(
                told.starts_with(&format!("[+{name} <subcommand> ")),
                "{told}"
            );
            assert!(told.ends_with("+HELP, +    Prints this help.]"), "{told}");
            assert_eq!(told.matches("Subcommands are:").count(), 1, "{told}");
        }
    }
}
