//! A place of one's own on a server that may be somebody else's.

use std::hash::{BuildHasher, Hasher, RandomState};

use sluice_core::redis::{Command, Reply};

use super::{Connection, Error};

/// A random key prefix. Dropping it removes the keys under it, and no others.
///
/// Only letters, digits and colons occur in the prefix, so it means itself in a
/// `MATCH` pattern too.
#[derive(Debug)]
pub struct Space {
    prefix: String,
    connection: Connection,
}

impl Space {
    pub(super) fn new(connection: Connection) -> Self {
        // `RandomState` is the randomness that std has: fresh keys per process
        // and per call, which is all that a prefix needs.
        let random = RandomState::new().build_hasher().finish();
        Self {
            prefix: format!("sluice:verify:{random:016x}:"),
            connection,
        }
    }

    /// The prefix; put it before every key.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A key under the prefix.
    #[must_use]
    pub fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The keys that exist under the prefix, sorted. O(keys of the database).
    ///
    /// # Errors
    /// As [`Connection::call`].
    pub fn keys(&mut self) -> Result<Vec<String>, Error> {
        let mut found = Vec::new();
        let mut cursor = "0".to_owned();
        loop {
            let scan = Command::new("SCAN")
                .arg(&cursor)
                .arg("MATCH")
                .arg(format!("{}*", self.prefix))
                .arg("COUNT")
                .num(1000);
            let Reply::Array(page) = self.connection.call(&scan)? else {
                break;
            };
            let [Reply::Bulk(next), Reply::Array(keys)] = page.as_slice() else {
                break;
            };
            found.extend(
                keys.iter()
                    .filter_map(|key| Some(String::from_utf8_lossy(key.as_bytes()?).into_owned())),
            );
            cursor = String::from_utf8_lossy(next).into_owned();
            if cursor == "0" {
                break;
            }
        }
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// Removes the keys under the prefix now. Returns how many there were.
    ///
    /// # Errors
    /// As [`Connection::call`].
    pub fn clear(&mut self) -> Result<usize, Error> {
        let keys = self.keys()?;
        for some in keys.chunks(500) {
            let unlink = some.iter().fold(Command::new("UNLINK"), Command::arg);
            self.connection.call(&unlink)?;
        }
        Ok(keys.len())
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // A server that is gone has nothing left to clean.
        let _ = self.clear();
    }
}
