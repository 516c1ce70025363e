//! The build's include lines: what they do, and that each error is clear.

#[path = "../build/include.rs"]
mod include;

fn resolve(files: &[(&str, &str)]) -> Result<String, String> {
    let read = |path: &str| {
        let found = files.iter().find(|(name, _)| *name == path);
        found
            .map(|(_, text)| (*text).to_string())
            .ok_or("no such file".to_string())
    };
    include::resolve("main", &read)
}

#[test]
fn parts_take_the_place_of_their_line() {
    let text = resolve(&[
        ("main", "-- head\n--@include a\nreturn x"),
        ("a", "--@include b\nlocal x = y"),
        ("b", "local y = 1"),
    ]);
    assert_eq!(
        text.unwrap(),
        "-- head\nlocal y = 1\nlocal x = y\nreturn x\n"
    );
}

#[test]
fn errors_say_where_and_what() {
    let error = |files: &[(&str, &str)]| resolve(files).unwrap_err();
    assert!(error(&[]).contains("main: cannot be read: no such file"));
    assert!(error(&[("main", "\n--@include a")]).contains("main:2: cannot include `a`"));
    assert!(error(&[("main", "--@inlcude a")]).contains("unknown directive `--@inlcude a`"));
    assert!(error(&[("main", "--@include")]).contains("takes one path"));
    let cycle = error(&[("main", "--@include a"), ("a", "--@include main")]);
    assert!(cycle.contains("a:1: cycle: main -> a -> main"), "{cycle}");
    let twice = error(&[("main", "--@include a\n--@include a"), ("a", "")]);
    assert!(twice.contains("main:2: `a` is included twice"), "{twice}");
}

#[test]
fn a_part_may_be_inlined_often() {
    let text = resolve(&[
        ("main", "--@inline a\nif x then\n  --@inline a\nend"),
        ("a", "f()"),
    ]);
    assert_eq!(text.unwrap(), "f()\nif x then\nf()\nend\n");
}
