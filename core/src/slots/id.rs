//! What may be an id when it comes from outside.

use core::fmt;

/// Longest id in bytes.
pub const ID_BYTES_MAX: usize = 512;

/// Why bytes from outside cannot be an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IdError {
    /// It has no bytes.
    Empty,
    /// It has this many bytes, more than [`ID_BYTES_MAX`].
    TooLong(usize),
    /// There is a control character at this byte offset.
    Control(usize),
}

/// Accepts 1 to [`ID_BYTES_MAX`] bytes without ASCII control characters
/// (0x00–0x1F and 0x7F). Other bytes, UTF-8 or not, are the caller's affair:
/// ids are compared as bytes. [`super::Slots`] itself takes any `Id`; this check
/// belongs to the edges where ids come in. O(length), at most `ID_BYTES_MAX`.
///
/// # Errors
/// What is wrong, where, and what would be right.
pub fn validate_id(id: &[u8]) -> Result<(), IdError> {
    if id.is_empty() {
        return Err(IdError::Empty);
    }
    if id.len() > ID_BYTES_MAX {
        return Err(IdError::TooLong(id.len()));
    }
    match id.iter().position(u8::is_ascii_control) {
        Some(at) => Err(IdError::Control(at)),
        None => Ok(()),
    }
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "the id is empty: give it 1 to {ID_BYTES_MAX} bytes"),
            Self::TooLong(len) => write!(
                f,
                "the id has {len} bytes, the limit is {ID_BYTES_MAX}: use a shorter one, or its digest"
            ),
            Self::Control(at) => write!(
                f,
                "the id has a control character at byte {at}: leave it out or encode it"
            ),
        }
    }
}

impl core::error::Error for IdError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{string::ToString, vec};

    #[test]
    fn bad_ids_get_a_clear_message() {
        assert_eq!(validate_id(b"user:42"), Ok(()));
        assert_eq!(validate_id("사용자".as_bytes()), Ok(()));
        assert_eq!(validate_id(&vec![b'x'; ID_BYTES_MAX]), Ok(()));
        let message = |id: &[u8]| validate_id(id).unwrap_err().to_string();
        assert!(message(b"").contains("empty"));
        assert!(message(&vec![b'x'; 10_000]).contains("10000 bytes, the limit is 512"));
        assert!(message(b"a\nb").contains("control character at byte 1"));
        assert!(message(b"ab\x7f").contains("byte 2"));
        assert!(message(b"\0").contains("byte 0"));
    }
}
