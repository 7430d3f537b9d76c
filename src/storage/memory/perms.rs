//! Permission checks as the kernel makes them, without ACLs and without supplementary groups.

use rustix::fs::Access;

use super::node::{Meta, Node};
use crate::platform::mode;
use crate::storage::{Caller, Errno, Result};

/// May `caller` access `node` in all the ways of `mask`?
pub(super) fn allow(node: &Node, caller: &Caller, mask: Access) -> Result<()> {
    let meta = node.meta.lock();
    let perm = u32::from(meta.perm);
    if caller.uid == 0 {
        let needs_x = mask.contains(Access::EXEC_OK) && !node.is_dir();
        return if needs_x && perm & 0o111 == 0 {
            Err(Errno::ACCESS)
        } else {
            Ok(())
        };
    }
    let granted = if caller.uid == meta.uid {
        perm >> 6
    } else if caller.gid == meta.gid {
        perm >> 3
    } else {
        perm
    };
    let wanted = [
        (Access::READ_OK, 4),
        (Access::WRITE_OK, 2),
        (Access::EXEC_OK, 1),
    ]
    .into_iter()
    .filter(|(flag, _)| mask.contains(*flag))
    .fold(0, |bits, (_, bit)| bits | bit);
    if granted & wanted == wanted {
        Ok(())
    } else {
        Err(Errno::ACCESS)
    }
}

/// Is `caller` the owner, or root?
pub(super) fn owns(meta: &Meta, caller: &Caller) -> bool {
    caller.uid == 0 || caller.uid == meta.uid
}

/// May `caller` remove a name of `node` from `dir`? The sticky bit, inode(7).
pub(super) fn allow_removal(dir: &Node, node: &Node, caller: &Caller) -> Result<()> {
    let sticky = {
        let meta = dir.meta.lock();
        u32::from(meta.perm) & mode::S_ISVTX != 0 && !owns(&meta, caller)
    };
    if sticky && !owns(&node.meta.lock(), caller) {
        return Err(Errno::PERM);
    }
    Ok(())
}
