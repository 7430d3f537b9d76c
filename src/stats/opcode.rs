//! The operations that are counted.

macro_rules! opcodes {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)*) => {
        /// An operation of the FUSE protocol (`enum fuse_opcode` in the kernel's `fuse.h`).
        ///
        /// RENAME2 counts as RENAME, SETLKW as SETLK, BATCH_FORGET as one FORGET, STATX as GETATTR,
        /// TMPFILE as CREATE, COPY_FILE_RANGE_64 as COPY_FILE_RANGE.
        ///
        /// Not counted are INIT and DESTROY, once each in the life of a mount, INTERRUPT, and the
        /// requests of users whom `allow_root` keeps out; nor what `fuser` refuses before it hands it
        /// over: STATX, TMPFILE, COPY_FILE_RANGE_64 and what newer kernels add. The kernel takes that
        /// answer for the whole mount, so each occurs once or, where several are under way at that
        /// moment, a few times.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Opcode {
            $(#[doc = concat!("`FUSE_", $name, "`")] $variant,)*
        }

        impl Opcode {
            /// All of them.
            pub const ALL: &'static [Opcode] = &[$(Opcode::$variant,)*];

            /// The kernel's name, without `FUSE_`, in capitals.
            pub fn name(self) -> &'static str {
                match self {
                    $(Opcode::$variant => $name,)*
                }
            }
        }
    };
}

opcodes! {
    Lookup => "LOOKUP",
    Forget => "FORGET",
    GetAttr => "GETATTR",
    SetAttr => "SETATTR",
    ReadLink => "READLINK",
    SymLink => "SYMLINK",
    MkNod => "MKNOD",
    MkDir => "MKDIR",
    Unlink => "UNLINK",
    RmDir => "RMDIR",
    Rename => "RENAME",
    Link => "LINK",
    Open => "OPEN",
    Read => "READ",
    Write => "WRITE",
    StatFs => "STATFS",
    Release => "RELEASE",
    FSync => "FSYNC",
    SetXAttr => "SETXATTR",
    GetXAttr => "GETXATTR",
    ListXAttr => "LISTXATTR",
    RemoveXAttr => "REMOVEXATTR",
    Flush => "FLUSH",
    OpenDir => "OPENDIR",
    ReadDir => "READDIR",
    ReadDirPlus => "READDIRPLUS",
    ReleaseDir => "RELEASEDIR",
    FSyncDir => "FSYNCDIR",
    GetLk => "GETLK",
    SetLk => "SETLK",
    Access => "ACCESS",
    Create => "CREATE",
    Fallocate => "FALLOCATE",
    LSeek => "LSEEK",
    CopyFileRange => "COPY_FILE_RANGE",
    IoCtl => "IOCTL",
    Poll => "POLL",
    BMap => "BMAP",
}
