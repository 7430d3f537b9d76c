//! cargo(1): many small files, times that decide what is built, executables.
//!
//! A suite of its own, because a guest has no Rust toolchain: there it is left out of the plan by
//! name, and no case of another suite is missing.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde_json::json;

use super::Place;
use super::cx::{Cx, Seen};
use crate::material;
use crate::outcome::SuiteResult;

const NAME: &str = "cargo::build_and_run";

/// Runs its one case.
///
/// # Errors
///
/// When it hangs, or its directories cannot be made.
pub fn run(place: &Place<'_>) -> Result<SuiteResult> {
    let cx = Cx::new(place, "build")?;
    let case = cx.case(NAME, "cargo", build_and_run)?;
    cx.finish(BTreeMap::from([(NAME.to_owned(), case)]))
}

/// Builds, builds again without work, and builds what changed.
fn build_and_run(cx: &Cx) -> Result<Seen> {
    cx.fresh()?;
    material::workspace(&cx.dir)?;
    cx.run(&mut cx.settings.cargo_build(&cx.dir))?;
    let first = cx.run(&mut cx.command(cx.dir.join("target/debug/show")))?;
    ensure!(first == "42\n", "the program printed {first:?}");
    let again = cx.run(
        cx.settings
            .cargo_build(&cx.dir)
            .args(["--message-format", "json"]),
    )?;
    ensure!(
        !again.contains("\"fresh\":false") && again.contains("\"fresh\":true"),
        "nothing changed, but cargo built again: {again}"
    );
    material::set_number(&cx.dir, 43)?;
    cx.run(&mut cx.settings.cargo_build(&cx.dir))?;
    let second = cx.run(&mut cx.command(cx.dir.join("target/debug/show")))?;
    ensure!(
        second == "43\n",
        "after a change the program printed {second:?}"
    );
    Ok(Seen::from([("printed".to_owned(), json!([first, second]))]))
}
