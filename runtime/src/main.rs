//! The binary `longshore`. Everything it does is in [`longshore::cli`].

/// Batches of a megabyte come and go all the time. This allocator keeps their pages; glibc's gives them back and faults them in again, which
/// is a fifth of the CPU time of a small document (`cargo xtask bench R1`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    longshore::cli::main()
}
