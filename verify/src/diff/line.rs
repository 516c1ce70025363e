//! One command of a sequence, perhaps through a script.

use std::sync::OnceLock;

use super::words::{self, fill};

/// A template, which values fill it, and how it is called. Small numbers, so
/// that whoever draws or shrinks them needs to know nothing of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Which template.
    pub template: usize,
    /// Most numbers call it as it is; some through a script.
    pub through: usize,
    /// Which value for each placeholder.
    pub picks: [usize; 8],
}

/// What a script may do with a command in its arguments.
pub(super) const SCRIPTS: [&str; 5] = [
    "return redis.call(unpack(ARGV))",
    "return redis.pcall(unpack(ARGV))",
    "return {pcall(redis.call, unpack(ARGV))}",
    // What the script sees, as text, where nothing has an order of its own.
    "local function show(v) \
       if type(v) ~= 'table' then return type(v) .. ':' .. tostring(v) end \
       if v.map == nil and v.set == nil then \
         local parts = {} \
         for i, item in ipairs(v) do parts[i] = show(item) end \
         for _, name in ipairs({'ok', 'err', 'double', 'big_number', 'format', 'string', 'verbatim_string'}) do \
           if v[name] ~= nil then parts[#parts + 1] = name .. '=' .. show(v[name]) end \
         end \
         return '{' .. table.concat(parts, ',') .. '}' \
       end \
       local parts = {} \
       for k, item in pairs(v.map or v.set) do parts[#parts + 1] = show(k) .. '=' .. show(item) end \
       table.sort(parts) \
       return (v.map and 'map' or 'set') .. '{' .. table.concat(parts, ',') .. '}' \
     end \
     redis.setresp(3) \
     return show(redis.pcall(unpack(ARGV)))",
    "redis.setresp(3) return redis.pcall(unpack(ARGV))",
];

/// The first of the scripts that ask for the third protocol.
pub(super) const TYPED: usize = 3;

/// One command in so many goes through a script.
const PLAIN: usize = 5;

impl Line {
    /// The words of the command.
    ///
    /// # Panics
    /// If there is no such template.
    #[must_use]
    pub fn words(&self) -> Vec<Vec<u8>> {
        let words = fill(templates()[self.template], &self.picks);
        let script = self.through / PLAIN % SCRIPTS.len();
        if !self.through.is_multiple_of(PLAIN) || !callable(&words, script) {
            return words;
        }
        let eval = [b"EVAL", SCRIPTS[script].as_bytes(), b"0"].map(<[u8]>::to_vec);
        eval.into_iter().chain(words).collect()
    }
}

/// Whether it is worth while: what scripts may not call needs few tries, and
/// what is left open is left open inside scripts, too.
fn callable(words: &[Vec<u8>], script: usize) -> bool {
    const OWN: [&str; 6] = [
        "EVAL", "EVAL_RO", "EVALSHA", "FCALL", "FCALL_RO", "FUNCTION",
    ];
    const OPEN: [&str; 11] = [
        "MEMORY",
        "HKEYS",
        "HVALS",
        "HRANDFIELD",
        "ZRANDMEMBER",
        "SRANDMEMBER",
        "SPOP",
        "HSCAN",
        "SSCAN",
        "XINFO",
        "XPENDING",
    ];
    let is = |names: &[&str]| names.iter().any(|name| name.as_bytes() == words[0]);
    !is(&OWN) && (script < TYPED || !is(&OPEN))
}

fn templates() -> &'static [&'static str] {
    static ALL: OnceLock<Vec<&'static str>> = OnceLock::new();
    ALL.get_or_init(words::templates)
}
