//! All conformance cases on a plain directory of this machine, each as a trial: the cases
//! themselves must hold on a native filesystem.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dynamicfs_lab::suite::{self, Options, Outcome};
use libtest_mimic::{Arguments, Trial};

fn main() -> std::process::ExitCode {
    let arguments = Arguments::from_args();
    // Beside the build: the system's temporary directory may be a tmpfs, which lacks features.
    let dir = match tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")) {
        Ok(dir) => dir,
        Err(error) => {
            eprintln!("no directory for the cases: {error}");
            return std::process::ExitCode::FAILURE;
        }
    };
    let options = Arc::new(Options {
        program: PathBuf::from(env!("CARGO_BIN_EXE_dynamicfs-suite")),
        dir: dir.path().to_owned(),
        backing: None,
        attr_ttl: Duration::ZERO,
        timeout: Duration::from_secs(60),
        patience: 1,
        jobs: 1,
    });
    let trials = suite::all()
        .into_iter()
        .map(|case| {
            let options = Arc::clone(&options);
            let unmet = case.needs.unmet().is_some();
            Trial::test(case.name, move || {
                let mut result = Err("the case gave no report".into());
                suite::run(&[case], &options, |report| {
                    result = match report.outcome {
                        Outcome::Passed => Ok(()),
                        _ => Err(format!("{:?}: {}", report.outcome, report.detail).into()),
                    };
                });
                result
            })
            .with_ignored_flag(unmet)
        })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(dir);
    conclusion.exit_code()
}
