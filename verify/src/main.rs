//! The `verify` command. Everything is in [`verify::cli`].

/// Simulated runs make and drop small values all the time, in Lua and outside:
/// a sixth of their time goes into the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    verify::cli::main()
}
