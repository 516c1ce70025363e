//! Commands and replies of `core`, as redis-rs has them.

use redis::{Cmd, RedisError, RedisResult, ServerError, Value};
use sluice_core::redis::{Bytes, Command, Reply};

pub(super) fn cmd(command: &Command) -> Cmd {
    let mut cmd = Cmd::new();
    for arg in &command.args {
        cmd.arg(&**arg);
    }
    cmd
}

/// The server's answer; `Err` if there is none.
pub(super) fn reply(result: RedisResult<Value>) -> Result<Reply, RedisError> {
    match result {
        Ok(value) => Ok(from_value(value)),
        Err(error) => error_reply(&error).ok_or(error),
    }
}

/// The error as the server wrote it, if it was the server that wrote it.
pub(super) fn error_reply(error: &RedisError) -> Option<Reply> {
    if error.kind() == redis::ErrorKind::AuthenticationFailed {
        // redis-rs keeps the code to itself here.
        let detail = error.detail().unwrap_or("the server does not let us in");
        let code = detail.split(' ').next().unwrap_or_default();
        return Some(Reply::error(match code {
            "NOAUTH" | "WRONGPASS" | "NOPERM" => detail.to_owned(),
            _ => format!("WRONGPASS {detail}"),
        }));
    }
    Some(with_code(error.code()?, error.detail()))
}

fn with_code(code: &str, detail: Option<&str>) -> Reply {
    Reply::error(match detail {
        Some(detail) => format!("{code} {detail}"),
        None => code.to_owned(),
    })
}

fn server_error(error: &ServerError) -> Reply {
    with_code(error.code(), error.details())
}

/// The scripts answer bulk strings and errors; the rest is for completeness.
fn from_value(value: Value) -> Reply {
    match value {
        Value::Int(n) => Reply::Int(n),
        Value::BulkString(bytes) => Reply::Bulk(bytes.into()),
        Value::SimpleString(text) => Reply::Status(Bytes::from(text.as_bytes())),
        Value::Okay => Reply::ok(),
        Value::Array(items) | Value::Set(items) => {
            Reply::Array(items.into_iter().map(from_value).collect())
        }
        Value::Map(pairs) => Reply::Array(
            pairs
                .into_iter()
                .flat_map(|(key, value)| [from_value(key), from_value(value)])
                .collect(),
        ),
        Value::Double(x) => Reply::bulk(x.to_string()),
        Value::Boolean(yes) => Reply::Int(yes.into()),
        Value::VerbatimString { text, .. } => Reply::bulk(text),
        Value::Attribute { data, .. } => from_value(*data),
        Value::ServerError(error) => server_error(&error),
        // Nil, and what redis-rs may come to know (it is theirs, and not exhaustive).
        _ => Reply::Nil,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_its_code_and_text() {
        let raw = b"-NOSCRIPT No matching script. Please use EVAL.\r\n";
        let parsed = reply(redis::parse_redis_value(raw)).unwrap();
        assert_eq!(parsed.error_code(), Some(&b"NOSCRIPT"[..]));
        let raw = b"-MISCONF Redis is configured to save\r\n";
        let parsed = reply(redis::parse_redis_value(raw)).unwrap();
        assert_eq!(parsed, Reply::error("MISCONF Redis is configured to save"));
        let raw = b"$8\r\nlost 0 0\r\n";
        assert_eq!(
            reply(redis::parse_redis_value(raw)).unwrap(),
            Reply::bulk("lost 0 0")
        );
    }

    #[test]
    fn a_refused_connection_is_no_reply() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert!(reply(Err(refused.into())).is_err());
    }
}
