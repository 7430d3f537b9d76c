//! Requests, decoded.

use std::ffi::OsStr;

use zerocopy::{FromZeros, IntoBytes};

use super::abi::*;
use super::error::{DecodeError, Defect};
use super::extensions::Extensions;
use super::reader::Reader;

/// What was settled at INIT about the form of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Dialect {
    /// [`InitFlags::SETXATTR_EXT`] was taken.
    pub(crate) setxattr_ext: bool,
}

/// A request. It borrows from the message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Request<'a> {
    /// Who asks, about what.
    pub(crate) header: &'a InHeader,
    /// What is asked.
    pub(crate) operation: Operation<'a>,
    /// What a creation brings beside its arguments.
    pub(crate) extensions: Extensions<'a>,
}

/// What is asked: a variant per [`Opcode`]. The inode it is about is [`InHeader::nodeid`].
///
/// `name` is a name in a directory: never empty, without a slash, but possibly `.` or `..` in a
/// LOOKUP.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Operation<'a> {
    Lookup {
        name: &'a OsStr,
    },
    Forget(&'a ForgetIn),
    Getattr(&'a GetattrIn),
    Setattr(&'a SetattrIn),
    Readlink,
    Symlink {
        name: &'a OsStr,
        target: &'a OsStr,
    },
    Mknod {
        args: &'a MknodIn,
        name: &'a OsStr,
    },
    Mkdir {
        args: &'a MkdirIn,
        name: &'a OsStr,
    },
    Unlink {
        name: &'a OsStr,
    },
    Rmdir {
        name: &'a OsStr,
    },
    Rename {
        args: &'a RenameIn,
        name: &'a OsStr,
        newname: &'a OsStr,
    },
    /// To `name` in the directory of the header.
    Link {
        args: &'a LinkIn,
        name: &'a OsStr,
    },
    Open(&'a OpenIn),
    Read(&'a ReadIn),
    Write {
        args: &'a WriteIn,
        data: &'a [u8],
    },
    Statfs,
    Release(&'a ReleaseIn),
    Fsync(&'a FsyncIn),
    /// Without [`Dialect::setxattr_ext`], the last two fields of `args` are 0.
    Setxattr {
        args: SetxattrIn,
        name: &'a OsStr,
        value: &'a [u8],
    },
    Getxattr {
        args: &'a GetxattrIn,
        name: &'a OsStr,
    },
    Listxattr(&'a GetxattrIn),
    Removexattr {
        name: &'a OsStr,
    },
    Flush(&'a FlushIn),
    /// What an old kernel does not send is 0.
    Init(InitIn),
    Opendir(&'a OpenIn),
    Readdir(&'a ReadIn),
    Releasedir(&'a ReleaseIn),
    Fsyncdir(&'a FsyncIn),
    Getlk(&'a LkIn),
    Setlk(&'a LkIn),
    Setlkw(&'a LkIn),
    Access(&'a AccessIn),
    Create {
        args: &'a CreateIn,
        name: &'a OsStr,
    },
    Interrupt(&'a InterruptIn),
    Bmap(&'a BmapIn),
    Destroy,
    Ioctl {
        args: &'a IoctlIn,
        data: &'a [u8],
    },
    Poll(&'a PollIn),
    /// The number in the header is the one that the notification gave.
    NotifyReply {
        args: &'a NotifyRetrieveIn,
        data: &'a [u8],
    },
    BatchForget(&'a [ForgetOne]),
    Fallocate(&'a FallocateIn),
    Readdirplus(&'a ReadIn),
    Rename2 {
        args: &'a Rename2In,
        name: &'a OsStr,
        newname: &'a OsStr,
    },
    Lseek(&'a LseekIn),
    CopyFileRange(&'a CopyFileRangeIn),
    Syncfs(&'a SyncfsIn),
    /// In the directory of the header. The kernel sends a name too, which means nothing.
    Tmpfile {
        args: &'a CreateIn,
        name: &'a OsStr,
    },
    Statx(&'a StatxIn),
    CopyFileRange64(&'a CopyFileRangeIn),
}

impl<'a> Request<'a> {
    /// Decodes a message: all bytes that one read of the device returned.
    ///
    /// # Errors
    /// Every message that is not exactly what its operation needs, and every operation that is not in
    /// [`Operation`]; [`DecodeError::answer`] says what the kernel is told.
    pub(crate) fn decode(message: &'a [u8], dialect: Dialect) -> Result<Request<'a>, DecodeError> {
        let mut reader = Reader::new(message);
        let header = reader.object::<InHeader>().map_err(|defect| DecodeError {
            header: None,
            defect,
        })?;
        body(message.len(), header, reader, dialect).map_err(|defect| DecodeError {
            header: Some(*header),
            defect,
        })
    }

    /// A WRITE whose `len` bytes of data are elsewhere: the request without them, from the `head` of the message.
    /// `None` where the whole message is to be decoded, because it is another one or has a defect.
    pub(crate) fn decode_write(head: &'a [u8], len: usize) -> Option<Request<'a>> {
        let mut reader = Reader::new(head);
        let header = reader.object::<InHeader>().ok()?;
        let args = reader.object::<WriteIn>().ok()?;
        reader.end().ok()?;
        let is_write = Opcode::from_number(header.opcode) == Some(Opcode::Write)
            && header.total_extlen == 0
            && header.len as usize == head.len() + len
            && args.size as usize == len;
        is_write.then_some(Request {
            header,
            operation: Operation::Write { args, data: &[] },
            extensions: Extensions::default(),
        })
    }

    /// Whether the kernel waits for an answer.
    pub(crate) fn wants_answer(&self) -> bool {
        Opcode::from_number(self.header.opcode).is_none_or(Opcode::wants_answer)
    }
}

fn body<'a>(
    received: usize,
    header: &'a InHeader,
    mut reader: Reader<'a>,
    dialect: Dialect,
) -> Result<Request<'a>, Defect> {
    if header.len as usize != received {
        return Err(Defect::Length { received });
    }
    let opcode = Opcode::from_number(header.opcode).ok_or(Defect::Operation)?;
    let extensions = usize::from(header.total_extlen) * size_of::<u64>();
    let extensions = Extensions::check(reader.tail(extensions)?)?;
    let operation = operation(opcode, &mut reader, dialect)?;
    reader.end()?;
    Ok(Request {
        header,
        operation,
        extensions,
    })
}

/// One place per operation. Fields are taken in the order of the message.
fn operation<'a>(
    opcode: Opcode,
    reader: &mut Reader<'a>,
    dialect: Dialect,
) -> Result<Operation<'a>, Defect> {
    Ok(match opcode {
        Opcode::Lookup => Operation::Lookup {
            name: reader.name()?,
        },
        Opcode::Forget => Operation::Forget(reader.object()?),
        Opcode::Getattr => Operation::Getattr(reader.object()?),
        Opcode::Setattr => Operation::Setattr(reader.object()?),
        Opcode::Readlink => Operation::Readlink,
        Opcode::Symlink => Operation::Symlink {
            name: reader.name()?,
            target: reader.string()?,
        },
        Opcode::Mknod => Operation::Mknod {
            args: reader.object()?,
            name: reader.name()?,
        },
        Opcode::Mkdir => Operation::Mkdir {
            args: reader.object()?,
            name: reader.name()?,
        },
        Opcode::Unlink => Operation::Unlink {
            name: reader.name()?,
        },
        Opcode::Rmdir => Operation::Rmdir {
            name: reader.name()?,
        },
        Opcode::Rename => Operation::Rename {
            args: reader.object()?,
            name: reader.name()?,
            newname: reader.name()?,
        },
        Opcode::Link => Operation::Link {
            args: reader.object()?,
            name: reader.name()?,
        },
        Opcode::Open => Operation::Open(reader.object()?),
        Opcode::Read => Operation::Read(reader.object()?),
        Opcode::Write => {
            let args = reader.object::<WriteIn>()?;
            Operation::Write {
                args,
                data: reader.bytes(args.size as usize)?,
            }
        }
        Opcode::Statfs => Operation::Statfs,
        Opcode::Release => Operation::Release(reader.object()?),
        Opcode::Fsync => Operation::Fsync(reader.object()?),
        Opcode::Setxattr => setxattr(reader, dialect)?,
        Opcode::Getxattr => Operation::Getxattr {
            args: reader.object()?,
            name: reader.string()?,
        },
        Opcode::Listxattr => Operation::Listxattr(reader.object()?),
        Opcode::Removexattr => Operation::Removexattr {
            name: reader.string()?,
        },
        Opcode::Flush => Operation::Flush(reader.object()?),
        Opcode::Init => Operation::Init(init(reader)?),
        Opcode::Opendir => Operation::Opendir(reader.object()?),
        Opcode::Readdir => Operation::Readdir(reader.object()?),
        Opcode::Releasedir => Operation::Releasedir(reader.object()?),
        Opcode::Fsyncdir => Operation::Fsyncdir(reader.object()?),
        Opcode::Getlk => Operation::Getlk(reader.object()?),
        Opcode::Setlk => Operation::Setlk(reader.object()?),
        Opcode::Setlkw => Operation::Setlkw(reader.object()?),
        Opcode::Access => Operation::Access(reader.object()?),
        Opcode::Create => Operation::Create {
            args: reader.object()?,
            name: reader.name()?,
        },
        Opcode::Interrupt => Operation::Interrupt(reader.object()?),
        Opcode::Bmap => Operation::Bmap(reader.object()?),
        Opcode::Destroy => Operation::Destroy,
        Opcode::Ioctl => {
            let args = reader.object::<IoctlIn>()?;
            Operation::Ioctl {
                args,
                data: reader.bytes(args.in_size as usize)?,
            }
        }
        Opcode::Poll => Operation::Poll(reader.object()?),
        Opcode::NotifyReply => {
            let args = reader.object::<NotifyRetrieveIn>()?;
            Operation::NotifyReply {
                args,
                data: reader.bytes(args.size as usize)?,
            }
        }
        Opcode::BatchForget => {
            let count = reader.object::<BatchForgetIn>()?.count;
            Operation::BatchForget(reader.objects(count as usize)?)
        }
        Opcode::Fallocate => Operation::Fallocate(reader.object()?),
        Opcode::Readdirplus => Operation::Readdirplus(reader.object()?),
        Opcode::Rename2 => Operation::Rename2 {
            args: reader.object()?,
            name: reader.name()?,
            newname: reader.name()?,
        },
        Opcode::Lseek => Operation::Lseek(reader.object()?),
        Opcode::CopyFileRange => Operation::CopyFileRange(reader.object()?),
        Opcode::Syncfs => Operation::Syncfs(reader.object()?),
        Opcode::Tmpfile => Operation::Tmpfile {
            args: reader.object()?,
            name: reader.string()?,
        },
        Opcode::Statx => Operation::Statx(reader.object()?),
        Opcode::CopyFileRange64 => Operation::CopyFileRange64(reader.object()?),
        Opcode::Setupmapping | Opcode::Removemapping | Opcode::CuseInit => {
            return Err(Defect::Operation);
        }
    })
}

fn setxattr<'a>(reader: &mut Reader<'a>, dialect: Dialect) -> Result<Operation<'a>, Defect> {
    let args = if dialect.setxattr_ext {
        *reader.object::<SetxattrIn>()?
    } else {
        let &SetxattrInCompat { size, flags } = reader.object()?;
        SetxattrIn {
            size,
            flags,
            ..SetxattrIn::default()
        }
    };
    Ok(Operation::Setxattr {
        args,
        name: reader.string()?,
        value: reader.bytes(args.size as usize)?,
    })
}

/// Its length is not settled yet, because INIT settles it: from the two version numbers of the oldest
/// kernels to more than is known here.
fn init(reader: &mut Reader<'_>) -> Result<InitIn, Defect> {
    let sent = reader.bytes(reader.remaining())?;
    let versions = 2 * size_of::<u32>();
    if sent.len() < versions {
        return Err(Defect::Short);
    }
    let mut args = InitIn::new_zeroed();
    let known = sent.len().min(size_of::<InitIn>());
    args.as_mut_bytes()[..known].copy_from_slice(&sent[..known]);
    Ok(args)
}
