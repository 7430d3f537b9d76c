//! `enum fuse_opcode`.

macro_rules! opcodes {
    ($($(#[$meta:meta])* $variant:ident = $number:literal,)*) => {
        /// What a request asks for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub(crate) enum Opcode {
            $($(#[$meta])* $variant = $number,)*
        }

        impl Opcode {
            /// All of them.
            pub(crate) const ALL: &'static [Opcode] = &[$(Opcode::$variant,)*];

            /// The operation of a number in a request's header.
            pub(crate) const fn from_number(number: u32) -> Option<Opcode> {
                match number {
                    $($number => Some(Opcode::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

opcodes! {
    Lookup = 1,
    /// No answer.
    Forget = 2,
    Getattr = 3,
    Setattr = 4,
    Readlink = 5,
    Symlink = 6,
    Mknod = 8,
    Mkdir = 9,
    Unlink = 10,
    Rmdir = 11,
    Rename = 12,
    Link = 13,
    Open = 14,
    Read = 15,
    Write = 16,
    Statfs = 17,
    Release = 18,
    Fsync = 20,
    Setxattr = 21,
    Getxattr = 22,
    Listxattr = 23,
    Removexattr = 24,
    Flush = 25,
    Init = 26,
    Opendir = 27,
    Readdir = 28,
    Releasedir = 29,
    Fsyncdir = 30,
    Getlk = 31,
    Setlk = 32,
    /// Waits for the lock.
    Setlkw = 33,
    Access = 34,
    Create = 35,
    /// An answer only where the request it names is not known: `EAGAIN`, and the kernel sends it again.
    Interrupt = 36,
    Bmap = 37,
    Destroy = 38,
    Ioctl = 39,
    Poll = 40,
    /// What [`NotifyCode::Retrieve`](super::NotifyCode::Retrieve) asked for. No answer.
    NotifyReply = 41,
    /// No answer.
    BatchForget = 42,
    Fallocate = 43,
    Readdirplus = 44,
    Rename2 = 45,
    Lseek = 46,
    CopyFileRange = 47,
    /// Of virtiofs with DAX alone.
    Setupmapping = 48,
    /// Of virtiofs with DAX alone.
    Removemapping = 49,
    Syncfs = 50,
    Tmpfile = 51,
    Statx = 52,
    /// `COPY_FILE_RANGE` with an answer of 64 bits.
    CopyFileRange64 = 53,
    /// Of character devices in user space alone.
    CuseInit = 4096,
}

impl Opcode {
    /// Whether the kernel waits for an answer; one that it does not wait for it refuses.
    pub(crate) const fn wants_answer(self) -> bool {
        !matches!(
            self,
            Opcode::Forget | Opcode::BatchForget | Opcode::Interrupt | Opcode::NotifyReply
        )
    }
}
