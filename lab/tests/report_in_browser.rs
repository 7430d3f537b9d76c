//! The report in a browser, on a telephone and on a desk, in light and in dark.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use dynamicfs_lab::process;
use dynamicfs_lab::report::{Report, html};
use dynamicfs_lab::tools::find_program;

/// A page of a few hundred kilobytes takes a second; a busy machine takes longer.
const LIMIT: Duration = Duration::from_secs(120);

/// Pixels of height: more than the page has on a telephone.
const HEIGHT: u32 = 9000;

/// What the copy of the page tells of itself.
const PROBE: &str = "<script>console.log('probe', innerWidth, document.documentElement.scrollWidth, \
    getComputedStyle(document.body).backgroundColor)</script></body>";

/// `None`, with a word about it, where there is no Chromium; with `CI` set that is a failure.
fn chromium() -> Option<PathBuf> {
    let found = find_program("chromium");
    assert!(
        found.is_some() || std::env::var_os("CI").is_none(),
        "this test needs the Debian package chromium"
    );
    if found.is_none() {
        eprintln!("not run: there is no chromium");
    }
    found
}

/// What the console says when the page is shown, and a screenshot.
fn show(chromium: &Path, page: &Path, dark: bool, width: u32, shot: &Path) -> Vec<String> {
    let profile = tempfile::tempdir().unwrap();
    // The preferred scheme by number: 0 is dark, 1 light.
    let scheme = u8::from(!dark);
    let mut command = Command::new(chromium);
    command
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
        ])
        .args([
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
        ])
        .args(["--enable-logging=stderr", "--force-device-scale-factor=1"])
        .arg(format!("--blink-settings=preferredColorScheme={scheme}"))
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--window-size={width},{HEIGHT}"))
        .arg(format!("--screenshot={}", shot.display()))
        .arg(format!("file://{}", page.display()));
    let finished = process::run(&mut command, LIMIT).unwrap();
    assert!(
        finished.success(),
        "{}: {}",
        finished.ending(),
        finished.stderr
    );
    let png = fs::read(shot).unwrap();
    assert!(
        png.starts_with(b"\x89PNG") && png.len() > 10_000,
        "an empty screenshot"
    );
    let console = finished
        .stderr
        .lines()
        .filter(|line| line.contains("CONSOLE"));
    console.map(str::to_owned).collect()
}

/// A browser does not make its window as narrow as a telephone, but a frame in it.
fn framed(page: &Path, directory: &Path, width: u32) -> PathBuf {
    let frame = directory.join(format!("frame-{width}.html"));
    let text = format!(
        "<!DOCTYPE html><style>body {{ margin: 0 }} iframe {{ border: 0; display: block }}</style>\
         <iframe width=\"{width}\" height=\"{HEIGHT}\" src=\"{}\"></iframe>",
        page.file_name().unwrap().display()
    );
    fs::write(&frame, text).unwrap();
    frame
}

/// Width of the view, width of the page, colour of its background.
fn probed(console: &[String]) -> (u32, u32, String) {
    let line = console.iter().find_map(|line| line.split_once("\"probe "));
    let (_, probe) = line.unwrap_or_else(|| panic!("no probe: {console:?}"));
    let mut words = probe.splitn(3, ' ');
    let mut number = || words.next().unwrap().parse().unwrap();
    let (view, page) = (number(), number());
    let colour = words.next().unwrap().split('"').next().unwrap();
    (view, page, colour.to_owned())
}

#[test]
fn the_page_fits_in_light_and_dark_and_the_console_is_silent() {
    let Some(chromium) = chromium() else {
        return;
    };
    let report = Report::from_json(include_str!("fixtures/report.json")).unwrap();
    let text = html(&report);
    let directory = tempfile::tempdir().unwrap();
    let shots = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (page, copy) = (
        directory.path().join("report.html"),
        directory.path().join("copy.html"),
    );
    fs::write(&page, &text).unwrap();
    fs::write(&copy, text.replace("</body>", PROBE)).unwrap();
    let console = show(&chromium, &page, false, 1280, &shots.join("report.png"));
    assert!(console.is_empty(), "{console:#?}");
    let mut colours = Vec::new();
    for width in [390, 1280] {
        let frame = framed(&copy, directory.path(), width);
        for (dark, word) in [(false, "light"), (true, "dark")] {
            let shot = shots.join(format!("report-{width}-{word}.png"));
            let console = show(&chromium, &frame, dark, width.max(500), &shot);
            let (view, page, colour) = probed(&console);
            assert_eq!(
                (view, page),
                (width, width),
                "the page is wider than its view"
            );
            assert_eq!(console.len(), 1, "{console:#?}");
            colours.push(colour);
        }
    }
    assert_ne!(colours[0], colours[1], "dark looks like light");
    assert_eq!(colours[..2], colours[2..]);
    eprintln!("screenshots: {}", shots.join("report-*.png").display());
}
