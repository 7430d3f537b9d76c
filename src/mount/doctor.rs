//! What this machine allows, and what each preset would get here.
//!
//! Nothing is mounted and nothing changed: the answers come from `/proc`, `/sys`, the credentials of
//! this process, and the plan that a mount would follow. Only a mount shows what the kernel really
//! grants (`dynamicfs status`).

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Resource, getrlimit};
use serde::Serialize;

use super::cpu_latency;
use crate::config::Preset;
use crate::platform;
use crate::storage::StorageCapabilities;
use crate::transport::capability::{Ask, Capability, plan};
use crate::transport::{self, Transport};

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// Release of the running kernel.
    pub kernel: String,
    /// The device, by which everything goes.
    pub dev_fuse: Device,
    /// What this process may do.
    pub privileges: Privileges,
    /// Descriptors that a process may have, soft limit; `None` is no limit.
    pub open_files_soft: Option<u64>,
    /// Descriptors up to which a process may raise that itself.
    pub open_files_hard: Option<u64>,
    /// The helper for mounts without privilege.
    pub fusermount3: Option<Helper>,
    /// Whether `/etc/fuse.conf` lets users other than root say `allow_other`.
    pub user_allow_other: bool,
    /// `fs.fuse.max_pages_limit`: pages of the largest request. Linux 6.13.
    pub max_pages_limit: Option<u64>,
    /// Parameters of the kernel module: name and value.
    pub module_parameters: Vec<(String, String)>,
    /// What each preset would get.
    pub presets: Vec<PresetOutlook>,
    /// What is missing, and how to get it.
    pub advice: Vec<String>,
}

/// `/dev/fuse`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Device {
    /// It exists.
    pub present: bool,
    /// This process can open it.
    pub openable: bool,
    /// Why not.
    pub error: Option<String>,
}

/// What this process may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Privileges {
    /// Effective user.
    pub uid: u32,
    /// `CAP_SYS_ADMIN`: mount without a helper, and passthrough.
    pub sys_admin: bool,
    /// `CAP_DAC_READ_SEARCH`: file handles, so that inodes need no open descriptors.
    pub dac_read_search: bool,
}

/// `fusermount3`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Helper {
    /// Where it is.
    pub path: PathBuf,
    /// What it says of itself; empty where it cannot be run.
    pub version: String,
    /// Whether it has the privileges of root (set-user-id).
    pub set_user_id: bool,
}

/// What a preset would get on this machine, over a local directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PresetOutlook {
    /// The preset.
    pub preset: String,
    /// Capabilities that it would ask for and probably get.
    pub granted: Vec<String>,
    /// What it wants and would not get.
    pub missing: Vec<Missing>,
}

/// Something that a preset wants and would not get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// A capability or a setting.
    pub name: String,
    /// Why.
    pub why: String,
    /// What to do about it.
    pub remedy: String,
}

impl Missing {
    fn new(name: &str, why: impl Into<String>, remedy: &str) -> Missing {
        Missing {
            name: name.to_owned(),
            why: why.into(),
            remedy: remedy.to_owned(),
        }
    }
}

/// Looks at this machine.
pub fn diagnose() -> Diagnosis {
    let mut found = Diagnosis {
        kernel: kernel_release(),
        dev_fuse: device(),
        privileges: privileges(),
        open_files_soft: getrlimit(Resource::Nofile).current,
        open_files_hard: getrlimit(Resource::Nofile).maximum,
        fusermount3: helper(),
        user_allow_other: user_allow_other(),
        max_pages_limit: number("/proc/sys/fs/fuse/max_pages_limit"),
        module_parameters: module_parameters(),
        presets: Vec::new(),
        advice: Vec::new(),
    };
    found.presets = Preset::ALL
        .iter()
        .map(|&preset| outlook(preset, &found))
        .collect();
    found.advice = advice(&found);
    found
}

fn kernel_release() -> String {
    let name = rustix::system::uname();
    name.release().to_string_lossy().into_owned()
}

/// Opens `/dev/fuse`, as a mount would.
pub fn device() -> Device {
    let opened = fs::File::options().read(true).write(true).open("/dev/fuse");
    let error = opened.err();
    Device {
        present: error
            .as_ref()
            .is_none_or(|e| e.kind() != std::io::ErrorKind::NotFound),
        openable: error.is_none(),
        error: error.map(|error| error.to_string()),
    }
}

/// The credentials of this process.
pub fn privileges() -> Privileges {
    let [sys_admin, dac_read_search] = platform::privileges();
    Privileges {
        uid: rustix::process::geteuid().as_raw(),
        sys_admin,
        dac_read_search,
    }
}

/// Finds `fusermount3`, in `PATH` and where the transport looks besides.
pub fn helper() -> Option<Helper> {
    let path = find_in_path("fusermount3")?;
    let said = Command::new(&path).arg("--version").output();
    let version = said.map_or_else(
        |_| String::new(),
        |said| {
            let said = String::from_utf8_lossy(&said.stdout).into_owned();
            said.trim()
                .rsplit(' ')
                .next()
                .unwrap_or_default()
                .to_owned()
        },
    );
    let set_user_id =
        fs::metadata(&path).is_ok_and(|found| found.uid() == 0 && found.mode() & 0o4000 != 0);
    Some(Helper {
        path,
        version,
        set_user_id,
    })
}

fn find_in_path(name: &str) -> Option<PathBuf> {
    // mount(8) starts its helpers without PATH; shells and execvp(3) then look here.
    let default = || "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into();
    let path = std::env::var_os("PATH").unwrap_or_else(default);
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|candidate| rustix::fs::access(candidate, rustix::fs::Access::EXEC_OK).is_ok())
}

/// Whether `/etc/fuse.conf` has the line `user_allow_other` (fusermount3(1)).
pub fn user_allow_other() -> bool {
    fs::read_to_string("/etc/fuse.conf")
        .is_ok_and(|text| text.lines().any(|line| line.trim() == "user_allow_other"))
}

fn number(path: impl AsRef<Path>) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn module_parameters() -> Vec<(String, String)> {
    let Ok(entries) = fs::read_dir("/sys/module/fuse/parameters") else {
        return Vec::new();
    };
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let value = fs::read_to_string(entry.path()).ok()?;
            let name = entry.file_name().to_string_lossy().into_owned();
            Some((name, value.trim().to_owned()))
        })
        .collect();
    found.sort();
    found
}

/// A directory on a usual file system.
const LOCAL: StorageCapabilities = StorageCapabilities {
    kernel_backed: true,
    xattrs: true,
    posix_acls: true,
    exclusive: false,
    flush_on_close: false,
    security_labels: false,
    without_open: crate::storage::WithoutOpen {
        files: true,
        directories: true,
    },
};

/// The release since which the kernel has a capability.
fn since(capability: Capability) -> (u32, u32) {
    match capability {
        Capability::Passthrough => (6, 9),
        Capability::HasExpireOnly => (6, 2),
        Capability::SetxattrExt => (5, 13),
        Capability::InitExt => (5, 17),
        Capability::DirectIoAllowMmap => (6, 6),
        Capability::HandleKillprivV2 => (5, 11),
        Capability::CacheSymlinks | Capability::MaxPages => (4, 20),
        Capability::PosixAcl => (4, 9),
        Capability::ParallelDirops => (4, 7),
        Capability::WritebackCache => (3, 15),
        Capability::DoReaddirplus | Capability::ReaddirplusAuto => (3, 9),
        // In every kernel that a current C library runs on.
        _ => (3, 2),
    }
}

fn outlook(preset: Preset, found: &Diagnosis) -> PresetOutlook {
    let config = preset.config();
    let mut outlook = PresetOutlook {
        preset: preset.to_string(),
        granted: Vec::new(),
        missing: Vec::new(),
    };
    let transport = transport::of(config.transport);
    let asked = plan(transport.capabilities(), &config, &LOCAL).into_iter();
    for capability in asked.filter_map(|(c, ask)| (ask == Ask::Yes).then_some(c)) {
        match obstacle(transport, capability, found) {
            None => outlook.granted.push(capability.name().to_owned()),
            Some(missing) => outlook.missing.push(missing),
        }
    }
    if config.allow_other && found.privileges.uid != 0 && !found.user_allow_other {
        outlook.missing.push(Missing::new(
            "allow_other",
            "only root may ask for it here",
            "add the line user_allow_other to /etc/fuse.conf",
        ));
    }
    const KERNEL_READAHEAD: usize = 128 * 1024;
    let raises = config.enable_readahead && config.readahead_size > KERNEL_READAHEAD;
    if raises && found.privileges.uid != 0 {
        outlook.missing.push(Missing::new(
            "readahead_size",
            "only root may raise the 128KiB of a new mount",
            "mount as root",
        ));
    }
    if config.cpu_latency_qos
        && let Some(why) = cpu_latency::obstacle()
    {
        outlook.missing.push(Missing::new(
            "cpu_latency_qos",
            why.to_string(),
            why.remedy(),
        ));
    }
    let pages = found.max_pages_limit.unwrap_or(256);
    let largest = pages * rustix::param::page_size() as u64;
    if config.max_read_size.max(config.max_write_size) as u64 > largest {
        outlook.missing.push(Missing::new(
            "max_write_size",
            format!(
                "fs.fuse.max_pages_limit allows requests of {} KiB",
                largest / 1024
            ),
            "sysctl fs.fuse.max_pages_limit=512 (Linux 6.13)",
        ));
    }
    outlook
}

/// Why a capability would not be in force.
fn obstacle(
    transport: &dyn Transport,
    capability: Capability,
    found: &Diagnosis,
) -> Option<Missing> {
    if let Some(why) = transport.excludes(capability) {
        return Some(Missing::new(
            capability.name(),
            why,
            "no remedy with this transport",
        ));
    }
    let (major, minor) = since(capability);
    if version(&found.kernel).is_some_and(|running| running < (major, minor)) {
        let why = format!("the kernel is older than {major}.{minor}");
        return Some(Missing::new(capability.name(), why, "a newer kernel"));
    }
    if capability == Capability::Passthrough && !found.privileges.sys_admin {
        return Some(Missing::new(
            capability.name(),
            "backing files need CAP_SYS_ADMIN",
            "mount as root",
        ));
    }
    None
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn advice(found: &Diagnosis) -> Vec<String> {
    let mut advice = Vec::new();
    let mut add = |needed: bool, text: &str| {
        if needed {
            advice.push(text.to_owned());
        }
    };
    let device = &found.dev_fuse;
    add(
        !device.present,
        "/dev/fuse is missing: run 'modprobe fuse'; in a container, start it with '--device /dev/fuse'",
    );
    add(
        device.present && !device.openable,
        "/dev/fuse cannot be opened: it should have mode 0666; a container may have to allow the device",
    );
    let can_help = found
        .fusermount3
        .as_ref()
        .is_some_and(|helper| helper.set_user_id);
    add(
        !found.privileges.sys_admin && !can_help,
        "mounting needs CAP_SYS_ADMIN or a set-user-id fusermount3: run as root, or install the package fuse3",
    );
    add(
        !found.privileges.sys_admin,
        "without CAP_SYS_ADMIN there is no passthrough: file data go through the daemon",
    );
    add(
        !found.privileges.dac_read_search,
        "without CAP_DAC_READ_SEARCH, inodes are held open or found again by name: slower on big trees",
    );
    const FEW: u64 = 4096;
    add(
        found.open_files_hard.is_some_and(|limit| limit < FEW),
        "few descriptors are allowed (ulimit -Hn): raise LimitNOFILE of the service or nofile in limits.conf",
    );
    advice
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases() {
        assert_eq!(version("6.18.5-amd64"), Some((6, 18)));
        assert_eq!(version("5.4"), Some((5, 4)));
        assert_eq!(version("odd"), None);
    }

    fn machine(kernel: &str, root: bool) -> Diagnosis {
        Diagnosis {
            kernel: kernel.to_owned(),
            privileges: Privileges {
                uid: if root { 0 } else { 1000 },
                sys_admin: root,
                dac_read_search: root,
            },
            user_allow_other: false,
            ..diagnose()
        }
    }

    fn missing(preset: Preset, on: &Diagnosis) -> Vec<String> {
        let outlook = outlook(preset, on);
        outlook
            .missing
            .into_iter()
            .map(|missing| missing.name)
            .collect()
    }

    #[test]
    fn passthrough_needs_a_kernel_and_a_privilege() {
        let name = "PASSTHROUGH".to_owned();
        let balanced = Preset::Balanced;
        assert!(!missing(balanced, &machine("6.9.0", true)).contains(&name));
        assert!(missing(balanced, &machine("6.8.0", true)).contains(&name));
        assert!(missing(balanced, &machine("6.9.0", false)).contains(&name));
    }

    #[test]
    fn others_are_let_in_by_root_alone() {
        let name = "allow_other".to_owned();
        assert!(missing(Preset::Safe, &machine("6.9.0", false)).contains(&name));
        assert!(!missing(Preset::Safe, &machine("6.9.0", true)).contains(&name));
    }

    #[test]
    fn nothing_is_both_granted_and_missing() {
        for outlook in diagnose().presets {
            for missing in &outlook.missing {
                assert!(!outlook.granted.contains(&missing.name), "{outlook:?}");
                assert!(!missing.remedy.is_empty());
            }
        }
    }
}
