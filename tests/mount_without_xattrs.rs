//! `xattrs=false`: fewer requests, and nothing that ext4 would take away stays.

mod support;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

use dynamicfs::{IoMode, OpenPolicy, OptimizedFUSEConfig};
use rustix::fs::{XattrFlags, getxattr, listxattr, removexattr, setxattr};
use rustix::io::Errno;
use support::{TestMount, can_mount, presets, with_io_mode};

const CAPABILITIES: &str = "security.capability";

/// `CAP_NET_RAW`, permitted and effective (`struct vfs_cap_data`, revision 2).
const NET_RAW: [u8; 20] = [
    1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

fn value(path: &Path, name: &str) -> Result<Vec<u8>, Errno> {
    let mut buffer = [0; 64];
    getxattr(path, name, &mut buffer).map(|len| buffer[..len].to_vec())
}

fn prepare(backing: &Path) {
    for name in ["written", "truncated", "left"] {
        let path = backing.join(name);
        fs::write(&path, "content").unwrap();
        setxattr(&path, CAPABILITIES, &NET_RAW, XattrFlags::empty()).unwrap();
        setxattr(&path, "user.kept", b"value", XattrFlags::empty()).unwrap();
    }
}

#[test]
fn calls_fail_the_kernel_asks_once_and_what_is_there_stays() {
    if !can_mount("xattrs=false") {
        return;
    }
    for (preset, mut config) in presets() {
        config.xattrs = false;
        let mount = TestMount::prepared(config, prepare);
        let path = mount.path("left");
        for _ in 0..3 {
            let none = XattrFlags::empty();
            assert_eq!(value(&path, "user.kept"), Err(Errno::OPNOTSUPP), "{preset}");
            assert_eq!(
                setxattr(&path, "user.new", b"x", none),
                Err(Errno::OPNOTSUPP)
            );
            assert_eq!(removexattr(&path, "user.kept"), Err(Errno::OPNOTSUPP));
            assert_eq!(listxattr(&path, &mut [0; 64]), Err(Errno::OPNOTSUPP));
        }
        for operation in ["GETXATTR", "SETXATTR", "REMOVEXATTR", "LISTXATTR"] {
            assert_eq!(mount.ops(operation), 1, "{preset}: {operation}");
        }
        for n in 0..10 {
            let mut file = File::create(mount.path(n.to_string())).unwrap();
            file.write_all(b"new").unwrap();
        }
        assert_eq!(mount.ops("GETXATTR"), 1, "{preset}");
        let behind = mount.backing("left");
        assert_eq!(value(&behind, "user.kept").unwrap(), b"value", "{preset}");
        assert_eq!(value(&behind, CAPABILITIES).unwrap(), NET_RAW, "{preset}");
    }
}

#[test]
fn a_change_takes_the_capabilities_of_a_program_away() {
    if !can_mount("capabilities with xattrs=false") {
        return;
    }
    let mut configs = presets();
    let modes = [IoMode::WriteThrough, IoMode::WritebackCache, IoMode::Direct];
    configs.extend(modes.map(|mode| (mode.to_string(), with_io_mode(mode))));
    let mut stateless = OptimizedFUSEConfig::balanced();
    stateless.open = OpenPolicy::Stateless;
    configs.push(("open=stateless".to_owned(), stateless));
    for (name, mut config) in configs {
        config.xattrs = false;
        let mount = TestMount::prepared(config, prepare);
        let open = |file| {
            OpenOptions::new()
                .write(true)
                .open(mount.path(file))
                .unwrap()
        };
        open("written").write_all(b"C").unwrap();
        open("truncated").set_len(3).unwrap();
        for (file, content) in [("written", "Content"), ("truncated", "con")] {
            let behind = mount.backing(file);
            assert_eq!(
                fs::read_to_string(&behind).unwrap(),
                content,
                "{name}: {file}"
            );
            assert_eq!(
                value(&behind, CAPABILITIES),
                Err(Errno::NODATA),
                "{name}: {file}"
            );
        }
    }
}
