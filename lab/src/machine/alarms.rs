//! What a kernel prints when something is wrong with it, whatever the suites say.

use serde::{Deserialize, Serialize};

/// Something is wrong with a kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// What kind of fault, in a word or two.
    pub kind: String,
    /// The line of the console.
    pub line: String,
}

/// What the kernel's lines contain, and what that is called.
const MARKS: &[(&str, &str)] = &[
    ("Kernel panic", "panic"),
    ("BUG: KASAN", "KASAN"),
    ("BUG: KCSAN", "KCSAN"),
    ("UBSAN:", "UBSAN"),
    ("BUG: soft lockup", "soft lockup"),
    ("BUG: ", "oops"),
    ("kernel BUG at", "oops"),
    ("Oops:", "oops"),
    ("general protection fault", "oops"),
    ("WARNING: possible circular locking", "lockdep"),
    ("WARNING: possible recursive locking", "lockdep"),
    ("WARNING: inconsistent lock state", "lockdep"),
    ("WARNING: CPU:", "warning"),
    ("blocked for more than", "hung task"),
    ("EXT4-fs error", "ext4 error"),
];

/// The alarms on a console.
pub fn find(console: &str) -> Vec<Alarm> {
    console.lines().filter_map(alarm).collect()
}

fn alarm(line: &str) -> Option<Alarm> {
    let (_, kind) = MARKS.iter().find(|(mark, _)| line.contains(mark))?;
    Some(Alarm {
        kind: (*kind).to_owned(),
        line: line.trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernels_cries_are_heard_and_its_chatter_is_not() {
        let console = "\
[    0.1] Linux version 6.12\n\
[    0.2] Warning: unable to open an initial console.\n\
[    9.1] BUG: kernel NULL pointer dereference, address: 0000000000000008\n\
[  130.2] INFO: task cp:77 blocked for more than 120 seconds.\n\
[  131.0] BUG: KASAN: use-after-free in fuse_get_req\n\
[  132.0] WARNING: CPU: 0 PID: 7 at fs/fuse/file.c:1\n";
        let kinds: Vec<String> = find(console).into_iter().map(|alarm| alarm.kind).collect();
        assert_eq!(kinds, ["oops", "hung task", "KASAN", "warning"]);
    }
}
