//! Recording, writing, reading.

use verify::history::sample::{self, Shape};
use verify::history::{Header, Kind, Recorder, Recording, queue, read, write};

#[test]
fn what_is_written_is_read_again() {
    let shape = Shape {
        clients: 5,
        operations: 200,
        capacity: 2,
        fenced: true,
        leased: true,
        unknown: 100,
        refusals: true,
    };
    let (slots, queue) = (sample::slots(1, shape), sample::queue(1, shape));
    let mut text = Vec::new();
    let header = Header::new(Kind::Slots, Some(2));
    write(&mut text, header, &slots).expect("memory");
    let (again, Recording::Slots(read_slots)) = read(&text[..]).expect("what was written") else {
        panic!("another kind");
    };
    assert_eq!(again, header);
    let mut second = Vec::new();
    write(&mut second, header, &read_slots).expect("memory");
    assert_eq!(String::from_utf8(text), String::from_utf8(second));
    let mut text = Vec::new();
    write(&mut text, Header::new(Kind::Queue, None), &queue).expect("memory");
    let (_, Recording::Queue(again)) = read(&text[..]).expect("what was written") else {
        panic!("another kind");
    };
    assert_eq!(again.operations.len(), queue.operations.len());
}

#[test]
fn what_is_no_history_is_refused_with_its_place() {
    const HEADER: &str = "{\"history\":1,\"model\":\"slots\",\"capacity\":2}\n";
    let long = format!("{HEADER}{}", " ".repeat(70_000));
    let name = format!(
        "{HEADER}{{\"client\":\"{}\",\"start\":1,\"op\":{{\"acquire\":{{\"attempt\":1}}}}}}",
        "x".repeat(300)
    );
    let line = |line: &str| format!("{HEADER}\n{line}\n");
    let cases: Vec<(String, &str)> = vec![
        (String::new(), "line 1: no header"),
        ("garbage".into(), "line 1: column 1: expected value"),
        (
            "{\"history\":2,\"model\":\"lock\"}".into(),
            "line 1: version 2",
        ),
        (
            "{\"history\":1,\"model\":\"heap\"}".into(),
            "unknown variant `heap`",
        ),
        (line("\u{7f}"), "line 3: column 1"),
        (line("{}"), "line 3: column 2: missing field `client`"),
        (
            line("{\"client\":\"a\",\"start\":-1}"),
            "invalid value: integer `-1`",
        ),
        (
            line("{\"client\":\"a\",\"start\":1,\"op\":{\"steal\":{}}}"),
            "unknown variant `steal`",
        ),
        (
            line("{\"client\":\"a\",\"start\":1,\"op\":{\"expire\":{\"attempt\":1,\"until\":1}}}"),
            "unknown variant `expire`",
        ),
        (
            line("{\"client\":\"a\",\"start\":1,\"op\":\"dequeue\"}"),
            "unknown variant `dequeue`",
        ),
        (
            line(
                "{\"client\":\"a\",\"start\":1,\"end\":2,\"op\":{\"acquire\":{\"attempt\":1}},\"reply\":\"released\"}",
            ),
            "line 3: this operation has no such reply",
        ),
        (
            line(
                "{\"client\":\"a\",\"start\":5,\"end\":2,\"op\":{\"acquire\":{\"attempt\":1}},\"reply\":\"refused\"}",
            ),
            "line 3: its end, 2, is before its start, 5",
        ),
        (
            line("{\"client\":\"a\",\"start\":1,\"end\":2,\"op\":{\"acquire\":{\"attempt\":1}}}"),
            "an end and no reply",
        ),
        (
            line(
                "{\"client\":\"a\",\"start\":1,\"op\":{\"acquire\":{\"attempt\":1}},\"reply\":\"refused\"}",
            ),
            "a reply and no end",
        ),
        (
            line(
                "{\"client\":\"a\",\"start\":1,\"op\":{\"acquire\":{\"attempt\":1}}}\n\n{\"client\":\"a\",\"start\":2,\"op\":{\"acquire\":{\"attempt\":1}}}",
            ),
            "line 5: attempt 1 of this client was acquired before",
        ),
        (long, "line 2: longer than 65536 bytes"),
        (name, "line 2: client: 300 bytes"),
    ];
    for (text, part) in cases {
        let error = read(text.as_bytes()).expect_err(part).to_string();
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn threads_record_together() {
    let recorder = Recorder::default();
    std::thread::scope(|scope| {
        for n in 0..4_u64 {
            let recorder = &recorder;
            scope.spawn(move || {
                for i in 0..100 {
                    let value = n * 100 + i;
                    let op = queue::Op::Enqueue { value };
                    let ticket = recorder.begin(&n.to_string(), "q", value, op);
                    // Every tenth is never answered.
                    if i % 10 != 0 {
                        recorder.finish(ticket, value + 1, queue::Reply::Enqueued);
                    }
                }
            });
        }
    });
    let history = recorder.into_history();
    let known = history.operations.iter().filter(|o| o.answer.is_some());
    assert_eq!((history.operations.len(), known.count()), (400, 360));
    assert_eq!(history.clients.len(), 4);
}
