//! Where tasks hang.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::process;

/// The tasks that wait in the kernel and cannot be interrupted (state D in proc_pid_stat(5)), each with
/// its stack in the kernel; and the same on the console (sysrq `w`), where it survives the guest.
pub(super) fn report() -> String {
    let _ = fs::write("/proc/sysrq-trigger", "w");
    let mut text = String::new();
    for task in process::tasks() {
        describe(&task, &mut text);
    }
    if text.is_empty() {
        text.push_str("no task hangs in the kernel");
    }
    text
}

fn describe(task: &Path, text: &mut String) {
    let read = |name: &str| fs::read_to_string(task.join(name)).unwrap_or_default();
    if process::task_state(task) == Some('D') {
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
