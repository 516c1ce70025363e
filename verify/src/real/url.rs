//! `redis://[user:password@]host[:port][/database]`, and clear words for
//! everything that is not.

use std::fmt;
use std::str::FromStr;

use super::Error;

const PORT: u16 = 6379;

/// Where a server is, and how to be let in.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: u32,
}

impl Url {
    /// A server without a password, database 0.
    #[must_use]
    pub fn plain(host: &str, port: u16) -> Self {
        Self {
            host: host.to_owned(),
            port,
            user: None,
            password: None,
            database: 0,
        }
    }

    /// Host and port, for people: no secrets in it.
    #[must_use]
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Url {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |why: &str| Error::Url {
            why: why.to_owned(),
        };
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| wrong("it has no scheme"))?;
        match scheme {
            "redis" | "valkey" => {}
            "rediss" | "valkeys" => return Err(wrong("TLS is not spoken here; use a plain port")),
            _ => return Err(wrong("its scheme is not redis://")),
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let database = match path {
            "" => 0,
            digits => digits
                .parse()
                .map_err(|_| wrong("what follows the slash is not a database number"))?,
        };
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, authority),
        };
        let (user, password) =
            match login.map(|login| login.split_once(':')) {
                None => (None, None),
                Some(None) => return Err(wrong("before the @ there must be user:password")),
                Some(Some((user, password))) => (
                    Some(decode(user).ok_or_else(|| {
                        wrong("a % in its user is not followed by two hex digits")
                    })?)
                    .filter(|user| !user.is_empty()),
                    Some(decode(password).ok_or_else(|| {
                        wrong("a % in its password is not followed by two hex digits")
                    })?),
                ),
            };
        let (host, port) = split_port(place).ok_or_else(|| wrong("its port is not 1 … 65535"))?;
        if host.is_empty() {
            return Err(wrong("it names no host"));
        }
        Ok(Self {
            host: host.to_owned(),
            port,
            user,
            password,
            database,
        })
    }
}

fn split_port(place: &str) -> Option<(&str, u16)> {
    let (host, port) = if let Some(v6) = place.strip_prefix('[') {
        let (host, rest) = v6.split_once(']')?;
        (
            host,
            rest.strip_prefix(':').or(rest.is_empty().then_some(""))?,
        )
    } else {
        place.split_once(':').unwrap_or((place, ""))
    };
    let port = if port.is_empty() {
        PORT
    } else {
        port.parse().ok()?
    };
    (port != 0).then_some((host, port))
}

/// Percent decoding, as redis-rs does it.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            u8::try_from(high * 16 + low).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(bytes).ok()
}

fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("redis://")?;
        if let Some(password) = &self.password {
            let user = self.user.as_deref().map(encode).unwrap_or_default();
            write!(f, "{user}:{}@", encode(password))?;
        }
        write!(f, "{}/{}", self.address(), self.database)
    }
}

/// Without the password: this may end up in a log.
impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address(), self.database)
    }
}

#[cfg(test)]
mod tests {
    use super::Url;

    #[test]
    fn what_is_written_is_what_was_read() {
        for (text, shown) in [
            ("redis://h", "redis://h:6379/0"),
            ("redis://h:7000/3", "redis://h:7000/3"),
            ("redis://[::1]:7000", "redis://[::1]:7000/0"),
            ("redis://:p%40ss@h", "redis://:p%40ss@h:6379/0"),
            ("valkey://me:x@h/1", "redis://me:x@h:6379/1"),
        ] {
            let url: Url = text.parse().expect(text);
            assert_eq!(url.to_string(), shown);
            assert_eq!(shown.parse::<Url>().expect(shown), url);
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, word) in [
            ("localhost", "scheme"),
            ("http://h", "scheme"),
            ("rediss://h", "TLS"),
            ("redis://", "host"),
            ("redis://h:0", "port"),
            ("redis://h:99999", "port"),
            ("redis://h/x", "database"),
            ("redis://me@h", "user:password"),
            ("redis://:%zz@h", "hex"),
        ] {
            let error = text.parse::<Url>().expect_err(text).to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn a_password_is_not_shown_to_people() {
        let url: Url = "redis://:secret@h".parse().expect("a URL");
        assert!(!format!("{url:?} {}", url.address()).contains("secret"));
    }
}
