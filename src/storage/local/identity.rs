//! Acting as the caller: thread-level credentials and umask.
//!
//! Between operations every serving thread is privileged: it has at least the capabilities that
//! override permissions. Its file system ids may still be those of the last caller, so that
//! repeated requests of one caller switch nothing. [`Identity::checked`] gives up all
//! capabilities, until its guard is dropped.

use std::cell::RefCell;
use std::fs::File;
use std::io::{ErrorKind, Read};

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::Gid;
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::labels::Labelling;
use super::sys;
use crate::storage::types::{Caller, PermissionChecks, Result};

/// The group of no file: `fs.overflowgid` by default, `nogroup`.
const OVERFLOW_GID: u32 = 65_534;

/// Capabilities of a thread between full and none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// All that the daemon has.
    Full,
    /// Overrides permissions, but reserved blocks and quotas are kept.
    Keeping,
    /// The same, and set-id bits are dropped as for the caller.
    Acting,
    /// None but those that lead back.
    Checked,
}

/// What is known of this thread's credentials; `None` until first set.
#[derive(Default)]
struct Current {
    uid: Option<u32>,
    gid: Option<u32>,
    groups: Option<Vec<u32>>,
    level: Option<Level>,
    own_umask: bool,
    umask: Option<u32>,
}

thread_local! {
    static CURRENT: RefCell<Current> = RefCell::default();
}

/// Which supplementary groups an identity needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Groups {
    /// They decide nothing here.
    Any,
    /// That of the directory, if the caller is a member.
    OfDirectory,
    /// Those of the caller.
    OfCaller,
}

/// The daemon's own identity, and whether it can take others.
#[derive(Debug)]
pub(super) struct Identity {
    uid: u32,
    gid: u32,
    capabilities: CapabilitySets,
    can_switch: bool,
    pub(super) checks: PermissionChecks,
}

/// Ends a stretch without capabilities.
#[must_use]
pub(super) struct Checked<'a>(Option<&'a Identity>);

impl Drop for Checked<'_> {
    fn drop(&mut self) {
        if let Some(identity) = self.0 {
            let back = CURRENT.with_borrow_mut(|now| identity.set_level(now, Level::Acting));
            // Raising permitted capabilities cannot fail; going on without would turn every
            // later operation of this thread into EACCES.
            debug_assert_eq!(back, Ok(()));
        }
    }
}

/// Ends a stretch in which what is created is the caller's.
#[must_use]
pub(super) struct Creating<'a> {
    _checked: Checked<'a>,
    _labelling: Option<Labelling>,
}

impl Identity {
    pub(super) fn of_this_process(checks: PermissionChecks) -> Result<Identity> {
        let mut capabilities = rustix::thread::capabilities(None)?;
        // A builder on a thread that served before: its effective set may be the smaller.
        capabilities.effective = capabilities.permitted;
        let needed = CapabilitySet::SETUID
            | CapabilitySet::SETGID
            | CapabilitySet::DAC_OVERRIDE
            | CapabilitySet::CHOWN;
        let uid = rustix::process::geteuid().as_raw();
        Ok(Identity {
            uid,
            gid: rustix::process::getegid().as_raw(),
            can_switch: uid == 0 && capabilities.permitted.contains(needed),
            capabilities,
            checks,
        })
    }

    /// May threads act as others? Only root with its capabilities can.
    pub(super) fn can_switch(&self) -> bool {
        self.can_switch
    }

    /// The daemon itself, with all its capabilities.
    pub(super) fn daemon(&self) -> Result<()> {
        self.become_root(self.gid)
    }

    fn become_root(&self, gid: u32) -> Result<()> {
        self.become_root_with(gid, Level::Full)
    }

    /// A caller whose user is root, though perhaps without all of its capabilities.
    fn become_caller_root(&self, caller: &Caller) -> Result<()> {
        let level = match caller.keeps_set_ids {
            true => Level::Full,
            false => Level::Acting,
        };
        self.become_root_with(caller.gid, level)
    }

    fn become_root_with(&self, gid: u32, level: Level) -> Result<()> {
        if !self.can_switch {
            return Ok(());
        }
        CURRENT.with_borrow_mut(|now| {
            self.set_ids(now, self.uid, gid)?;
            self.set_level(now, level)
        })
    }

    /// Root that is in no group of any file: who the caller is, only the kernel knows. For threads that
    /// can switch.
    fn become_stranger(&self, caller: &Caller) -> Result<()> {
        let level = match caller.keeps_set_ids {
            true => Level::Keeping,
            false => Level::Acting,
        };
        CURRENT.with_borrow_mut(|now| {
            self.set_groups(now, Vec::new())?;
            self.set_ids(now, self.uid, OVERFLOW_GID)?;
            self.set_level(now, level)
        })
    }

    /// The owner of what `caller` creates and writes, with the daemon's right to do it.
    pub(super) fn acting(&self, caller: &Caller, groups: Groups) -> Result<()> {
        if caller.uid == 0 {
            return self.become_caller_root(caller);
        }
        if !self.can_switch {
            return Ok(());
        }
        if caller.is_unknown() {
            return self.become_stranger(caller);
        }
        CURRENT.with_borrow_mut(|now| {
            match (groups, caller.directory_group) {
                (Groups::Any, _) => {}
                (Groups::OfDirectory, Some(group)) => self.set_groups(now, vec![group])?,
                (Groups::OfDirectory, None) | (Groups::OfCaller, _) => {
                    self.set_groups(now, supplementary_groups(caller)?)?;
                }
            }
            self.set_ids(now, caller.uid, caller.gid)?;
            self.set_level(now, Level::Acting)
        })
    }

    /// `caller` with the caller's rights alone, where the storage checks; otherwise privileged.
    pub(super) fn checked(&self, caller: &Caller) -> Result<Checked<'_>> {
        if self.checks == PermissionChecks::Kernel || !self.can_switch {
            return Ok(Checked(None));
        }
        if caller.uid == 0 {
            self.become_caller_root(caller)?;
            return Ok(Checked(None));
        }
        let mut groups = supplementary_groups(caller)?;
        // A caller in another pid namespace has none that could be read.
        let told = caller.directory_group;
        groups.extend(told.filter(|group| !groups.contains(group)));
        CURRENT.with_borrow_mut(|now| {
            self.set_groups(now, groups)?;
            self.set_ids(now, caller.uid, caller.gid)?;
            self.set_level(now, Level::Checked)
        })?;
        Ok(Checked(Some(self)))
    }

    /// For creating: owned by `caller` and with its label, the mode cut by the umask or the default ACL.
    /// Returns the mode to pass on.
    pub(super) fn creating(
        &self,
        caller: &Caller,
        mode: u32,
        umask: u32,
    ) -> Result<(Creating<'_>, Mode)> {
        let label = caller.label.as_deref();
        let labelling = label.map(Labelling::with).transpose()?;
        let (checked, mode) = self.owning(caller, mode, umask)?;
        let creating = Creating {
            _checked: checked,
            _labelling: labelling,
        };
        Ok((creating, mode))
    }

    fn owning(&self, caller: &Caller, mode: u32, umask: u32) -> Result<(Checked<'_>, Mode)> {
        let set_gid = mode & libc::S_ISGID != 0;
        let mode = Mode::from_raw_mode(set_umask(mode & 0o7777, umask & 0o777));
        if self.checks == PermissionChecks::Storage {
            return Ok((self.checked(caller)?, mode));
        }
        // S_ISGID stays only for members of the group (`mode_strip_sgid` in fs/inode.c).
        let groups = if set_gid {
            Groups::OfDirectory
        } else {
            Groups::Any
        };
        self.acting(caller, groups)?;
        Ok((Checked(None), mode))
    }

    fn set_ids(&self, now: &mut Current, uid: u32, gid: u32) -> Result<()> {
        if now.gid != Some(gid) {
            sys::set_thread_fsgid(gid)?;
            now.gid = Some(gid);
        }
        if now.uid != Some(uid) {
            sys::set_thread_fsuid(uid)?;
            now.uid = Some(uid);
            // The kernel adds or removes file system capabilities with a change from or to 0.
            now.level = None;
        }
        Ok(())
    }

    fn set_groups(&self, now: &mut Current, groups: Vec<u32>) -> Result<()> {
        if now.groups.as_ref() == Some(&groups) {
            return Ok(());
        }
        let raw: Vec<Gid> = groups.iter().map(|&gid| Gid::from_raw(gid)).collect();
        rustix::thread::set_thread_groups(&raw)?;
        now.groups = Some(groups);
        Ok(())
    }

    fn set_level(&self, now: &mut Current, level: Level) -> Result<()> {
        if now.level == Some(level) {
            return Ok(());
        }
        let leading_back = CapabilitySet::SETUID | CapabilitySet::SETGID;
        let all = self.capabilities.permitted;
        let effective = match level {
            Level::Full => all,
            Level::Keeping => all - CapabilitySet::SYS_RESOURCE,
            Level::Acting => all - CapabilitySet::FSETID - CapabilitySet::SYS_RESOURCE,
            Level::Checked => all & leading_back,
        };
        rustix::thread::set_capabilities(
            None,
            CapabilitySets {
                effective,
                ..self.capabilities
            },
        )?;
        now.level = Some(level);
        Ok(())
    }
}

/// Sets the umask of this thread and returns the mode to create with. Where a thread cannot have
/// a umask of its own (a seccomp filter), the mode is cut here, and default ACLs see the cut one.
fn set_umask(mode: u32, umask: u32) -> u32 {
    CURRENT.with_borrow_mut(|now| {
        if now.umask == Some(umask) {
            return mode;
        }
        if !now.own_umask {
            if sys::unshare_umask().is_err() {
                return mode & !umask;
            }
            now.own_umask = true;
        }
        rustix::process::umask(Mode::from_raw_mode(umask));
        now.umask = Some(umask);
        mode
    })
}

/// The supplementary groups of the calling thread; none when it is gone or has changed its ids.
fn supplementary_groups(caller: &Caller) -> Result<Vec<u32>> {
    if caller.pid == 0 {
        return Ok(Vec::new());
    }
    let mut status = Vec::with_capacity(4096);
    let read = File::open(format!("/proc/{}/status", caller.pid))
        .and_then(|mut file| file.read_to_end(&mut status));
    match read {
        Ok(_) => Ok(parse_groups(&status, caller)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => match Errno::from_io_error(&e) {
            // The thread ended between open and read.
            Some(Errno::SRCH) => Ok(Vec::new()),
            other => Err(other.unwrap_or(Errno::IO)),
        },
    }
}

fn parse_groups(status: &[u8], caller: &Caller) -> Vec<u32> {
    let field = |key: &str| {
        status.split(|&b| b == b'\n').find_map(|line| {
            let rest = line.strip_prefix(key.as_bytes())?;
            let text = std::str::from_utf8(rest).ok()?;
            let numbers: Vec<u32> = text
                .split_ascii_whitespace()
                .filter_map(|n| n.parse().ok())
                .collect();
            Some(numbers)
        })
    };
    // Real, effective, saved, file system: a different last one means another process by now.
    let fs_id = |key| field(key).and_then(|ids| ids.get(3).copied());
    if fs_id("Uid:") != Some(caller.uid) || fs_id("Gid:") != Some(caller.gid) {
        return Vec::new();
    }
    field("Groups:").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &[u8] = b"Name:\tsh\nUmask:\t0022\nUid:\t7\t7\t7\t7\nGid:\t8\t8\t8\t9\nFDSize:\t256\nGroups:\t4 24 1000 \nNStgid:\t1\n";

    #[test]
    fn groups_come_from_the_status_of_the_same_caller() {
        let caller = Caller {
            uid: 7,
            gid: 9,
            pid: 1,
            keeps_set_ids: true,
            directory_group: None,
            label: None,
        };
        assert_eq!(parse_groups(STATUS, &caller), [4, 24, 1000]);
        let other = Caller {
            gid: 8,
            ..caller.clone()
        };
        assert_eq!(parse_groups(STATUS, &other), Vec::<u32>::new());
    }

    #[test]
    fn a_caller_that_is_gone_has_no_groups() {
        let gone = Caller {
            uid: 7,
            gid: 9,
            pid: u32::MAX >> 1,
            keeps_set_ids: true,
            directory_group: None,
            label: None,
        };
        assert_eq!(supplementary_groups(&gone), Ok(Vec::new()));
    }
}
