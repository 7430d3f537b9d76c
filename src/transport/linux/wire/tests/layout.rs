//! Sizes and offsets of the kernel's header, version 7.45.

use std::mem::offset_of;

use super::super::abi::*;

macro_rules! sizes {
    ($($name:ident $size:literal,)*) => {
        [$((stringify!($name), size_of::<$name>(), $size),)*]
    };
}

#[test]
fn structures_have_the_size_that_the_kernel_gives_them() {
    let sizes = sizes! {
        InHeader 40, OutHeader 16, Attr 88, SxTime 16, Statx 256, Kstatfs 80, FileLock 24,
        IoctlIovec 16, BackingMap 16,
        InitIn 64, ForgetIn 8, BatchForgetIn 8, ForgetOne 16, GetattrIn 16, StatxIn 24,
        SetattrIn 88, MknodIn 16, MkdirIn 8, RenameIn 8, Rename2In 16, LinkIn 8, OpenIn 8,
        CreateIn 16, ReleaseIn 24, FlushIn 24, ReadIn 40, WriteIn 40, FsyncIn 16,
        SetxattrInCompat 8, SetxattrIn 16, GetxattrIn 8, LkIn 48, AccessIn 8, InterruptIn 8,
        BmapIn 16, IoctlIn 32, PollIn 24, NotifyRetrieveIn 40, FallocateIn 32, LseekIn 24,
        CopyFileRangeIn 56, SyncfsIn 8, ExtHeader 8, Secctx 8,
        InitOut 64, EntryOut 128, AttrOut 104, StatxOut 288, OpenOut 16, CreateOut 144,
        WriteOut 8, CopyFileRangeOut 8, StatfsOut 80, GetxattrOut 8, LkOut 24, BmapOut 8,
        IoctlOut 16, PollOut 8, LseekOut 8, Dirent 24, Direntplus 152,
        NotifyPollWakeupOut 8, NotifyInvalInodeOut 24, NotifyInvalEntryOut 16,
        NotifyDeleteOut 24, NotifyStoreOut 24, NotifyRetrieveOut 32, NotifyPruneOut 16,
    };
    for (name, size, expected) in sizes {
        assert_eq!(size, expected, "{name}");
    }
}

#[test]
fn fields_are_where_the_kernel_has_them() {
    let offsets = [
        (offset_of!(InHeader, nodeid), 16),
        (offset_of!(InHeader, pid), 32),
        (offset_of!(InHeader, total_extlen), 36),
        (offset_of!(Attr, atimensec), 48),
        (offset_of!(Attr, mode), 60),
        (offset_of!(Attr, flags), 84),
        (offset_of!(SetattrIn, atime), 32),
        (offset_of!(SetattrIn, mode), 68),
        (offset_of!(SetattrIn, uid), 76),
        (offset_of!(WriteIn, size), 16),
        (offset_of!(WriteIn, flags), 32),
        (offset_of!(InitOut, max_write), 20),
        (offset_of!(InitOut, max_pages), 28),
        (offset_of!(InitOut, flags2), 32),
        (offset_of!(InitOut, max_stack_depth), 36),
        (offset_of!(InitOut, request_timeout), 40),
        (offset_of!(EntryOut, attr), 40),
        (offset_of!(OpenOut, backing_id), 12),
        (offset_of!(StatxOut, stat), 32),
        (offset_of!(LkIn, lk_flags), 40),
        (offset_of!(IoctlIn, in_size), 24),
        (offset_of!(PollIn, events), 20),
    ];
    for (index, (offset, expected)) in offsets.into_iter().enumerate() {
        assert_eq!(offset, expected, "number {index}");
    }
}

#[test]
fn the_attributes_of_statx_are_those_of_the_system_call() {
    assert_eq!(size_of::<Statx>(), size_of::<libc::statx>());
    let same = [
        (offset_of!(Statx, mask), offset_of!(libc::statx, stx_mask)),
        (offset_of!(Statx, nlink), offset_of!(libc::statx, stx_nlink)),
        (offset_of!(Statx, mode), offset_of!(libc::statx, stx_mode)),
        (offset_of!(Statx, ino), offset_of!(libc::statx, stx_ino)),
        (
            offset_of!(Statx, blocks),
            offset_of!(libc::statx, stx_blocks),
        ),
        (offset_of!(Statx, atime), offset_of!(libc::statx, stx_atime)),
        (offset_of!(Statx, btime), offset_of!(libc::statx, stx_btime)),
        (offset_of!(Statx, mtime), offset_of!(libc::statx, stx_mtime)),
        (
            offset_of!(Statx, rdev_major),
            offset_of!(libc::statx, stx_rdev_major),
        ),
        (
            offset_of!(Statx, dev_minor),
            offset_of!(libc::statx, stx_dev_minor),
        ),
    ];
    for (index, (ours, theirs)) in same.into_iter().enumerate() {
        assert_eq!(ours, theirs, "number {index}");
    }
}

#[test]
fn ioctls_of_the_device_have_the_kernels_numbers() {
    // `_IOC` of include/uapi/asm-generic/ioctl.h.
    let number = |direction: u32, size: u32, nr: u32| direction << 30 | size << 16 | 229 << 8 | nr;
    if cfg!(any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64"
    )) {
        assert_eq!(DEV_IOC_CLONE, number(2, 4, 0));
        assert_eq!(DEV_IOC_BACKING_OPEN, number(1, 16, 1));
        assert_eq!(DEV_IOC_BACKING_CLOSE, number(1, 4, 2));
        assert_eq!(DEV_IOC_SYNC_INIT, number(0, 0, 3));
    }
}

#[test]
fn flags_of_init_travel_in_two_halves() {
    let out = InitOut::new(InitFlags::POSIX_ACL);
    assert_eq!((out.flags, out.flags2), (1 << 20, 0));
    let asked = InitFlags::INIT_EXT | InitFlags::PASSTHROUGH | InitFlags::POSIX_ACL;
    for asked in [asked, asked - InitFlags::INIT_EXT] {
        let out = InitOut::new(asked);
        assert_eq!((out.flags, out.flags2), (1 << 30 | 1 << 20, 1 << 5));
    }
    let out = InitOut::new(asked);
    let offer = |flags, flags2| {
        InitIn {
            flags,
            flags2,
            ..InitIn::default()
        }
        .offered()
    };
    assert_eq!(offer(out.flags, out.flags2), asked);
    // Without the flag that says so, the upper half is not there, whatever its bits are.
    assert_eq!(offer(1 << 20, 1 << 5), InitFlags::POSIX_ACL);
    // What is not known here is seen all the same.
    assert_eq!(offer(1 << 30, 1 << 31).bits(), 1 << 63 | 1 << 30);
}

#[test]
fn every_operation_is_found_by_its_number() {
    for &opcode in Opcode::ALL {
        assert_eq!(Opcode::from_number(opcode as u32), Some(opcode));
    }
    for number in [0, 7, 19, 54, 4095, u32::MAX] {
        assert_eq!(Opcode::from_number(number), None);
    }
}
