use super::*;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

fn words(text: &str) -> RedisReply {
    RedisReply::bulk(text)
}

#[test]
fn a_command_carries_keys_configuration_and_plain_text() {
    let gate = GateKeys::new("app:", "sessions").unwrap().retain(9);
    let command = acquire(
        &gate,
        &Config::session_cap(20),
        b"user-1",
        7,
        Class::ZERO,
        true,
    );
    let args: Vec<_> = command
        .args
        .iter()
        .map(|a| core::str::from_utf8(a).unwrap())
        .collect();
    assert_eq!(args[..3], ["EVALSHA", ACQUIRE.sha1, "3"]);
    assert_eq!(
        args[3..6],
        [
            "app:{sessions}:gate",
            "app:{sessions}:line",
            "app:{sessions}:due"
        ]
    );
    assert_eq!(
        args[6],
        "20 60000 1800000 0 15000 600000 5000 1 100000 0 0 0 16 60000 10000 9"
    );
    assert_eq!(args[7..], ["user-1", "7"]);
    let busy = acquire(
        &gate,
        &Config::session_cap(20),
        b"user-1",
        7,
        Class::ZERO,
        false,
    );
    assert_eq!(busy.args.len(), command.args.len() + 2);
    assert_eq!(&*gate.wake_channel(), b"app:{sessions}:line:wake");
}

#[test]
fn bad_names_get_a_clear_message() {
    let message = |prefix, name| GateKeys::new(prefix, name).unwrap_err().to_string();
    assert!(message("", "").contains("empty"));
    assert!(message("", "a{b").contains("brace"));
    assert!(message("}", "a").contains("brace"));
    assert!(message("", "a b").contains("white space"));
    assert!(message("", &"x".repeat(10_000)).contains("10000 bytes, the limit is 256"));
    assert!(GateKeys::new("", "사용자").is_ok());
}

#[test]
fn replies_are_read_and_strangers_refused() {
    let granted = Outcome::Granted {
        fence: 18,
        ttl_ms: Some(5),
        wait_ms: 3,
    };
    let read = |text| decode(&words(text));
    assert_eq!(
        read("granted 18 5 3 0"),
        Ok(Reply {
            outcome: granted,
            more: false
        })
    );
    let forever = read("granted 18 -1 3 1").unwrap();
    assert!(matches!(
        forever,
        Reply {
            outcome: Outcome::Granted { ttl_ms: None, .. },
            more: true
        }
    ));
    let waiting = read("waiting 4 0.10000000000000001 2.5 7 0").unwrap();
    let flow = Flow {
        gap_mean_ms: 0.1,
        gap_var_ms2: 2.5,
        gaps: 7,
    };
    assert_eq!(waiting.outcome, Outcome::Waiting { position: 4, flow });
    for strange in [
        "",
        "granted",
        "granted 1 2 3",
        "granted 1 2 3 2",
        "lost 0 0",
        "who 0",
        "granted -1 2 3 0",
    ] {
        assert!(read(strange).is_err(), "{strange}");
    }
    for strange in [
        RedisReply::Nil,
        RedisReply::Int(3),
        RedisReply::Array(vec![words("lost 0")]),
    ] {
        assert!(
            decode(&strange)
                .unwrap_err()
                .to_string()
                .contains("not a reply")
        );
    }
    let error = RedisReply::error("ERR ".to_string() + &"x".repeat(10_000));
    assert!(decode(&error).unwrap_err().reply.len() <= 200);
}

#[test]
fn scores_tell_their_zone() {
    assert_eq!(Zone::of(1.8e12 - 8e15), Zone::Ended(1_800_000_000_000));
    assert_eq!(Zone::of(0.0 - 4e15), Zone::Held(Some(0)));
    assert_eq!(Zone::of(-1.0), Zone::Held(None));
    assert_eq!(Zone::of(17_179_869_188.0), Zone::Waiting(17_179_869_188));
    assert_eq!(Zone::of(4e15 + 8.0), Zone::Absent(8));
}
