//! The `dynamicfs` command.

fn main() -> std::process::ExitCode {
    dynamicfs::cli::run(std::env::args_os().collect(), &|storage| storage)
}
