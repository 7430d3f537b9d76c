//! cargo(1): many small files, times that decide what is built, executables.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::json;

use super::{Cx, Seen, material};

/// Builds, builds again without work, and builds what changed.
pub(super) fn build_and_run(cx: &Cx) -> Result<Seen> {
    cx.fresh()?;
    material::workspace(&cx.dir)?;
    cx.run(&mut cargo(cx))?;
    let first = cx.run(&mut cx.command(cx.dir.join("target/debug/show")))?;
    ensure!(first == "42\n", "the program printed {first:?}");
    let again = cx.run(cargo(cx).args(["--message-format", "json"]))?;
    ensure!(
        !again.contains("\"fresh\":false") && again.contains("\"fresh\":true"),
        "nothing changed, but cargo built again: {again}"
    );
    material::set_number(&cx.dir, 43)?;
    cx.run(&mut cargo(cx))?;
    let second = cx.run(&mut cx.command(cx.dir.join("target/debug/show")))?;
    ensure!(
        second == "43\n",
        "after a change the program printed {second:?}"
    );
    Ok(Seen::from([("printed".to_owned(), json!([first, second]))]))
}

/// cargo as the lab was started with, but with settings of its own. rustup's proxies need to find
/// the toolchains of the user.
fn cargo(cx: &Cx) -> Command {
    let mut command = cx.command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["build", "--offline", "--quiet"])
        .env("CARGO_HOME", cx.scratch.join("home/cargo"))
        .env("CARGO_INCREMENTAL", "1");
    let rustup = env::var_os("RUSTUP_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".rustup")));
    if let Some(rustup) = rustup.filter(|directory| directory.is_dir()) {
        command.env("RUSTUP_HOME", rustup);
    }
    for name in ["RUSTUP_TOOLCHAIN", "RUSTUP_AUTO_INSTALL"] {
        if let Some(value) = env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}
