//! Resolves `--@include path` and `--@inline path` lines. Comments to Lua, so
//! that every part is a Lua file of its own; no other directive exists, and a
//! misspelt one is an error, for silently it would leave a part out. The two do
//! the same, but an included part occurs once, and an inlined one as often as it
//! is wanted: it stands where another language would call a function.

/// Reads a part by its path.
pub(crate) type Read<'a> = dyn Fn(&str) -> Result<String, String> + 'a;

/// The text of `path` with every included part in its place.
///
/// # Errors
/// `file:line: what is wrong`, for a missing file, a part included twice or
/// within itself, or an unknown directive.
pub(crate) fn resolve(path: &str, read: &Read<'_>) -> Result<String, String> {
    let text = read(path).map_err(|e| format!("{path}: cannot be read: {e}"))?;
    let mut out = String::new();
    let mut seen = Vec::new();
    append(
        path,
        &text,
        read,
        &mut vec![path.into()],
        &mut seen,
        &mut out,
    )?;
    Ok(out)
}

fn append(
    path: &str,
    text: &str,
    read: &Read<'_>,
    stack: &mut Vec<String>,
    seen: &mut Vec<String>,
    out: &mut String,
) -> Result<(), String> {
    for (i, line) in text.lines().enumerate() {
        let Some(directive) = line.trim_start().strip_prefix("--@") else {
            out.push_str(line);
            out.push('\n');
            continue;
        };
        let at = format!("{path}:{}", i + 1);
        let (once, part) = match directive.split_whitespace().collect::<Vec<_>>()[..] {
            ["include", part] => (true, part.to_string()),
            ["inline", part] => (false, part.to_string()),
            ["include" | "inline", ..] => {
                return Err(format!("{at}: `--@{directive}` takes one path"));
            }
            _ => {
                return Err(format!(
                    "{at}: unknown directive `--@{directive}`: only `--@include path` and \
                     `--@inline path` exist"
                ));
            }
        };
        if stack.contains(&part) {
            return Err(format!("{at}: cycle: {} -> {part}", stack.join(" -> ")));
        }
        if once && seen.contains(&part) {
            return Err(format!("{at}: `{part}` is included twice"));
        }
        let inner = read(&part).map_err(|e| format!("{at}: cannot include `{part}`: {e}"))?;
        seen.push(part.clone());
        stack.push(part.clone());
        append(&part, &inner, read, stack, seen, out)?;
        stack.pop();
    }
    Ok(())
}
