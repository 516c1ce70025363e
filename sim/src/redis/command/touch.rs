//! Which keys a command touches, known before it is executed.
//!
//! For strategies that ask which commands commute. A script touches the keys it
//! declares, and is taken to write them; that it keeps to them is watched at run
//! time ([`crate::redis::Server::undeclared_keys`]). Messages have no key: two
//! publishers meet if their channels, or a script's keys, share a hash tag.

use sluice_core::redis::{Bytes, Command};

use super::{Arg, Keys, lookup};
use crate::choice::{Touch, key_bit};

/// Everything the server has.
const ALL: Touch = Touch {
    host: None,
    keys: u64::MAX,
    writes: true,
    everything: false,
};

pub(in crate::redis) fn touch(command: &Command) -> Touch {
    let args = &command.args;
    let Some(spec) = lookup(&args[0]).filter(|spec| spec.accepts(args.len())) else {
        return Touch::default(); // an error reply
    };
    let bits = |keys: &mut dyn Iterator<Item = &Bytes>| keys.fold(0, |all, key| all | key_bit(key));
    match (spec.name, spec.keys) {
        ("eval" | "evalsha" | "eval_ro" | "evalsha_ro" | "fcall" | "fcall_ro", _) => {
            let count = Arg::Shared(&args[2]).int().unwrap_or(0);
            let count = usize::try_from(count).unwrap_or(0);
            let keys = || args[3..].iter().take(count);
            let tags = keys().fold(0, |all, key| all | key_bit(tag(key)));
            Touch {
                keys: bits(&mut keys()) | tags,
                writes: !spec.name.ends_with("_ro"),
                ..Touch::default()
            }
        }
        ("publish" | "spublish", _) => Touch {
            keys: key_bit(tag(&args[1])),
            writes: true,
            ..Touch::default()
        },
        ("time" | "ping" | "echo", _) => Touch::default(),
        // It keeps what it has counted.
        ("pfcount", keys) => {
            let mut all = 0;
            keys.each(args, |key| all |= key_bit(key));
            Touch {
                keys: all,
                writes: true,
                ..Touch::default()
            }
        }
        // It looks at what was written, whatever that was.
        ("wait", _) => Touch {
            writes: false,
            ..ALL
        },
        // Its patterns name keys that cannot be known before.
        ("sort" | "sort_ro", _) | (_, Keys::None) => ALL,
        (_, keys) => {
            let mut all = 0;
            keys.each(args, |key| all |= key_bit(key));
            Touch {
                keys: all,
                writes: spec.write,
                ..Touch::default()
            }
        }
    }
}

/// What stands in the first pair of braces, or the whole key.
pub(in crate::redis) fn tag(key: &[u8]) -> &[u8] {
    let inside = key.iter().position(|b| *b == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        let close = rest.iter().position(|b| *b == b'}')?;
        (close > 0).then(|| &rest[..close])
    });
    inside.unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> Touch {
        let rest = &words[1..];
        touch(
            &rest
                .iter()
                .fold(Command::new(words[0]), |c, word| c.arg(word)),
        )
    }

    #[test]
    fn commands_touch_their_keys_and_scripts_those_they_declare() {
        let get = of(&["GET", "a"]);
        assert_eq!((get.keys, get.writes), (key_bit(b"a"), false));
        assert!(of(&["SET", "a", "1"]).meets(&get));
        assert!(!of(&["SET", "b", "1"]).meets(&get));
        assert!(of(&["MSET", "b", "1", "a", "2"]).meets(&get));
        let script = of(&["EVAL", "return 1", "1", "{g}:a", "x"]);
        assert!(script.meets(&of(&["GET", "{g}:a"])));
        assert!(!script.meets(&get));
        assert!(script.meets(&of(&["PUBLISH", "{g}:wake", "x"])));
        assert!(of(&["FLUSHALL"]).meets(&get));
        assert!(of(&["SUBSCRIBE", "c"]).meets(&of(&["PUBLISH", "c", "x"])));
        assert_eq!(of(&["GET"]), Touch::default());
        assert_eq!(tag(b"x{}y{t}"), b"x{}y{t}");
    }
}
