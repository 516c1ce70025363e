//! The `verify` command. Everything is in [`verify::cli`].

fn main() -> std::process::ExitCode {
    verify::cli::main()
}
