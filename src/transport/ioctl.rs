//! The ioctls that concern an inode and not a device: the only ones that are let through.

use crate::filesystem::DynamicFS;
use crate::platform::IFlags;
use crate::storage::{Caller, Errno, FsXAttr, Ino, Result};

/// `FS_IOC_GETFLAGS` and `FS_IOC_SETFLAGS` of Linux's `fs.h`; other kernels send no such ioctl.
const FS_IOC_GETFLAGS: u64 = 0x8008_6601;
const FS_IOC_SETFLAGS: u64 = 0x4008_6602;

/// `FS_IOC_FSGETXATTR` and `FS_IOC_FSSETXATTR` of the kernel's `fs.h`.
const FS_IOC_FSGETXATTR: u64 = 0x801c_581f;
const FS_IOC_FSSETXATTR: u64 = 0x401c_5820;

/// Bytes of `struct fsxattr`: five numbers and eight bytes of padding.
const FSXATTR_SIZE: usize = 28;

/// What an ioctl returns through its argument.
pub(super) enum IoctlAnswer {
    Nothing,
    Flags([u8; 4]),
    FsXAttr([u8; FSXATTR_SIZE]),
}

impl AsRef<[u8]> for IoctlAnswer {
    fn as_ref(&self) -> &[u8] {
        match self {
            IoctlAnswer::Nothing => &[],
            IoctlAnswer::Flags(bytes) => bytes,
            IoctlAnswer::FsXAttr(bytes) => bytes,
        }
    }
}

/// Carries out an ioctl (ioctl_iflags(2), ioctl_xfs_fsgetxattr(2)). The kernel passes the flags as 32
/// bits, whatever the size encoded in the number says (`fuse_fileattr_get` in `fs/fuse/ioctl.c`).
///
/// # Errors
/// `ENOTTY` for every other ioctl; otherwise what the storage says.
pub(super) fn inode_ioctl(
    fs: &DynamicFS,
    caller: &Caller,
    ino: Ino,
    cmd: u32,
    data: &[u8],
) -> Result<IoctlAnswer> {
    match u64::from(cmd) {
        FS_IOC_GETFLAGS => {
            let flags = fs.getflags(ino)?.bits();
            Ok(IoctlAnswer::Flags(flags.to_ne_bytes()))
        }
        FS_IOC_SETFLAGS => {
            let bits = data.first_chunk::<4>().ok_or(Errno::INVAL)?;
            let flags = IFlags::from_bits_retain(u32::from_ne_bytes(*bits));
            fs.setflags(caller, ino, flags)?;
            Ok(IoctlAnswer::Nothing)
        }
        FS_IOC_FSGETXATTR => Ok(IoctlAnswer::FsXAttr(fsxattr_bytes(&fs.get_fsxattr(ino)?))),
        FS_IOC_FSSETXATTR => {
            fs.set_fsxattr(caller, ino, &fsxattr(data)?)?;
            Ok(IoctlAnswer::Nothing)
        }
        _ => Err(Errno::NOTTY),
    }
}

/// `struct fsxattr` as bytes.
fn fsxattr_bytes(attributes: &FsXAttr) -> [u8; FSXATTR_SIZE] {
    let fields = [
        attributes.xflags,
        attributes.extsize,
        attributes.nextents,
        attributes.projid,
        attributes.cowextsize,
    ];
    let mut bytes = [0; FSXATTR_SIZE];
    for (place, field) in bytes.chunks_exact_mut(4).zip(fields) {
        place.copy_from_slice(&field.to_ne_bytes());
    }
    bytes
}

fn fsxattr(bytes: &[u8]) -> Result<FsXAttr> {
    let bytes = bytes.first_chunk::<FSXATTR_SIZE>().ok_or(Errno::INVAL)?;
    let field = |n: usize| {
        let mut field = [0; 4];
        field.copy_from_slice(&bytes[4 * n..4 * n + 4]);
        u32::from_ne_bytes(field)
    };
    Ok(FsXAttr {
        xflags: field(0),
        extsize: field(1),
        nextents: field(2),
        projid: field(3),
        cowextsize: field(4),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extended_flags_survive_the_way_through_bytes() {
        let attributes = FsXAttr {
            xflags: 1,
            extsize: 2,
            nextents: 3,
            projid: 4,
            cowextsize: 5,
        };
        assert_eq!(fsxattr(&fsxattr_bytes(&attributes)), Ok(attributes));
        assert_eq!(fsxattr(&[0; FSXATTR_SIZE - 1]), Err(Errno::INVAL));
    }
}
