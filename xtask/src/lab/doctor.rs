//! `cargo xtask lab doctor`

use anyhow::Result;
use dynamicfs_lab::machine::doctor::examine;
use dynamicfs_lab::paths::Paths;

/// Prints what works, and what stands in the way of the rest. Success when all works.
pub(super) fn run() -> Result<bool> {
    let findings = examine(&Paths::discover().images());
    for finding in &findings {
        let verdict = if finding.obstacles.is_empty() {
            "works"
        } else {
            "does not work"
        };
        println!("{}: {verdict} ({})", finding.backend, finding.note);
        for obstacle in &finding.obstacles {
            println!("    {obstacle}");
        }
    }
    Ok(findings.iter().all(|finding| finding.obstacles.is_empty()))
}
