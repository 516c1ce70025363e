//! Keys, their values, and when they expire.
//!
//! A key is gone when the server's millisecond is *past* its expiry, and is
//! removed when somebody next looks at it; nobody who reads, command or
//! observer, can tell that it still occupies memory. Within one command (a
//! whole script too) the time stands still, so a key cannot expire halfway.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::rc::Rc;

use sluice_core::redis::Bytes;

use super::SessionId;
use super::command::{Arg, Fail};
use super::hash;
use super::memory::Used;
use super::notify::Change;
use super::value::{Hash, List, Set, Stream, Typed, Value, ZSet};
use crate::digest::Digest;

/// A value and its expiry in milliseconds since the Unix epoch.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) value: Value,
    pub(super) expires: Option<i64>,
    /// Means something only while accesses are counted.
    pub(super) used: Used,
}

/// Keys with what they hold, shared between clones until one writes.
pub(super) type Entries = Rc<BTreeMap<Bytes, Entry>>;

/// Shared bytes are compared faster than slices are.
fn find<'a>(entries: &'a BTreeMap<Bytes, Entry>, key: Arg) -> Option<&'a Entry> {
    match key {
        Arg::Shared(key) => entries.get(key),
        Arg::Plain(key) => entries.get(key),
    }
}

fn find_mut<'a>(entries: &'a mut BTreeMap<Bytes, Entry>, key: Arg) -> Option<&'a mut Entry> {
    match key {
        Arg::Shared(key) => entries.get_mut(key),
        Arg::Plain(key) => entries.get_mut(key),
    }
}

/// The keys of one database. Clones are O(1); the first write after a clone copies
/// the directory, and the value it touches.
///
/// The public getters are for observers: they see what a client would see at
/// `now_us` (microseconds since the Unix epoch), and change nothing.
#[derive(Clone, Debug, Default)]
pub struct Keyspace {
    entries: Entries,
    /// The server's time during the present command.
    pub(super) now_ms: i64,
    /// Whether accesses are counted.
    counts_use: bool,
    /// Some key may have an expiry, or may have had one. Until then nobody looks
    /// for keys whose time is over.
    may_expire: bool,
    /// Who watches what, for `EXEC`; with the key's absence when it began.
    watched: Vec<(Bytes, SessionId)>,
    /// Watchers whose keys have changed.
    dirty: Vec<SessionId>,
    /// Keys that parked clients wait for.
    awaited: BTreeSet<Bytes>,
    /// Those of them that have changed, in order.
    ready: VecDeque<Bytes>,
    /// Keys that had expired when somebody looked, and changes, since these
    /// were last asked for.
    pub(super) expired: u64,
    pub(super) changes: u64,
    /// What happened to keys, while somebody wants to know.
    noted: Option<Vec<(Bytes, Change)>>,
    /// The last key that [`Keyspace::sweep`] looked at, if there may be more.
    swept: Option<Bytes>,
}

impl Keyspace {
    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &[u8], now_us: u64) -> Option<&Value> {
        let entry = self.entries.get(key)?;
        alive(entry, (now_us / 1000) as i64).then_some(&entry.value)
    }

    /// The string at a key; `None` also when it holds another type.
    #[must_use]
    pub fn string(&self, key: &[u8], now_us: u64) -> Option<&Bytes> {
        match self.get(key, now_us)? {
            Value::Str(bytes) => Some(bytes),
            Value::Hash(_) | Value::List(_) | Value::Set(_) | Value::ZSet(_) | Value::Stream(_) => {
                None
            }
        }
    }

    /// The hash at a key; `None` also when it holds another type.
    #[must_use]
    pub fn hash(&self, key: &[u8], now_us: u64) -> Option<&Hash> {
        Hash::of(self.get(key, now_us)?)
    }

    /// The list at a key; `None` also when it holds another type.
    #[must_use]
    pub fn list(&self, key: &[u8], now_us: u64) -> Option<&List> {
        List::of(self.get(key, now_us)?)
    }

    /// The set at a key; `None` also when it holds another type.
    #[must_use]
    pub fn set(&self, key: &[u8], now_us: u64) -> Option<&Set> {
        Set::of(self.get(key, now_us)?)
    }

    /// The sorted set at a key; `None` also when it holds another type.
    #[must_use]
    pub fn zset(&self, key: &[u8], now_us: u64) -> Option<&ZSet> {
        ZSet::of(self.get(key, now_us)?)
    }

    /// The stream at a key; `None` also when it holds another type.
    #[must_use]
    pub fn stream(&self, key: &[u8], now_us: u64) -> Option<&Stream> {
        Stream::of(self.get(key, now_us)?)
    }

    /// When the key expires, in milliseconds since the Unix epoch; `None`
    /// without key or without expiry.
    #[must_use]
    pub fn expires_at_ms(&self, key: &[u8], now_us: u64) -> Option<u64> {
        self.get(key, now_us)?;
        self.entries.get(key)?.expires.map(|at| at.max(0) as u64)
    }

    /// All keys with their values, in the keys' byte order.
    pub fn iter(&self, now_us: u64) -> impl Iterator<Item = (&Bytes, &Value)> {
        let now_ms = (now_us / 1000) as i64;
        self.entries
            .iter()
            .filter(move |(_, entry)| alive(entry, now_ms))
            .map(|(key, entry)| (key, &entry.value))
    }

    /// A digest of all that a client could find out at `now_us` about keys,
    /// values and absolute expiries. O(keys).
    #[must_use]
    pub fn digest(&self, now_us: u64) -> u64 {
        let now_ms = (now_us / 1000) as i64;
        let mut sum = 0u64;
        for (key, entry) in self.entries.iter().filter(|(_, e)| alive(e, now_ms)) {
            let expires = entry.expires.map_or(0, |at| at as u64 ^ (1 << 63));
            let mut value = entry.value.digest() ^ expires.rotate_left(17);
            if self.counts_use {
                value ^= Digest::of(&entry.used);
            }
            sum = sum.wrapping_add(hash::pair(key, &value.to_le_bytes()));
        }
        sum
    }
}

fn alive(entry: &Entry, now_ms: i64) -> bool {
    entry.expires.is_none_or(|at| now_ms <= at)
}

/// What commands do with it. All of it is as of [`Keyspace::now_ms`].
impl Keyspace {
    /// The entry, after removing it if it has expired; this is a use of it.
    pub(super) fn entry<'a>(&mut self, key: impl Into<Arg<'a>>) -> Option<&Entry> {
        let key = key.into();
        if self.counts_use
            && let Some(entry) = find_mut(Rc::make_mut(&mut self.entries), key)
        {
            entry.used.again(self.now_ms);
        }
        self.peek(key)
    }

    /// The same, without using it.
    pub(super) fn peek<'a>(&mut self, key: impl Into<Arg<'a>>) -> Option<&Entry> {
        let key = key.into();
        if self.may_expire {
            let entry = find(&self.entries, key)?;
            if !alive(entry, self.now_ms) {
                self.expired += 1;
                self.lose(&key, Change::Expired);
                return None;
            }
        }
        find(&self.entries, key)
    }

    pub(super) fn exists<'a>(&mut self, key: impl Into<Arg<'a>>) -> bool {
        self.peek(key).is_some()
    }

    /// The value of this type, if the key exists.
    pub(super) fn read<'a, T: Typed>(
        &mut self,
        key: impl Into<Arg<'a>>,
    ) -> Result<Option<&T>, Fail> {
        match self.entry(key) {
            None => Ok(None),
            Some(entry) => T::of(&entry.value).map(Some).ok_or(Fail::WRONG_TYPE),
        }
    }

    /// The value of this type for change, if the key exists. The caller says
    /// [`Keyspace::changed`] or [`Keyspace::shrunk`] when it did change it.
    pub(super) fn edit<'a, T: Typed>(
        &mut self,
        key: impl Into<Arg<'a>>,
    ) -> Result<Option<&mut T>, Fail> {
        let key = key.into();
        if self.read::<T>(key)?.is_none() {
            return Ok(None);
        }
        let entry = find_mut(Rc::make_mut(&mut self.entries), key);
        Ok(entry.and_then(|entry| T::of_mut(&mut entry.value)))
    }

    /// The value of this type for change, made empty if the key is missing.
    pub(super) fn upsert<T: Typed>(&mut self, key: &Arg) -> Result<&mut T, Fail> {
        if self.read::<T>(key)?.is_none() {
            self.note(key, Change::New);
            let entry = self.new_entry(T::default().wrap(), None);
            Rc::make_mut(&mut self.entries).insert(key.shared(), entry);
        }
        let entry = find_mut(Rc::make_mut(&mut self.entries), *key);
        entry
            .and_then(|entry| T::of_mut(&mut entry.value))
            .ok_or(Fail::WRONG_TYPE)
    }

    /// The string, if the key exists.
    pub(super) fn read_str<'a>(&mut self, key: impl Into<Arg<'a>>) -> Result<Option<&Bytes>, Fail> {
        match self.entry(key) {
            None => Ok(None),
            Some(Entry {
                value: Value::Str(bytes),
                ..
            }) => Ok(Some(bytes)),
            Some(_) => Err(Fail::WRONG_TYPE),
        }
    }

    /// Replaces the string and keeps the expiry.
    pub(super) fn write_str(&mut self, key: &Arg, value: Bytes) {
        if self.noted.is_some() && !self.entries.contains_key(&**key) {
            self.note(key, Change::New);
        }
        let new = self.new_entry(Value::Str(value), None);
        let entries = Rc::make_mut(&mut self.entries);
        match find_mut(entries, *key) {
            Some(entry) => entry.value = new.value,
            None => {
                entries.insert(key.shared(), new);
            }
        }
        self.changed(key);
    }

    /// Changes the string in place, made at least `len` bytes long by zeros at
    /// its end, and empty before that if the key is missing. It has changed if
    /// the edit says so, or if it grew. Copies the string if it must grow, or if
    /// somebody else holds it.
    pub(super) fn edit_str<T>(
        &mut self,
        key: &Arg,
        len: usize,
        edit: impl FnOnce(&mut [u8]) -> (T, bool),
    ) -> Result<T, Fail> {
        if self.read_str(key)?.is_none() {
            self.note(key, Change::New);
            let entry = self.new_entry(Value::Str(Bytes::default()), None);
            Rc::make_mut(&mut self.entries).insert(key.shared(), entry);
        }
        let entry = Rc::make_mut(&mut self.entries).get_mut(&**key);
        let Some(Value::Str(text)) = entry.map(|entry| &mut entry.value) else {
            return Err(Fail::WRONG_TYPE);
        };
        let grows = text.len() < len;
        if grows {
            let mut copy = Vec::with_capacity(len);
            copy.extend_from_slice(text);
            copy.resize(len, 0);
            *text = Bytes::from(copy);
        }
        let (out, changed) = edit(text.make_mut());
        if changed || grows {
            self.changed(key);
        }
        Ok(out)
    }

    /// Puts a value there, whatever was there before.
    pub(super) fn put(&mut self, key: Bytes, value: Value, expires: Option<i64>) {
        if self.noted.is_some() && !self.entries.contains_key(&key) {
            self.note(&key, Change::New);
        }
        self.changed(&key);
        self.may_expire |= expires.is_some();
        let mut entry = self.new_entry(value, expires);
        if let Some(old) = self.entries.get(&key).filter(|_| self.counts_use) {
            entry.used = old.used;
            entry.used.again(self.now_ms);
        }
        Rc::make_mut(&mut self.entries).insert(key, entry);
    }

    /// Changes what is remembered of a key's use.
    pub(super) fn mark_used(&mut self, key: &[u8], mark: impl FnOnce(&mut Used)) {
        if let Some(entry) = Rc::make_mut(&mut self.entries).get_mut(key) {
            mark(&mut entry.used);
        }
    }

    const fn new_entry(&self, value: Value, expires: Option<i64>) -> Entry {
        Entry {
            value,
            expires,
            used: Used::first(self.now_ms),
        }
    }

    /// Begins or ends to count accesses. In the beginning all are new.
    pub(super) fn count_use(&mut self, counts: bool) {
        if counts && !self.counts_use {
            let entries = Rc::make_mut(&mut self.entries).values_mut();
            entries.for_each(|entry| entry.used = Used::first(self.now_ms));
        }
        self.counts_use = counts;
    }

    /// All keys, the expired but unvisited included.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&Bytes, &Entry)> {
        self.entries.iter()
    }

    /// Live keys at this time, in byte order.
    pub(super) fn live_entries(&self, now_ms: i64) -> impl Iterator<Item = (&Bytes, &Entry)> {
        self.entries
            .iter()
            .filter(move |(_, entry)| alive(entry, now_ms))
    }

    /// Removes the key; what was there.
    pub(super) fn remove(&mut self, key: &[u8]) -> Option<Entry> {
        self.lose(key, Change::Removed)
    }

    /// The same, and how it came about.
    pub(super) fn lose(&mut self, key: &[u8], how: Change) -> Option<Entry> {
        if !self.entries.contains_key(key) {
            return None;
        }
        self.note(key, how);
        self.touched(key);
        Rc::make_mut(&mut self.entries).remove(key)
    }

    /// Begins or ends to note what happens to keys.
    pub(super) fn note_changes(&mut self, notes: bool) {
        if notes != self.noted.is_some() {
            self.noted = notes.then(Vec::new);
        }
    }

    /// What was noted, which is then forgotten.
    pub(super) fn take_noted(&mut self) -> Vec<(Bytes, Change)> {
        self.noted.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn note(&mut self, key: &[u8], change: Change) {
        if let Some(noted) = &mut self.noted {
            noted.push((Bytes::from(key), change));
        }
    }

    /// The value of this type, if it is there, without using it.
    pub(super) fn read_quietly<T: Typed>(&self, key: &[u8]) -> Option<&T> {
        self.entries.get(key).and_then(|entry| T::of(&entry.value))
    }

    /// Whether the key has an expiry.
    pub(super) fn is_mortal(&self, key: &[u8]) -> bool {
        let entry = self.entries.get(key);
        entry.is_some_and(|entry| entry.expires.is_some())
    }

    /// Sets or clears the expiry of a key that exists; one in the past removes it.
    pub(super) fn expire(&mut self, key: &[u8], at: Option<i64>) {
        if at.is_some_and(|at| at <= self.now_ms) {
            self.remove(key);
        } else if let Some(entry) = Rc::make_mut(&mut self.entries).get_mut(key) {
            entry.expires = at;
            self.may_expire |= at.is_some();
            self.changed(key);
        }
    }

    /// The value was changed, and may have become empty: then the key goes.
    pub(super) fn shrunk<T: Typed>(&mut self, key: &[u8]) {
        let empty = self
            .entries
            .get(key)
            .and_then(|entry| T::of(&entry.value))
            .is_some_and(Typed::is_empty);
        if empty {
            self.remove(key);
        } else {
            self.changed(key);
        }
    }

    /// The value of this key was changed.
    pub(super) fn changed(&mut self, key: &[u8]) {
        self.note(key, Change::Changed);
        self.touched(key);
    }

    /// What is remembered beside the value was changed: a stream's groups. It is
    /// told of, and breaks no watch.
    pub(super) fn kept_book(&mut self, key: &[u8]) {
        self.note(key, Change::Changed);
        self.changes += 1;
    }

    /// In adding to a stream, its oldest entries were cut off.
    pub(super) fn trimmed(&mut self, key: &[u8]) {
        self.note(key, Change::Trimmed);
    }

    /// Those who wait for this key are to look again.
    pub(super) fn rouse(&mut self, key: &[u8]) {
        if let Some(key) = self.awaited.get(key)
            && !self.ready.contains(key)
        {
            self.ready.push_back(key.clone());
        }
    }

    fn touched(&mut self, key: &[u8]) {
        self.changes += 1;
        if self.watched.is_empty() && self.awaited.is_empty() {
            return;
        }
        self.rouse(key);
        for (watched, session) in &self.watched {
            if **watched == *key && !self.dirty.contains(session) {
                self.dirty.push(*session);
            }
        }
    }

    /// Live keys in byte order.
    pub(super) fn live_keys(&self) -> impl Iterator<Item = (&Bytes, &Value)> {
        self.iter(self.now_ms.max(0) as u64 * 1000)
    }

    /// Number of keys, the expired but unvisited included, as `DBSIZE` counts.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many keys have an expiry. O(keys).
    pub(super) fn mortal(&self) -> usize {
        let entries = self.entries.values();
        entries.filter(|entry| entry.expires.is_some()).count()
    }

    /// Looks at so many keys, in byte order and from where it stopped before,
    /// and removes those that have expired.
    pub(super) fn sweep(&mut self, most: usize) {
        let from = self.swept.take();
        let from = from.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let range = (self.entries).range::<[u8], _>((from, Bound::Unbounded));
        let mut gone = Vec::new();
        let mut last = None;
        for (count, (key, entry)) in range.enumerate() {
            if count == most {
                break;
            }
            if !alive(entry, self.now_ms) {
                gone.push(key.clone());
            }
            last = (count + 1 == most).then(|| key.clone());
        }
        self.swept = last;
        for key in gone {
            self.peek(&key);
        }
    }

    /// Keys that have expired were never there: nobody is told, nothing counted.
    pub(super) fn forget_expired(&mut self, now_ms: i64) {
        if !self.entries.values().all(|entry| alive(entry, now_ms)) {
            Rc::make_mut(&mut self.entries).retain(|_, entry| alive(entry, now_ms));
        }
    }

    pub(super) fn clear(&mut self) {
        if !self.watched.is_empty() || !self.awaited.is_empty() {
            let keys: Vec<Bytes> = self.entries.keys().cloned().collect();
            for key in keys {
                self.touched(&key);
            }
        }
        self.entries = Rc::default();
    }

    /// Whether there is nothing in it, nor anything to remember.
    pub(super) fn is_blank(&self) -> bool {
        let watched = !self.watched.is_empty() || !self.dirty.is_empty();
        self.entries.is_empty() && !watched && self.awaited.is_empty()
    }

    /// Exchanges the keys with others, which are returned. Watches stay: they
    /// are on names, and every key that came or went has changed.
    pub(super) fn exchange(&mut self, entries: Entries) -> Entries {
        let old = std::mem::replace(&mut self.entries, entries);
        self.may_expire = true; // for all that is known
        if !self.watched.is_empty() || !self.awaited.is_empty() {
            let keys: Vec<Bytes> = old.keys().chain(self.entries.keys()).cloned().collect();
            for key in keys {
                self.touched(&key);
            }
        }
        old
    }

    /// All keys, to be shared; they stay here, too.
    pub(super) fn share(&self) -> Entries {
        Entries::clone(&self.entries)
    }

    /// The same keys, with nobody watching.
    pub(super) fn without_watches(&self) -> Self {
        Self {
            entries: self.entries.clone(),
            now_ms: self.now_ms,
            counts_use: self.counts_use,
            may_expire: self.may_expire,
            ..Self::default()
        }
    }

    pub(super) fn watch(&mut self, key: &Arg, session: SessionId) {
        let _ = self.peek(key);
        let pair = (key.shared(), session);
        if !self.watched.contains(&pair) {
            self.watched.push(pair);
        }
    }

    /// Ends all watching of a session; whether any of its keys had changed.
    pub(super) fn unwatch(&mut self, session: SessionId) -> bool {
        if self.watched.is_empty() {
            return false;
        }
        let mut dirty = self.dirty.contains(&session);
        for (key, watcher) in &self.watched {
            let expired = self
                .entries
                .get(key)
                .is_some_and(|e| !alive(e, self.now_ms));
            dirty |= *watcher == session && expired;
        }
        self.watched.retain(|(_, watcher)| *watcher != session);
        self.dirty.retain(|watcher| *watcher != session);
        dirty
    }

    /// Somebody waits for this key to change.
    pub(super) fn await_change(&mut self, key: Bytes) {
        self.awaited.insert(key);
    }

    /// Nobody waits for this key any more.
    pub(super) fn await_no_more(&mut self, key: &[u8]) {
        self.awaited.remove(key);
    }

    /// The next awaited key that has changed.
    pub(super) fn pop_ready(&mut self) -> Option<Bytes> {
        self.ready.pop_front()
    }

    /// Keys that somebody waits for, and those of them that have changed.
    pub(super) fn awaited(&self) -> (&BTreeSet<Bytes>, &VecDeque<Bytes>) {
        (&self.awaited, &self.ready)
    }

    /// For the digest: who watches what, and whose watch is broken.
    pub(super) fn watches(&self) -> (&[(Bytes, SessionId)], &[SessionId]) {
        (&self.watched, &self.dirty)
    }
}
