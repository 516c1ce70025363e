//! `AUTH` and `ACL`: one user, `default`, who may do everything, with a password
//! if there is one (`requirepass`).

use sluice_core::redis::Reply;

use super::{Arg, Fail, Out, containers};
use crate::redis::lua::Engine;
use crate::redis::{Server, SessionId};

const WRONG: Fail = Fail::fixed("WRONGPASS invalid username-password pair or user is disabled.");
const NO_PASSWORD: Fail = Fail::fixed(
    "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
);
/// What a client is told that has to say its password first.
const STRANGER: Fail = Fail::fixed("NOAUTH Authentication required.");
const NO_FILE: Fail = Fail::fixed(
    "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration.",
);

/// Classes of commands. Which command is in which is not known here.
const CATEGORIES: [&str; 21] = [
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

impl Server {
    /// The client is who it says it is, or is told that it is not.
    pub(super) fn admit(
        &mut self,
        id: SessionId,
        user: &[u8],
        password: &[u8],
    ) -> Result<(), Fail> {
        let wanted = self.state.settings.password();
        let right = wanted.is_none_or(|wanted| **wanted == *password);
        if user != b"default" || !right {
            return Err(WRONG);
        }
        if let Some(network) = &mut self.state.network {
            network.strangers.remove(&id);
        }
        Ok(())
    }

    /// Whether a client has to say its password first. Those who were there when
    /// it was set have not.
    pub(super) fn is_stranger(&self, id: SessionId) -> bool {
        let network = self.state.network.as_ref();
        network.is_some_and(|network| network.strangers.contains(&id))
    }

    /// Whether a client has to say its password first, which is for whoever reads
    /// what it sends to know.
    #[must_use]
    pub fn owes_password(&self, session: SessionId) -> bool {
        self.is_stranger(session)
    }

    /// What a client is told instead of an answer to a command that it may not
    /// use, now or ever.
    pub(in crate::redis) fn forbids(
        &self,
        id: SessionId,
        name: &str,
        args: &[Arg],
    ) -> Option<Fail> {
        if self.is_stranger(id) && !matches!(name, "auth" | "hello" | "quit" | "reset") {
            return Some(STRANGER);
        }
        let sub = |word: &str| args.get(1).is_some_and(|arg| arg.is(word));
        match name {
            "debug" => Some(switched_off("DEBUG", "debug")),
            "module" if sub("LOAD") || sub("LOADEX") || sub("UNLOAD") => {
                Some(switched_off("MODULE", "module"))
            }
            "save" if self.in_transaction(id) => {
                Some(Fail::fixed("ERR Command not allowed inside a transaction"))
            }
            _ => None,
        }
    }
}

fn switched_off(command: &str, option: &str) -> Fail {
    Fail::new(format!(
        "ERR {command} command not allowed. If the enable-{option}-command option is set to \"local\", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server."
    ))
}

pub(super) fn auth(server: &mut Server, _: &Engine, id: SessionId, args: &[Arg]) -> Out {
    match &args[1..] {
        [_] if server.state.settings.password().is_none() => return Err(NO_PASSWORD),
        [password] => server.admit(id, b"default", password)?,
        [user, password] => server.admit(id, user, password)?,
        _ => return Err(Fail::SYNTAX),
    }
    Ok(server.state.replies.ok())
}

fn words(words: &[&str]) -> Reply {
    Reply::Array(words.iter().map(Reply::bulk).collect())
}

pub(super) fn acl(server: &mut Server, _: &Engine, _: SessionId, args: &[Arg]) -> Out {
    let word = &args[1];
    // A password is told as its digest, which is not computed here.
    if server.state.settings.password().is_some() && (word.is("LIST") || word.is("GETUSER")) {
        return Err(Fail::fixed(
            "ERR a simulated server does not tell its password",
        ));
    }
    Ok(match args {
        [_, _] if word.is("WHOAMI") => Reply::bulk("default"),
        [_, _] if word.is("USERS") => words(&["default"]),
        [_, _] if word.is("LIST") => words(&["user default on nopass ~* &* +@all"]),
        [_, _, user] if word.is("GETUSER") && **user == *b"default" => Reply::Array(vec![
            Reply::bulk("flags"),
            words(&["on", "nopass"]),
            Reply::bulk("passwords"),
            words(&[]),
            Reply::bulk("commands"),
            Reply::bulk("+@all"),
            Reply::bulk("keys"),
            Reply::bulk("~*"),
            Reply::bulk("channels"),
            Reply::bulk("&*"),
            Reply::bulk("selectors"),
            words(&[]),
        ]),
        [_, _, _] if word.is("GETUSER") => Reply::Nil,
        [_, _] if word.is("CAT") => words(&CATEGORIES),
        [_, _, name] if word.is("CAT") && CATEGORIES.iter().any(|known| name.is(known)) => {
            return Err(Fail::fixed(
                "ERR a simulated server does not know which commands are in a category",
            ));
        }
        [_, _, name] if word.is("CAT") => {
            return Err(Fail::new(
                [b"ERR Unknown category '", &**name, b"'"].concat(),
            ));
        }
        // Who was refused is not written down.
        [_, _] if word.is("LOG") => words(&[]),
        [_, _, count] if word.is("LOG") => {
            if count.is("RESET") {
                server.state.replies.ok()
            } else {
                count.int()?;
                words(&[])
            }
        }
        [_, _] if word.is("LOAD") || word.is("SAVE") => return Err(NO_FILE),
        [_, _] if word.is("GENPASS") => password(server, 256),
        [_, _, bits] if word.is("GENPASS") => {
            let bits = usize::try_from(bits.int()?).ok();
            let bits = bits.filter(|bits| (1..=4096).contains(bits));
            password(server, bits.ok_or(BITS)?)
        }
        [_, _, ..] if ["SETUSER", "DELUSER", "DRYRUN"].iter().any(|w| word.is(w)) => {
            return Err(Fail::fixed(
                "ERR a simulated server has no users but default",
            ));
        }
        _ => return Err(containers::misused(word, "ACL")),
    })
}

const BITS: Fail = Fail::fixed(
    "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096",
);

/// So many bits in hexadecimal. Nobody's secret: it follows from the seed.
fn password(server: &mut Server, bits: usize) -> Reply {
    let mut digit = || b"0123456789abcdef"[server.state.draw.below(16)];
    let digits: Vec<u8> = (0..bits.div_ceil(4)).map(|_| digit()).collect();
    Reply::bulk(digits)
}

#[cfg(test)]
mod tests {
    use crate::redis::tests::Bench;
    use crate::redis::{SessionId, Version};

    /// What Redis 7.0.15 says.
    #[test]
    fn the_default_user_has_no_password_until_it_has_one() {
        let mut bench = Bench::new();
        let wrong = "-WRONGPASS invalid username-password pair or user is disabled.";
        let none = "-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?";
        for (line, told) in [
            ("AUTH default x", "+OK"),
            ("AUTH x", none),
            ("AUTH bob x", wrong),
            ("AUTH a b c", "-ERR syntax error"),
            ("HELLO 2 AUTH bob x", wrong),
            ("ACL WHOAMI", "\"default\""),
            ("ACL USERS", "[\"default\"]"),
            ("ACL LIST", "[\"user default on nopass ~* &* +@all\"]"),
            ("ACL GETUSER bob", "nil"),
            ("ACL CAT nosuch", r"-ERR Unknown category \'nosuch\'"),
            ("ACL GENPASS 5", "\"00\""),
            (
                "ACL GENPASS x",
                "-ERR value is not an integer or out of range",
            ),
            (
                "ACL GENPASS 4097",
                "-ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096",
            ),
            (
                "ACL GENPASS 5 5",
                r"-ERR unknown subcommand or wrong number of arguments for \'GENPASS\'. Try ACL HELP.",
            ),
            ("ACL FOO", r"-ERR unknown subcommand \'FOO\'. Try ACL HELP."),
        ] {
            assert_eq!(bench.run(line), told, "{line}");
        }
        let connect = |bench: &mut Bench, id| {
            bench
                .server
                .connect(bench.now_us, SessionId(id), "a:1", "b:2");
        };
        connect(&mut bench, 1);
        assert_eq!(bench.run("CONFIG SET requirepass secret"), "+OK");
        assert_eq!(bench.run("PING"), "+PONG", "it was there before");
        connect(&mut bench, 2);
        let stranger = "-NOAUTH Authentication required.";
        for (line, told) in [
            ("PING", stranger),
            ("MULTI", stranger),
            ("SUBSCRIBE a", stranger),
            ("GET", r"-ERR wrong number of arguments for \'get\' command"),
            ("AUTH wrong", wrong),
            ("HELLO 3 AUTH default wrong", wrong),
            ("PING", stranger),
            ("AUTH secret", "+OK"),
            ("PING", "+PONG"),
            ("RESET", "+RESET"),
            ("PING", stranger),
            ("AUTH default secret", "+OK"),
            ("PING", "+PONG"),
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!(bench.run_as(2, &words), told, "{line}");
        }
        assert!(bench.run_as(2, &["HELLO", "2"]).contains("standalone"));
        assert!(
            bench.run("CLIENT LIST").contains("id=2 "),
            "a reset keeps the connection"
        );
    }

    #[test]
    fn some_commands_are_switched_off() {
        let mut bench = Bench::new();
        bench.server.state.version = Version::V7_0;
        let off = |name: &str, option: &str| {
            format!(
                "-ERR {name} command not allowed. If the enable-{option}-command option is set to \\\"local\\\", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server."
            )
        };
        assert_eq!(bench.run("DEBUG SLEEP 0"), off("DEBUG", "debug"));
        assert_eq!(bench.run("MODULE LOAD x"), off("MODULE", "module"));
        assert_eq!(bench.run("MODULE LIST"), "[]");
        bench.run("MULTI");
        let inside = "-ERR Command not allowed inside a transaction";
        assert_eq!(bench.run("SAVE"), inside);
        let aborted = "-EXECABORT Transaction discarded because of previous errors.";
        assert_eq!(bench.run("EXEC"), aborted);
        let script = bench.eval("return redis.call('DEBUG', 'SLEEP', 0)");
        assert!(script.contains("not allowed from script"), "{script}");
    }
}
