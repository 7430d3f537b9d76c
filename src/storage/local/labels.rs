//! Labels of SELinux for what is created.
//!
//! A thread says beforehand which label its next creations bear (setfscreatecon(3)), so nothing is ever there without
//! its own.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};

use crate::storage::types::{Errno, Result, SecurityLabel};

/// The attribute whose value the file of a thread takes.
const ATTRIBUTE: &str = "security.selinux";

/// The label of what this thread creates (proc_pid_attr(5)).
const FSCREATE: &str = "/proc/thread-self/attr/fscreate";

/// Takes the label of a thread back, as an empty line in place of a context.
const NONE: &[u8] = b"\n";

/// Whether this kernel runs SELinux: others cannot be read so.
pub(super) fn are_kept() -> bool {
    std::fs::read(FSCREATE).is_ok()
}

/// This thread's creations bear a label, until this is dropped.
#[must_use]
pub(super) struct Labelling(OwnedFd);

impl Labelling {
    /// # Errors
    /// `EOPNOTSUPP` for the attribute of another module, and what SELinux says of the context: `EINVAL` where its policy
    /// does not know it, `EACCES` where the daemon must not choose labels.
    pub(super) fn with(label: &SecurityLabel) -> Result<Labelling> {
        if label.name != ATTRIBUTE {
            return Err(Errno::OPNOTSUPP);
        }
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::open(FSCREATE, flags, Mode::empty())?;
        rustix::io::pwrite(&file, &label.value, 0)?;
        Ok(Labelling(file))
    }
}

impl Drop for Labelling {
    fn drop(&mut self) {
        let back = rustix::io::pwrite(&self.0, NONE, 0);
        // What this thread may set, it may take back; going on would label what others create.
        debug_assert_eq!(back, Ok(NONE.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_of_another_module_is_refused() {
        let label = SecurityLabel {
            name: "security.SMACK64".into(),
            value: b"_".to_vec(),
        };
        let refused = Labelling::with(&label).err();
        assert_eq!(refused, Some(Errno::OPNOTSUPP));
    }

    #[test]
    fn without_selinux_no_label_is_lost_in_silence() {
        let label = SecurityLabel {
            name: ATTRIBUTE.into(),
            value: b"no:such:context\0".to_vec(),
        };
        // No policy knows this context either.
        assert!(Labelling::with(&label).is_err());
    }
}
