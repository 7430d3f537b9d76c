//! The command with a fault between its storage and the kernel, for the selftest of the lab.

use std::env;
use std::process::ExitCode;

use dynamicfs_lab::selftest::{self, VARIABLE};

fn main() -> ExitCode {
    let arguments = env::args_os().collect();
    let Some(name) = env::var_os(VARIABLE) else {
        return dynamicfs::cli::run(arguments, &|storage| storage);
    };
    let Some(plant) = name.to_str().and_then(selftest::find) else {
        eprintln!(
            "{VARIABLE}={}: no such plant; see 'cargo xtask lab selftest --list'",
            name.display()
        );
        return ExitCode::from(2);
    };
    dynamicfs::cli::run(arguments, &|storage| selftest::plant_in(storage, plant))
}
