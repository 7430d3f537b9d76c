//! File systems under load: fio with verification, the stressors of stress-ng, dbench.
//!
//! Amounts are small: what is looked for is a wrong byte or errno, not throughput.

mod dbench;
mod fio;
mod stress;

use std::collections::BTreeMap;

use anyhow::Result;

use super::Place;
use super::cx::Cx;
use crate::outcome::SuiteResult;

/// Runs all cases.
///
/// # Errors
///
/// When a case hangs, or its directories cannot be made.
pub fn run(place: &Place<'_>) -> Result<SuiteResult> {
    let cx = Cx::new(place, "load")?;
    let mut cases = BTreeMap::new();
    for job in fio::JOBS {
        let name = format!("fio::{}", job.name);
        let case = cx.case(&name, "fio", |cx| fio::run(cx, job))?;
        cases.insert(name, case);
    }
    for stressor in stress::STRESSORS {
        let name = format!("stress::{}", stressor.name);
        let case = cx.case(&name, "stress", |cx| stress::run(cx, stressor))?;
        cases.insert(name, case);
    }
    for load in dbench::LOADS {
        let name = format!("dbench::{}", load.name);
        let case = cx.case(&name, "dbench", |cx| dbench::run(cx, load))?;
        cases.insert(name, case);
    }
    cx.finish(cases)
}
