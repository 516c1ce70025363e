//! A real server to check against: found, or started, or its absence explained.
//!
//! The order of the search: the server named by `SLUICE_REDIS_URL`; a container
//! (image `SLUICE_REDIS_IMAGE`, else [`DEFAULT_IMAGE`]); a `redis-server` or
//! `valkey-server` on the PATH, started privately; else [`Missing`], which says
//! of each why not. A URL that was named but does not answer is *not* passed
//! over in silence: whoever named it meant it.
//!
//! A server of a fourth kind has no time of its own: [`Stepped`], always private,
//! for runs that are to be repeated step for step.
//!
//! Two rules keep a foreign server safe: nothing here ever flushes it, and all
//! work happens inside a [`Space`], a random key prefix that removes its own
//! keys, and no others, when it is dropped.
//!
//! Rejected: one fixed port, or one database number, for tests. Both belong to
//! somebody else sooner or later.

use std::fmt;

mod connection;
mod docker;
mod local;
mod space;
mod stepped;
mod trial;
mod url;

pub(crate) use connection::info_field;
pub use connection::{Connection, Error};
pub use docker::DEFAULT_IMAGE;
pub use space::Space;
pub use stepped::{NoClock, Stepped};
pub use trial::{REQUIRE_VARIABLE, stepped_trial, trial};
pub use url::Url;

/// Names the server to use, as `redis://[user:password@]host[:port][/database]`.
pub const URL_VARIABLE: &str = "SLUICE_REDIS_URL";

/// Names the container image to start, as `name:tag`.
pub const IMAGE_VARIABLE: &str = "SLUICE_REDIS_IMAGE";

/// Which server is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// Whatever the environment offers, in the order told above.
    Any,
    /// The server at this URL.
    Url(String),
    /// A container.
    Docker,
    /// A private process of a binary on the PATH.
    Local,
}

/// Where a server came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// It was there already; it belongs to someone else.
    Url,
    /// Started for us from this image.
    Docker(String),
    /// Started for us from this binary.
    Local(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url => f.write_str("a server that was there already"),
            Self::Docker(image) => write!(f, "a container of {image}"),
            Self::Local(binary) => write!(f, "a private process of {binary}"),
        }
    }
}

/// No server: what was tried, and why each attempt failed. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no Redis server: {}. Name one in {URL_VARIABLE}, or install redis-server, or start Docker",
    .reasons.join("; ")
)]
pub struct Missing {
    /// One reason for each place that was looked at, in order.
    pub reasons: Vec<String>,
}

impl Missing {
    fn because(reason: impl ToString) -> Self {
        Self {
            reasons: vec![reason.to_string()],
        }
    }
}

/// A server that answered `PING`. What was started for us ends with it.
#[derive(Debug)]
pub struct Server {
    url: Url,
    source: Source,
    version: String,
    // Dropped last: ends the process or the container.
    _guard: Guard,
}

/// What keeps a server alive.
#[derive(Debug)]
enum Guard {
    None,
    Docker(#[expect(dead_code, reason = "held for its drop")] Box<docker::Container>),
    Local(#[expect(dead_code, reason = "held for its drop")] local::Process),
}

impl Server {
    /// Finds or starts the server that is wanted. Blocks: about 30 ms for a
    /// local binary, a second or two for a container.
    ///
    /// # Errors
    /// [`Missing`], with a reason for each place that was tried.
    pub fn find(want: &Want) -> Result<Self, Missing> {
        match want {
            Want::Url(url) => Self::at(url).map_err(Missing::because),
            Want::Docker => Self::docker().map_err(Missing::because),
            Want::Local => Self::local().map_err(Missing::because),
            Want::Any => {
                if let Some(url) = variable(URL_VARIABLE) {
                    return Self::at(&url)
                        .map_err(|error| Missing::because(format!("{URL_VARIABLE}: {error}")));
                }
                let docker = match Self::docker() {
                    Ok(server) => return Ok(server),
                    Err(why) => why,
                };
                Self::local().map_err(|local| Missing {
                    reasons: vec![docker, local],
                })
            }
        }
    }

    /// The URL, password included: not for printing. See [`Server::describe`].
    #[must_use]
    pub fn url(&self) -> String {
        self.url.to_string()
    }

    /// Where it came from.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// What it calls itself, `redis 7.2.6` or `valkey 8.1.0`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether it was started by us, for us alone, and ends with us.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        match self.source {
            Source::Url => false,
            Source::Docker(_) | Source::Local(_) => true,
        }
    }

    /// For people: version, address without password, source.
    #[must_use]
    pub fn describe(&self) -> String {
        format!(
            "{} at {}, {}",
            self.version,
            self.url.address(),
            self.source
        )
    }

    /// A new connection.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub fn connect(&self) -> Result<Connection, Error> {
        Connection::open(&self.url)
    }

    /// A new key prefix to work under, and a connection that cleans it up.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub fn space(&self) -> Result<Space, Error> {
        Ok(Space::new(self.connect()?))
    }

    fn at(url: &str) -> Result<Self, Error> {
        let url: Url = url.parse()?;
        let version = version(&mut Connection::open(&url)?)?;
        Ok(Self {
            url,
            source: Source::Url,
            version,
            _guard: Guard::None,
        })
    }

    fn docker() -> Result<Self, String> {
        let image = variable(IMAGE_VARIABLE).unwrap_or_else(|| DEFAULT_IMAGE.to_owned());
        let container = docker::start(&image).map_err(|why| format!("Docker: {why}"))?;
        let url = container.url();
        let version = Connection::open_retrying(&url)
            .and_then(|mut connection| version(&mut connection))
            .map_err(|error| format!("Docker: {image} started, but {error}"))?;
        Ok(Self {
            url,
            source: Source::Docker(image),
            version,
            _guard: Guard::Docker(Box::new(container)),
        })
    }

    fn local() -> Result<Self, String> {
        let process = local::start(&local::on_the_path()?, &local::directory()?, None)?;
        let url = process.url();
        let version = Connection::open(&url)
            .and_then(|mut connection| version(&mut connection))
            .map_err(|error| format!("{}: {error}", process.binary().display()))?;
        Ok(Self {
            url,
            source: Source::Local(process.binary().display().to_string()),
            version,
            _guard: Guard::Local(process),
        })
    }
}

/// A variable that is set and not empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What `INFO server` says of the server's name and version.
fn version(connection: &mut Connection) -> Result<String, Error> {
    let info = connection.info("server")?;
    let field = |name: &str| connection::info_field(&info, name).map(str::to_owned);
    Ok(match (field("valkey_version"), field("redis_version")) {
        (Some(version), _) => format!("valkey {version}"),
        (None, Some(version)) => format!("redis {version}"),
        (None, None) => "unknown version".to_owned(),
    })
}
