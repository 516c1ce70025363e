//! The real gate, with something wrong about it.
//!
//! A variant is the very text of the scripts with named passages replaced, the
//! very client machine behind an adapter, the configuration with other numbers
//! in it, or a server that is not the one the gate is made for. Production code
//! knows nothing of it. A passage must occur exactly once: when the scripts
//! change under a patch, making the variant fails instead of testing nothing.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use serde::Serialize;
use sha1::{Digest, Sha1};
use sluice_core::client::slots::Settings;
use sluice_core::redis::{Bytes, Command};
use sluice_core::script::{self, Script};
use sluice_sim::world::FaultKind;

use super::quirk::Quirk;

/// What is wrong about it. [`Variant::NONE`]: nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Variant {
    /// In the scripts.
    pub patches: &'static [Patch],
    /// In the client.
    pub quirk: Quirk,
    /// In the configuration that clients send: word (from 0, in the order of
    /// ARGV\[1\]) and number.
    pub config: &'static [(usize, u64)],
    /// It says that it survives failover; and the scripts that are patched are
    /// those of a guarded gate.
    pub guarded: bool,
    /// In the server: it may throw keys away when memory is short
    /// (`allkeys-lru`), and sometimes does.
    pub evicts: bool,
    /// Around the server: nothing keeps it from serving on after a replica has
    /// taken its place (no `min-replicas-to-write`).
    pub splits: bool,
}

/// One passage of the scripts, replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Patch {
    /// The file below `lua/`.
    pub file: &'static str,
    /// The passage, as it stands there exactly once.
    pub from: &'static str,
    /// What stands there instead.
    pub to: &'static str,
}

impl Variant {
    /// The gate as it is.
    pub const NONE: Self = Self {
        patches: &[],
        quirk: Quirk::None,
        config: &[],
        guarded: false,
        evicts: false,
        splits: false,
    };
    /// The gate as it is, [guarded](sluice_core::script::GateKeys::guarded).
    pub const GUARDED: Self = Self {
        guarded: true,
        ..Self::NONE
    };

    /// Whether nothing is wrong about it.
    #[must_use]
    pub fn is_real(self) -> bool {
        self == Self::NONE || self == Self::GUARDED
    }

    /// The gate with patched scripts.
    #[must_use]
    pub const fn patched(patches: &'static [Patch]) -> Self {
        Self {
            patches,
            ..Self::NONE
        }
    }

    /// The gate with another client.
    #[must_use]
    pub const fn with(self, quirk: Quirk) -> Self {
        Self { quirk, ..self }
    }

    /// The gate with other numbers in its configuration.
    #[must_use]
    pub const fn configured(self, config: &'static [(usize, u64)]) -> Self {
        Self { config, ..self }
    }
}

/// A gate of the real kind: what its clients are told, and what becomes of
/// what they say.
#[derive(Clone, Debug)]
pub struct SlotsGate {
    /// Of the client machine.
    pub settings: Arc<Settings>,
    /// What is wrong about it.
    pub variant: Variant,
    /// The scripts that differ.
    scripts: Vec<Patched>,
}

#[derive(Clone, Debug)]
struct Patched {
    real: &'static Script,
    text: Bytes,
    sha1: Bytes,
}

impl SlotsGate {
    /// A gate of this variant.
    ///
    /// # Panics
    /// If a patch does not fit the scripts: see [`scripts_of`].
    #[must_use]
    pub fn new(settings: Arc<Settings>, variant: Variant) -> Self {
        let scripts = match scripts_of(&variant) {
            Ok(scripts) => scripts,
            Err(error) => panic!("{error}"),
        };
        Self {
            settings,
            variant,
            scripts: scripts.into_iter().map(Patched::new).collect(),
        }
    }

    /// Whether it promises to keep its cap though the server loses what this
    /// fault loses.
    #[must_use]
    pub fn survives(&self, loss: FaultKind) -> bool {
        let waits = self.variant.quirk.waits() && loss == FaultKind::ServerFailover;
        self.variant.guarded || waits
    }

    /// The texts of the scripts that differ.
    pub fn texts(&self) -> impl Iterator<Item = &Bytes> {
        self.scripts.iter().map(|script| &script.text)
    }

    /// The command as this variant says it: other scripts, other numbers.
    #[must_use]
    pub fn translate(&self, mut command: Command) -> Command {
        let is_call = matches!(command.name(), b"EVALSHA" | b"EVAL");
        if is_call && let Some(text) = command.args.get_mut(6) {
            for (word, number) in self.variant.config {
                *text = replaced(text, *word, *number);
            }
        }
        if self.scripts.is_empty() {
            return command;
        }
        for arg in command.args.iter_mut().skip(1).take(2) {
            for script in &self.scripts {
                if **arg == *script.real.sha1.as_bytes() {
                    *arg = script.sha1.clone();
                } else if arg.len() > 40 && **arg == *script.real.text.as_bytes() {
                    *arg = script.text.clone();
                }
            }
        }
        command
    }

    /// The script that this digest or text stands for.
    #[must_use]
    pub fn script(&self, sha_or_text: &[u8]) -> Option<&'static Script> {
        let patched = |s: &&Patched| *s.sha1 == *sha_or_text || *s.text == *sha_or_text;
        if let Some(script) = self.scripts.iter().find(patched) {
            return Some(script.real);
        }
        script::ALL
            .into_iter()
            .chain(script::GUARDED_ALL)
            .find(|s| s.sha1.as_bytes() == sha_or_text || s.text.as_bytes() == sha_or_text)
    }
}

impl Patched {
    fn new((real, text): (&'static Script, String)) -> Self {
        let mut sha1 = String::with_capacity(40);
        for byte in Sha1::digest(text.as_bytes()) {
            let _ = write!(sha1, "{byte:02x}");
        }
        Self {
            real,
            text: Bytes::from(text.as_bytes()),
            sha1: Bytes::from(sha1.as_bytes()),
        }
    }
}

/// The scripts that the patches of a variant change, with their patched texts.
///
/// # Errors
/// If a passage does not stand exactly once in its file, or in a script that
/// includes the file; says which.
pub fn scripts_of(variant: &Variant) -> Result<Vec<(&'static Script, String)>, String> {
    let family = if variant.guarded {
        script::GUARDED_ALL
    } else {
        script::ALL
    };
    let mut changed: Vec<(&'static Script, Cow<'static, str>)> = family
        .into_iter()
        .map(|script| (script, Cow::Borrowed(script.text)))
        .collect();
    for patch in variant.patches {
        let own = patch
            .file
            .strip_prefix("slots/")
            .and_then(|file| file.strip_suffix(".lua"));
        let mut applied = 0;
        for (script, text) in &mut changed {
            if own.is_some_and(|name| name != script.name) {
                continue;
            }
            match text.matches(patch.from).count() {
                // A part that this script does not include.
                0 if own.is_none() => continue,
                n if n == 1 || INLINED.contains(&patch.file) => {
                    *text = Cow::Owned(text.replace(patch.from, patch.to));
                    applied += 1;
                }
                n => {
                    return Err(format!(
                        "the passage `{}` of lua/{} stands {n} times in the script `{}`, not once",
                        patch.from, patch.file, script.name
                    ));
                }
            }
        }
        if applied == 0 {
            return Err(format!(
                "the passage `{}` is no longer in lua/{}",
                patch.from, patch.file
            ));
        }
    }
    let patched = changed.into_iter().filter_map(|(script, text)| match text {
        Cow::Owned(text) => Some((script, text)),
        Cow::Borrowed(_) => None,
    });
    Ok(patched.collect())
}

/// Parts that a script may contain more than once.
const INLINED: [&str; 2] = ["lib/step.lua", "lib/bury.lua"];

/// Numbers separated by single spaces, with another one in this place.
fn replaced(text: &[u8], word: usize, number: u64) -> Bytes {
    let text = String::from_utf8_lossy(text);
    let words = text.split(' ').enumerate().map(|(at, old)| {
        if at == word {
            Cow::Owned(number.to_string())
        } else {
            Cow::Borrowed(old)
        }
    });
    let words: Vec<_> = words.collect();
    Bytes::from(words.join(" ").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEN: Patch = Patch {
        file: "lib/promote.lua",
        from: "  while held < capacity do",
        to: "  while held <= capacity do",
    };

    #[test]
    fn a_patch_changes_every_script_that_includes_its_file() {
        let scripts = scripts_of(&Variant::patched(&[SEEN])).expect("it fits");
        let names: Vec<&str> = scripts.iter().map(|(script, _)| script.name).collect();
        assert!(
            names.contains(&"acquire") && names.contains(&"sweep"),
            "{names:?}"
        );
        assert!(!names.contains(&"status"), "{names:?}");
        for (script, text) in scripts {
            assert_ne!(script.text, text);
        }
    }

    fn changed_by(patch: Patch) -> Result<Vec<(&'static Script, String)>, String> {
        // Leaked: patches are static everywhere else.
        scripts_of(&Variant::patched(Box::leak(Box::new([patch]))))
    }

    #[test]
    fn a_patch_that_does_not_fit_is_refused() {
        let gone = Patch {
            from: "while held > 77",
            ..SEEN
        };
        assert!(changed_by(gone).is_err_and(|e| e.contains("no longer in")));
        let vague = Patch {
            from: "held",
            ..SEEN
        };
        assert!(changed_by(vague).is_err_and(|e| e.contains("times in the script")));
        let elsewhere = Patch {
            file: "slots/poll.lua",
            ..SEEN
        };
        assert!(changed_by(elsewhere).is_ok(), "the whole script is patched");
    }

    #[test]
    fn numbers_of_the_configuration_are_replaced() {
        assert_eq!(&*replaced(b"20 60000 0 0", 1, 0), b"20 0 0 0");
    }
}
