use std::process::ExitCode;

use nslab::cli::memory::Memory;

#[global_allocator]
static MEMORY: Memory = Memory;

fn main() -> ExitCode {
    nslab::cli::main()
}
