//! rename(2) and its flags.

use std::ffi::OsStr;
use std::sync::Arc;

use rustix::fs::Access;

use super::dir::Target;
use super::fs::{Fs, Tree, is_dot};
use super::names::drop_name;
use super::node::Node;
use crate::platform::RenameFlags;
use crate::storage::{Caller, Errno, Ino, ROOT_INO, Result};

/// One side of a rename.
struct Side<'a> {
    dir: Arc<Node>,
    name: &'a OsStr,
    target: Option<Target>,
}

impl Fs {
    /// The checks come in the order of the kernel's `do_renameat2` and `vfs_rename`, because the
    /// order decides which of several errors is seen.
    pub(super) fn rename(
        &self,
        caller: &Caller,
        from: (Ino, &OsStr),
        to: (Ino, &OsStr),
        flags: RenameFlags,
    ) -> Result<()> {
        let exchange = flags.contains(RenameFlags::EXCHANGE);
        let noreplace = flags.contains(RenameFlags::NOREPLACE);
        let known = RenameFlags::EXCHANGE | RenameFlags::NOREPLACE;
        if !known.contains(flags) || (exchange && noreplace) {
            return Err(Errno::INVAL);
        }
        let mut tree = self.tree_mut();
        let from = self.side(&tree, caller, from)?;
        let to = self.side(&tree, caller, to)?;
        if is_dot(from.name) || is_dot(to.name) {
            return Err(Errno::BUSY);
        }
        let moved = Arc::clone(tree.get(from.target.ok_or(Errno::NOENT)?.ino)?);
        if noreplace && to.target.is_some() {
            return Err(Errno::EXIST);
        }
        if exchange && to.target.is_none() {
            return Err(Errno::NOENT);
        }
        if is_below(&tree, &to.dir, moved.ino)? {
            return Err(Errno::INVAL);
        }
        let replaced = match to.target {
            Some(target) => Some(Arc::clone(tree.get(target.ino)?)),
            None => None,
        };
        if let Some(replaced) = &replaced {
            if is_below(&tree, &from.dir, replaced.ino)? {
                return Err(if exchange {
                    Errno::INVAL
                } else {
                    Errno::NOTEMPTY
                });
            }
            if replaced.ino == moved.ino {
                return Ok(());
            }
        }
        self.check_rename(caller, &from, &to, &moved, replaced.as_deref(), exchange)?;
        match replaced {
            Some(replaced) if exchange => self.exchange(&from, &to, &moved, &replaced),
            replaced => self.replace(&mut tree, &from, &to, &moved, replaced.as_deref()),
        }
    }

    fn side<'a>(
        &self,
        tree: &Tree,
        caller: &Caller,
        (parent, name): (Ino, &'a OsStr),
    ) -> Result<Side<'a>> {
        let (dir, target) = self.parent_for_change(tree, caller, parent, name)?;
        Ok(Side {
            dir: Arc::clone(dir),
            name,
            target,
        })
    }

    fn check_rename(
        &self,
        caller: &Caller,
        from: &Side<'_>,
        to: &Side<'_>,
        moved: &Node,
        replaced: Option<&Node>,
        exchange: bool,
    ) -> Result<()> {
        self.check_removal(&from.dir, moved, caller)?;
        match replaced {
            None => self.check_insertion(&to.dir, caller)?,
            Some(replaced) => {
                self.check_removal(&to.dir, replaced, caller)?;
                match (moved.is_dir(), replaced.is_dir()) {
                    _ if exchange => {}
                    (true, false) => return Err(Errno::NOTDIR),
                    (false, true) => return Err(Errno::ISDIR),
                    _ => {}
                }
            }
        }
        if from.dir.ino != to.dir.ino {
            // A directory that moves gets another `..`, which is a write to it.
            for node in [Some(moved), replaced.filter(|_| exchange)] {
                if let Some(node) = node.filter(|node| node.is_dir()) {
                    self.check(node, caller, Access::WRITE_OK)?;
                }
            }
        }
        match replaced {
            Some(replaced) if replaced.is_dir() && !exchange => {
                match replaced.directory()?.read().is_empty() {
                    true => Ok(()),
                    false => Err(Errno::NOTEMPTY),
                }
            }
            _ => Ok(()),
        }
    }

    fn exchange(&self, from: &Side<'_>, to: &Side<'_>, a: &Node, b: &Node) -> Result<()> {
        // Both names exist, so neither needs room.
        for (side, node) in [(to, a), (from, b)] {
            let mut names = side.dir.directory()?.write();
            names.set(&self.budget, side.name, target_of(node))?;
            drop(names);
            self.arrive(side, node)?;
        }
        Ok(())
    }

    fn replace(
        &self,
        tree: &mut Tree,
        from: &Side<'_>,
        to: &Side<'_>,
        moved: &Node,
        replaced: Option<&Node>,
    ) -> Result<()> {
        // The new name first: it is what can fail, for want of room.
        let mut names = to.dir.directory()?.write();
        names.set(&self.budget, to.name, target_of(moved))?;
        drop(names);
        from.dir.directory()?.write().remove(from.name);
        from.dir.meta.lock().modified();
        self.arrive(to, moved)?;
        if let Some(replaced) = replaced {
            drop_name(tree, replaced);
        }
        Ok(())
    }

    /// `node` has come to `side`.
    fn arrive(&self, side: &Side<'_>, node: &Node) -> Result<()> {
        if node.is_dir() {
            node.directory()?.write().parent = side.dir.ino;
        }
        node.meta.lock().changed();
        side.dir.meta.lock().modified();
        Ok(())
    }
}

fn target_of(node: &Node) -> Target {
    Target {
        ino: node.ino,
        kind: node.kind,
    }
}

/// Is `dir` the inode `ancestor`, or anywhere below it?
fn is_below(tree: &Tree, dir: &Node, ancestor: Ino) -> Result<bool> {
    let mut ino = dir.ino;
    loop {
        if ino == ancestor {
            return Ok(true);
        }
        if ino == ROOT_INO {
            return Ok(false);
        }
        let node = tree.get(ino)?;
        let names = node.directory()?.read();
        if names.removed {
            return Ok(false);
        }
        ino = names.parent;
    }
}
