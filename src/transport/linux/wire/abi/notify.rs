//! `enum fuse_notify_code`, and what follows the header of a notification.

use super::{NotifyEntryFlags, wire_structs};

/// What a notification tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
pub(crate) enum NotifyCode {
    /// A polled file is ready.
    Poll = 1,
    /// Drop attributes, and pages of a range.
    InvalInode = 2,
    /// Drop or expire a name.
    InvalEntry = 3,
    /// Put data into the page cache.
    Store = 4,
    /// Send cached data as [`NotifyReply`](super::Opcode::NotifyReply).
    Retrieve = 5,
    /// A name is gone, and who watches it shall know.
    Delete = 6,
    /// Send requests that are under way again (7.40).
    Resend = 7,
    /// Look up every cached name again before it is used (7.44).
    IncEpoch = 8,
    /// Forget inodes that nobody uses (7.45).
    Prune = 9,
}

wire_structs! {
    /// `struct fuse_notify_poll_wakeup_out`.
    NotifyPollWakeupOut {
        /// As in the POLL request.
        kh: u64,
    }

    /// `struct fuse_notify_inval_inode_out`.
    NotifyInvalInodeOut {
        ino: u64,
        /// First byte to drop; negative: attributes only.
        off: i64,
        /// Bytes to drop; 0 or less: to the end.
        len: i64,
    }

    /// `struct fuse_notify_inval_entry_out`; the name and a NUL follow.
    NotifyInvalEntryOut {
        parent: u64,
        /// Without the NUL.
        namelen: u32,
        flags: NotifyEntryFlags,
    }

    /// `struct fuse_notify_delete_out`; the name and a NUL follow.
    NotifyDeleteOut {
        parent: u64,
        child: u64,
        /// Without the NUL.
        namelen: u32,
        padding: u32,
    }

    /// `struct fuse_notify_store_out`; the data follow.
    NotifyStoreOut {
        nodeid: u64,
        offset: u64,
        size: u32,
        padding: u32,
    }

    /// `struct fuse_notify_retrieve_out`.
    NotifyRetrieveOut {
        /// Comes back as the number of the [`NotifyReply`](super::Opcode::NotifyReply).
        notify_unique: u64,
        nodeid: u64,
        offset: u64,
        size: u32,
        padding: u32,
    }

    /// `struct fuse_notify_prune_out`; as many inode numbers follow.
    NotifyPruneOut {
        count: u32,
        padding: u32,
        spare: u64,
    }
}
