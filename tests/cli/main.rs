//! The command without a mount: bad input with its line and exit code, and what only prints.

#[path = "../command/mod.rs"]
mod command;
mod configuration;
mod paths;
mod printing;
mod surroundings;
