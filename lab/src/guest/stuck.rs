//! Where tasks hang.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// The tasks that wait in the kernel and cannot be interrupted (state D in proc_pid_stat(5)), each with
/// its stack in the kernel; and the same on the console (sysrq `w`), where it survives the guest.
pub(super) fn report() -> String {
    let _ = fs::write("/proc/sysrq-trigger", "w");
    let mut text = String::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let tasks = fs::read_dir(process.path().join("task"));
        for task in tasks.into_iter().flatten().flatten() {
            describe(&task.path(), &mut text);
        }
    }
    if text.is_empty() {
        text.push_str("no task hangs in the kernel");
    }
    text
}

fn describe(task: &Path, text: &mut String) {
    let read = |name: &str| fs::read_to_string(task.join(name)).unwrap_or_default();
    let stat = read("stat");
    // The name is in parentheses and may have blanks and parentheses of its own.
    let state = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    if state.starts_with('D') {
        let name = read("comm");
        let id = task.file_name().unwrap_or_default().display();
        let _ = writeln!(
            text,
            "task {id} ({}) hangs:\n{}",
            name.trim(),
            read("stack")
        );
    }
}
