//! Operations on open files, except the data themselves.

use std::ffi::OsStr;

use crate::platform::FallocateFlags;
use rustix::fs::OFlags;

use super::opens::{OpenMode, is_mappable_writable};
use super::{DynamicFS, EntryAnswer, FileAccess, Opened};
use crate::config::IoMode;
use crate::storage::{
    Caller, CreateMode, Entry, Errno, Fh, Ino, NO_HANDLE, OpenFlags, Result, SeekTo,
};

impl DynamicFS {
    /// Opens a file.
    ///
    /// # Errors
    /// Besides those of the storage `ENOSYS`, on a mount where opens are no requests: the kernel takes it
    /// for all files.
    pub fn open(&self, caller: &Caller, ino: Ino, flags: OpenFlags) -> Result<Opened> {
        if self.policy().stateless_files {
            return Err(Errno::NOSYS);
        }
        let truncates = flags.contains(OFlags::TRUNC);
        if truncates && self.opens.is_executed(ino) {
            return Err(Errno::TXTBSY);
        }
        if truncates {
            self.data_path.discard(ino, 0);
        }
        let opened = self.storage.open(caller, ino, flags);
        if truncates {
            self.data_path.changed_from(ino, 0);
        }
        Ok(self.admit(ino, opened?, flags))
    }

    /// Creates and opens a file.
    pub fn create(
        &self,
        caller: &Caller,
        parent: Ino,
        name: &OsStr,
        mode: CreateMode,
        flags: OpenFlags,
    ) -> Result<(EntryAnswer, Opened)> {
        let flags = self.flags_of_new(flags);
        let made = self.storage.create(caller, parent, name, mode, flags)?;
        self.opened_new(made, flags)
    }

    /// Creates and opens a file without a name.
    pub fn tmpfile(
        &self,
        caller: &Caller,
        parent: Ino,
        mode: CreateMode,
        flags: OpenFlags,
    ) -> Result<(EntryAnswer, Opened)> {
        let flags = self.flags_of_new(flags);
        let made = self.storage.tmpfile(caller, parent, mode, flags)?;
        self.opened_new(made, flags)
    }

    /// Where opens are no requests, others will write to the same open file, and the kernel sends an FSYNC
    /// after each write that shall be synchronous.
    fn flags_of_new(&self, flags: OpenFlags) -> OpenFlags {
        match self.policy().stateless_files {
            true => flags - OFlags::SYNC - OFlags::DSYNC,
            false => flags,
        }
    }

    /// The answer for a file that the storage has just made and opened.
    fn opened_new(
        &self,
        (entry, fh): (Entry, Fh),
        flags: OpenFlags,
    ) -> Result<(EntryAnswer, Opened)> {
        let ino = entry.attr.ino;
        let policy = self.policy();
        if policy.stateless_files {
            // Its close is no request either.
            self.storage.detach(ino, fh)?;
            let opened = Opened {
                fh: NO_HANDLE,
                access: FileAccess::Cached {
                    keep: policy.keep_cache,
                },
                no_flush: policy.no_flush,
            };
            return Ok((self.answer(entry), opened));
        }
        let opened = self.admit(ino, fh, flags);
        let mut answer = self.answer(entry);
        if let EntryAnswer::Found { attr, attr_ttl, .. } = &mut answer
            && attr.size == 0
        {
            // A mapping of it cannot be written to before it grows, and that the kernel notices. So its
            // name and attributes may be kept, whatever comes after.
            *attr_ttl = entry.attr_ttl.unwrap_or(policy.attr_ttl);
        }
        Ok((answer, opened))
    }

    /// Decides the way of the data for a file that the storage has just opened.
    fn admit(&self, ino: Ino, fh: Fh, flags: OpenFlags) -> Opened {
        let policy = self.policy();
        let backing = if policy.io_mode == IoMode::Passthrough {
            self.storage.backing_file(ino, fh)
        } else {
            None
        };
        let wanted = match policy.io_mode {
            IoMode::Direct => OpenMode::Direct,
            _ if backing.is_some() && policy.passthrough() => OpenMode::Passthrough,
            _ => OpenMode::Cached,
        };
        let mappable = is_mappable_writable(flags);
        let mode = self.opens.admit(ino, wanted, flags);
        let access = match (mode, backing) {
            (OpenMode::Passthrough, Some(file)) => {
                if mappable {
                    // What the kernel has cached was allowed to live; from here on it may not.
                    self.invalidator.attributes(ino);
                }
                FileAccess::Passthrough(file)
            }
            (OpenMode::Direct, _) => FileAccess::Direct,
            _ => FileAccess::Cached {
                keep: policy.keep_cache,
            },
        };
        Opened {
            fh,
            access,
            no_flush: policy.no_flush,
        }
    }

    /// A transport could not register the backing file of `ino`: this and all later opens of the
    /// mount are cached ones. Returns the access to use instead.
    pub fn passthrough_refused(&self, ino: Ino, error: &std::io::Error) -> FileAccess {
        self.policy().refuse_passthrough(format!(
            "the kernel refused to register a backing file: {error}"
        ));
        self.opens.fall_back(ino);
        FileAccess::Cached {
            keep: self.policy().keep_cache,
        }
    }

    /// A descriptor was closed.
    ///
    /// # Errors
    /// Besides those of the storage `ENOSYS`, on a mount where closes are no requests: the kernel takes it
    /// for all files.
    pub fn flush(&self, ino: Ino, fh: Fh, lock_owner: u64) -> Result<()> {
        if self.policy().stateless_files && self.policy().no_flush {
            return Err(Errno::NOSYS);
        }
        self.release_posix_locks(ino, lock_owner);
        self.data_path.flush_inode(ino)?;
        self.storage.flush(ino, fh)
    }

    /// The open file is gone.
    pub fn release(&self, ino: Ino, fh: Fh, flags: OpenFlags) -> Result<()> {
        if self.policy().stateless_files {
            // Of a file that was created before the kernel knew that it need not send this.
            return Ok(());
        }
        self.release_file_locks(ino, fh);
        let flushed = self.data_path.flush_inode(ino);
        self.data_path.closed(ino);
        self.opens.dismiss(ino, flags);
        self.storage.release(ino, fh).and(flushed)
    }

    /// Makes a file durable.
    pub fn fsync(&self, ino: Ino, fh: Fh, datasync: bool) -> Result<()> {
        self.data_path.flush_inode(ino)?;
        self.storage.fsync(ino, fh, datasync)
    }

    /// Allocates, punches or zeroes a range.
    pub fn fallocate(
        &self,
        caller: &Caller,
        ino: Ino,
        fh: Fh,
        mode: FallocateFlags,
        offset: u64,
        len: u64,
    ) -> Result<()> {
        self.data_path.write_back(ino);
        let outcome = self.storage.fallocate(caller, ino, fh, mode, offset, len);
        // Some modes move what follows, and after an error part may have been done.
        self.data_path.changed_from(ino, offset);
        outcome
    }

    /// Finds data or a hole.
    pub fn lseek(&self, ino: Ino, fh: Fh, offset: u64, to: SeekTo) -> Result<u64> {
        self.data_path.write_back(ino);
        self.storage.lseek(ino, fh, offset, to)
    }

    /// Copies between two open files.
    #[allow(clippy::too_many_arguments)]
    pub fn copy_file_range(
        &self,
        caller: &Caller,
        ino_in: Ino,
        fh_in: Fh,
        offset_in: u64,
        ino_out: Ino,
        fh_out: Fh,
        offset_out: u64,
        len: u64,
    ) -> Result<usize> {
        if offset_in.checked_add(len).is_none() || offset_out.checked_add(len).is_none() {
            return Err(Errno::OVERFLOW);
        }
        self.data_path.write_back(ino_in);
        self.data_path.write_back(ino_out);
        let copied = self.storage.copy_file_range(
            caller, ino_in, fh_in, offset_in, ino_out, fh_out, offset_out, len,
        );
        self.data_path.changed(ino_out, offset_out, len);
        copied
    }
}
