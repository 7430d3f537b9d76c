//! Runs the conformance cases on a directory, and prints a line for each.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use dynamicfs_lab::suite::{self, Case, CaseReport, Options, Outcome, Set};
use dynamicfs_lab::suites::daemon::call::{self, Call};

/// Runs the conformance cases on a directory.
///
/// Exit status: 0 when no case failed, 1 when one failed or timed out, 2 on bad arguments or when
/// nothing could be run.
#[derive(Parser)]
#[command(name = "dynamicfs-suite")]
struct Args {
    /// Directory under test; cases work in subdirectories of it, which are removed again
    #[arg(long, value_name = "DIR", required_unless_present = "list")]
    dir: Option<PathBuf>,
    /// The directory that is mounted at DIR, if DIR is a mount of another
    #[arg(long, value_name = "DIR")]
    backing: Option<PathBuf>,
    /// Attribute TTL that the mount declares: changes below it must be visible by then
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration)]
    attr_ttl: Duration,
    /// Which cases: suite, finder, or casefold (in directories that fold case)
    #[arg(long, value_name = "NAME", default_value = "suite", value_parser = set)]
    set: Set,
    /// Only this group (repeatable)
    #[arg(long, value_name = "NAME")]
    group: Vec<String>,
    /// Only this case (repeatable)
    #[arg(long, value_name = "NAME")]
    case: Vec<String>,
    /// Print the cases and exit
    #[arg(long)]
    list: bool,
    /// Time limit for one case
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    timeout: Duration,
    /// Factor for what the cases themselves wait for at most, other than a TTL: more than 1 where the
    /// kernel is emulated
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    patience: u32,
    /// How many cases run at once
    #[arg(long, value_name = "N", default_value_t = 4)]
    jobs: usize,
    /// One JSON object per line instead of text
    #[arg(long)]
    json: bool,
    /// Run one case in this process (what the runner starts itself with)
    #[arg(long, hide = true, requires = "backing")]
    run_case: Option<String>,
    /// Be a caller in DIR (what the suite `daemon` starts)
    #[arg(long, hide = true, requires = "dir", conflicts_with = "run_case")]
    call: Option<Call>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("dynamicfs-suite: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<ExitCode> {
    let cases = select(args)?;
    if args.list {
        return list(&cases);
    }
    let dir = args.dir.as_ref().context("--dir is missing")?;
    if let Some(call) = args.call {
        call::serve(call, dir)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let (Some(name), Some(backing)) = (&args.run_case, &args.backing) {
        let report = suite::run_case_here(name, dir, backing, args.attr_ttl, args.patience)
            .map_err(|failure| anyhow::anyhow!("{failure}"))?;
        println!("{report}");
        return Ok(ExitCode::SUCCESS);
    }
    let real = |path: &PathBuf| {
        path.canonicalize()
            .with_context(|| format!("directory {} is not usable", path.display()))
    };
    let options = Options {
        program: std::env::current_exe().context("this program's own path is unknown")?,
        dir: real(dir)?,
        backing: args.backing.as_ref().map(real).transpose()?,
        attr_ttl: args.attr_ttl,
        timeout: args.timeout,
        patience: args.patience,
        jobs: args.jobs,
    };
    run_all(&cases, &options, args.json)
}

fn run_all(cases: &[Case], options: &Options, json: bool) -> Result<ExitCode> {
    let start = Instant::now();
    let mut counts = [0_usize; 4];
    let mut written = Ok(());
    suite::run(cases, options, |report| {
        counts[report.outcome as usize] += 1;
        let line = if json {
            serde_json::to_string(report).map_err(Into::into)
        } else {
            text(report)
        };
        if written.is_ok() {
            written = line.and_then(|line| Ok(writeln!(std::io::stdout(), "{line}")?));
        }
    });
    written.context("the report could not be written")?;
    let [passed, failed, skipped, timed_out] = counts;
    eprintln!(
        "{passed} passed, {failed} failed, {skipped} skipped, {timed_out} timed out in {:.1} s",
        start.elapsed().as_secs_f64()
    );
    Ok(ExitCode::from(u8::from(failed + timed_out > 0)))
}

fn text(report: &CaseReport) -> Result<String> {
    let outcome = match report.outcome {
        Outcome::Passed => "passed",
        Outcome::Failed => "FAILED",
        Outcome::Skipped => "skipped",
        Outcome::TimedOut => "TIMED OUT",
    };
    let mut line = format!("{:<64} {outcome:<9} {:>6} ms", report.name, report.millis);
    if !report.detail.is_empty() {
        line.push_str("\n    ");
        line.push_str(&report.detail);
    }
    Ok(line)
}

fn select(args: &Args) -> Result<Vec<Case>> {
    let all = args.set.cases();
    for group in &args.group {
        if !all.iter().any(|case| case.group == group) {
            bail!("no group `{group}`; --list shows what there is");
        }
    }
    for name in &args.case {
        if !all.iter().any(|case| case.name == name) {
            bail!("no case `{name}`; --list shows what there is");
        }
    }
    let everything = args.group.is_empty() && args.case.is_empty();
    let wanted = |case: &Case| {
        everything
            || args.group.iter().any(|group| group == case.group)
            || args.case.iter().any(|name| name == case.name)
    };
    Ok(all.into_iter().filter(wanted).collect())
}

fn list(cases: &[Case]) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    for case in cases {
        writeln!(out, "{:<64} {}", case.name, case.description)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn set(name: &str) -> Result<Set, String> {
    let known = Set::ALL.into_iter().find(|set| set.name() == name);
    known.ok_or_else(|| format!("there are {}", Set::ALL.map(Set::name).join(", ")))
}

/// `5s`, `500ms`, or a number of seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let bad = |_| format!("`{text}` is not a duration such as 5s, 500ms or 15");
    match text.strip_suffix("ms") {
        Some(millis) => millis.parse().map(Duration::from_millis).map_err(bad),
        None => text
            .strip_suffix('s')
            .unwrap_or(text)
            .parse()
            .map(Duration::from_secs)
            .map_err(bad),
    }
}
