//! What the bridge says when it is misused, by version. "ERR" is not part of it.

use crate::redis::Version;

/// Where scripts get what the server offers, as messages have it.
pub(super) const fn library(version: Version) -> &'static str {
    if version.is_valkey() {
        "server"
    } else {
        "redis"
    }
}

pub(super) const fn unknown_command(version: Version) -> &'static str {
    match version {
        Version::V6_2 => "Unknown Redis command called from Lua script",
        Version::Valkey8 | Version::Valkey9 => "Unknown command called from script",
        _ => "Unknown Redis command called from script",
    }
}

pub(super) const fn wrong_arity(version: Version) -> &'static str {
    match version {
        Version::V6_2 => "Wrong number of args calling Redis command From Lua script",
        Version::Valkey8 | Version::Valkey9 => "Wrong number of args calling command from script",
        _ => "Wrong number of args calling Redis command from script",
    }
}

pub(super) const fn not_allowed(version: Version) -> &'static str {
    match version {
        Version::V6_2 => "This Redis command is not allowed from scripts",
        Version::Valkey9 => "This Valkey command is not allowed from script",
        _ => "This Redis command is not allowed from script",
    }
}

pub(super) const fn no_arguments(version: Version) -> &'static str {
    match version {
        Version::V6_2 => "Please specify at least one argument for redis.call()",
        Version::Valkey8 | Version::Valkey9 => "Please specify at least one argument for this call",
        _ => "Please specify at least one argument for this redis lib call",
    }
}

pub(super) const fn wrong_arguments(version: Version) -> &'static str {
    match version {
        Version::V6_2 => "Lua redis() command arguments must be strings or integers",
        Version::Valkey8 | Version::Valkey9 => "Command arguments must be strings or integers",
        _ => "Lua redis lib command arguments must be strings or integers",
    }
}

/// Of a script that had to be stopped.
pub(super) const fn killed(version: Version) -> &'static str {
    if version.is_valkey() {
        "Script killed by user with SCRIPT KILL."
    } else {
        "Script killed by user with SCRIPT KILL..."
    }
}
