//! Libraries of functions: what a server knows of them.
//!
//! A library is its code, what it registered when it was loaded, and what it
//! keeps in its own variables, as a text: a server is a value, and the functions
//! themselves are made anew for each call.

use std::collections::BTreeMap;
use std::rc::Rc;

use sluice_core::redis::Bytes;

/// What scripts and functions say of themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Flags(u8);

impl Flags {
    /// It promises to change nothing.
    pub(super) const NO_WRITES: Self = Self(1);
    /// It may write though memory is short.
    pub(super) const ALLOW_OOM: Self = Self(2);
    /// It may run on a replica that has lost its master.
    pub(super) const ALLOW_STALE: Self = Self(4);
    /// It refuses to run in a cluster.
    pub(super) const NO_CLUSTER: Self = Self(8);
    /// It may use keys of several slots.
    pub(super) const CROSSES: Self = Self(16);

    /// Bit by bit.
    const NAMES: [&str; 5] = [
        "no-writes",
        "allow-oom",
        "allow-stale",
        "no-cluster",
        "allow-cross-slot-keys",
    ];

    /// Adds the flag of this name; false if there is none.
    pub(super) fn add(&mut self, name: &[u8], any_case: bool) -> bool {
        let is = |known: &str| {
            known.as_bytes() == name || any_case && known.as_bytes().eq_ignore_ascii_case(name)
        };
        let found = Self::NAMES.iter().position(|known| is(known));
        self.0 |= found.map_or(0, |bit| 1 << bit);
        found.is_some()
    }

    pub(super) fn has(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }

    /// In the order in which Redis lists them.
    pub(super) fn names(self) -> impl Iterator<Item = &'static str> {
        let names = Self::NAMES.into_iter().enumerate();
        names.filter_map(move |(bit, name)| (self.0 >> bit & 1 == 1).then_some(name))
    }
}

/// A function, as its library registered it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Function {
    pub(super) description: Option<Bytes>,
    pub(super) flags: Flags,
}

/// A library: its text with the first line, and what is in it by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Library {
    pub(super) code: Bytes,
    pub(super) functions: BTreeMap<Bytes, Function>,
    pub(super) locals: Locals,
}

/// What the variables of a library hold between two calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Locals {
    /// What its text says.
    #[default]
    AsLoaded,
    /// Something else, as the interpreter writes it down.
    Changed(Bytes),
    /// Something that cannot be written down, and why.
    Lost(Bytes),
}

/// All libraries by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Libraries(Rc<BTreeMap<Bytes, Library>>);

impl Libraries {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Bytes, &Library)> {
        self.0.iter()
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<&Library> {
        self.0.get(name)
    }

    /// The function of this name, in any case: its own name, itself, and its
    /// library with its name. O(libraries · log functions) as a rule.
    pub(super) fn function(&self, name: &[u8]) -> Option<(&Bytes, &Function, (&Bytes, &Library))> {
        let of = |library: &'_ Library, name: &[u8]| {
            let all = library.functions.keys();
            let mut all = all.filter(|known| known.eq_ignore_ascii_case(name));
            all.next().cloned()
        };
        self.0.iter().find_map(|(of_name, library)| {
            let known = match library.functions.get_key_value(name) {
                Some((known, _)) => known.clone(),
                None => of(library, name)?,
            };
            let (known, function) = library.functions.get_key_value(&known)?;
            Some((known, function, (of_name, library)))
        })
    }

    /// The first of these functions, in any case, that is in a library.
    pub(super) fn first_known<'a>(
        &self,
        mut names: impl Iterator<Item = &'a Bytes>,
    ) -> Option<&'a Bytes> {
        names.find(|name| self.function(name).is_some())
    }

    /// Takes a library in, in the place of one of the same name.
    pub(super) fn insert(&mut self, name: Bytes, library: Library) {
        Rc::make_mut(&mut self.0).insert(name, library);
    }

    /// The variables of this library have come to hold this.
    pub(super) fn set_locals(&mut self, name: &[u8], locals: Locals) {
        if self.0.get(name).is_some_and(|known| known.locals != locals)
            && let Some(library) = Rc::make_mut(&mut self.0).get_mut(name)
        {
            library.locals = locals;
        }
    }

    /// They are loaded anew.
    pub(super) fn reload(&mut self) {
        for library in Rc::make_mut(&mut self.0).values_mut() {
            library.locals = Locals::AsLoaded;
        }
    }

    /// Whether there was one.
    pub(super) fn remove(&mut self, name: &[u8]) -> bool {
        self.0.contains_key(name) && Rc::make_mut(&mut self.0).remove(name).is_some()
    }
}

/// Names are made of letters, digits and underscores.
pub(super) fn is_name(name: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    !name.is_empty() && name.iter().all(fits)
}

/// The first line of a library: its name, and the code without that line, but
/// with its end. An error is a text without code.
pub(super) fn head(code: &[u8]) -> Result<(Vec<u8>, &[u8]), Vec<u8>> {
    if !code.starts_with(b"#!") {
        return Err(b"Missing library metadata".to_vec());
    }
    let invalid = || b"Invalid library metadata".to_vec();
    let end = code.iter().position(|byte| *byte == b'\n');
    let end = end.ok_or_else(invalid)?;
    let parts = split(&code[..end]).ok_or_else(invalid)?;
    let (engine, options) = parts.split_first().ok_or_else(invalid)?;
    let mut name = None;
    for option in options {
        let value = option
            .get(..5)
            .filter(|word| word.eq_ignore_ascii_case(b"name="));
        if value.is_none() {
            return Err([b"Invalid metadata value given: ", &option[..]].concat());
        }
        if name.replace(option[5..].to_vec()).is_some() {
            let text = b"Invalid metadata value, name argument was given multiple times";
            return Err(text.to_vec());
        }
    }
    let name = name.ok_or_else(|| b"Library name was not given".to_vec())?;
    if !is_name(&name) {
        return Err(BAD_LIBRARY_NAME.as_bytes().to_vec());
    }
    if !engine[2..].eq_ignore_ascii_case(b"lua") {
        return Err([b"Engine '", &engine[2..], b"' not found"].concat());
    }
    Ok((name, &code[end..]))
}

/// What Redis says to such a name.
pub(super) const BAD_LIBRARY_NAME: &str = "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long";

/// Words as a shell has them: in double quotes with escapes, or in single ones;
/// `None` if a quote is not closed, or something else follows it at once.
fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line.trim_ascii_start();
    while !rest.is_empty() {
        let mut word = Vec::new();
        while let Some((first, after)) = rest.split_first() {
            rest = after;
            match first {
                b' ' | b'\t' | b'\r' | b'\n' | 0 => break,
                b'"' => rest = quoted(after, &mut word)?,
                b'\'' => {
                    let end = after.iter().position(|byte| *byte == b'\'')?;
                    word.extend_from_slice(&after[..end]);
                    rest = closed(&after[end + 1..])?;
                }
                other => word.push(*other),
            }
        }
        words.push(word);
        rest = rest.trim_ascii_start();
    }
    Some(words)
}

/// The inside of double quotes; what follows them.
fn quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (first, after) = rest.split_first()?;
        rest = after;
        match (first, after) {
            (b'"', _) => return closed(after),
            (b'\\', [b'x', a, b, more @ ..]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {
                let digits = [*a, *b];
                let text = std::str::from_utf8(&digits).ok()?;
                word.push(u8::from_str_radix(text, 16).ok()?);
                rest = more;
            }
            (b'\\', [escaped, more @ ..]) => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                rest = more;
            }
            (other, _) => word.push(*other),
        }
    }
}

/// Nothing may follow a closing quote at once.
fn closed(rest: &[u8]) -> Option<&[u8]> {
    let apart = rest.first().is_none_or(u8::is_ascii_whitespace);
    apart.then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_names_the_library() {
        let name = |code: &str| {
            let read = head(code.as_bytes());
            read.map(|(name, _)| String::from_utf8_lossy(&name).into_owned())
                .map_err(|text| String::from_utf8_lossy(&text).into_owned())
        };
        assert_eq!(name("#!lua name=a_1\nx").as_deref(), Ok("a_1"));
        assert_eq!(name("#!LUA \"name=a\"\nx").as_deref(), Ok("a"));
        assert_eq!(head(b"#!lua name=a\nx").unwrap().1, b"\nx");
        for (code, text) in [
            ("x", "Missing library metadata"),
            ("#!lua name=a", "Invalid library metadata"),
            ("#!lua name=\"a\nx", "Invalid library metadata"),
            ("#!lua\nx", "Library name was not given"),
            ("#!lua name=a-b\nx", BAD_LIBRARY_NAME),
            ("#!js name=a\nx", "Engine 'js' not found"),
            ("#!lua name=a x=b\nx", "Invalid metadata value given: x=b"),
        ] {
            assert_eq!(name(code), Err(text.to_owned()), "{code}");
        }
    }

    #[test]
    fn quotes_are_those_of_a_shell() {
        let split = |line: &str| {
            let words = split(line.as_bytes())?;
            let text = |word: &Vec<u8>| String::from_utf8_lossy(word).into_owned();
            Some(words.iter().map(text).collect::<Vec<_>>().join("|"))
        };
        assert_eq!(
            split("a  'b c' \"d\\x41\\n\"").as_deref(),
            Some("a|b c|dA\n")
        );
        assert_eq!(split("\"a\"b"), None);
        assert_eq!(split("'a"), None);
    }
}
