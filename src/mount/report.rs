//! The report of a mount: what the handshake said, and what only shows afterwards.

use std::path::Path;

use super::session::MountReport;
use crate::config::{IoMode, OpenPolicy, OptimizedFUSEConfig};
use crate::filesystem::{DynamicFS, Policy, UNLIMITED, names_must_expire};
use crate::readahead::bdi;
use crate::transport::capability::Capability;
use crate::transport::{Negotiated, Negotiation};

/// Raises the readahead window of the mount to the configured one: the INIT handshake can only
/// lower it (`Documentation/admin-guide/abi-testing`, `/sys/class/bdi/.../read_ahead_kb`).
pub(super) fn raise_readahead(fs: &DynamicFS, mountpoint: &Path) -> Option<Negotiated> {
    let config = fs.config();
    if !config.enable_readahead {
        return None;
    }
    let asked = config.readahead_size;
    Some(match bdi::raise(mountpoint, asked) {
        Ok(raised) => {
            let effective = raised.after_kb * 1024;
            let item = Negotiated::limit("readahead_size", asked, effective);
            if fs.policy().io_mode == IoMode::Passthrough {
                item.because("with passthrough, the window of the backing file system applies")
            } else {
                item
            }
        }
        Err(error) => Negotiated {
            name: "readahead_size".to_owned(),
            asked: asked.to_string(),
            granted: "no".to_owned(),
            effective: bdi::current(mountpoint)
                .map_or_else(|_| "unknown".to_owned(), |kb| (kb * 1024).to_string()),
            why: Some(error.to_string()),
        },
    })
}

pub(super) fn assemble(
    transport: &str,
    fs: &DynamicFS,
    negotiation: Negotiation,
    of_mount: impl IntoIterator<Item = Negotiated>,
) -> MountReport {
    let mut capabilities = negotiation.items;
    capabilities.extend(of_mount);
    capabilities.extend(name_lifetimes(fs.config()));
    capabilities.extend(stateless(fs));
    capabilities.extend(permission_checks(fs.config()));
    capabilities.extend(unlimited_lifetimes(fs));
    let (major, minor) = negotiation.kernel_abi;
    let mut report = MountReport {
        kernel: rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned(),
        abi: format!("{major}.{minor}"),
        transport: transport.to_owned(),
        io_mode: String::new(),
        capabilities,
    };
    update(&mut report, fs.policy());
    report
}

/// Brings a report up to date with what became of passthrough since the mount.
pub(super) fn update(report: &mut MountReport, policy: &Policy) {
    let refusal = policy.passthrough_refusal();
    let io_mode = match refusal {
        Some(_) => IoMode::WriteThrough,
        None => policy.io_mode,
    };
    report.io_mode = io_mode.to_string();
    let name = Capability::Passthrough.name();
    if let Some(item) = report
        .capabilities
        .iter_mut()
        .find(|item| item.name == name)
        && let Some(why) = refusal
    {
        item.effective = "no".to_owned();
        item.why = Some(why.to_owned());
    }
    if let (None, Some(why)) = (refusal, &policy.io_mode_reason) {
        report.io_mode = format!("{io_mode} ({why})");
    }
}

fn unlimited_lifetimes(fs: &DynamicFS) -> Option<Negotiated> {
    (fs.policy().attr_ttl == UNLIMITED).then(|| {
        let asked = format!("{} ms", fs.config().attr_timeout().as_millis());
        Negotiated::limit("attr_ttl", asked, "unlimited")
            .because("nothing else changes this storage")
    })
}

fn name_lifetimes(config: &OptimizedFUSEConfig) -> Option<Negotiated> {
    names_must_expire(config).then(|| {
        let asked = format!("{} ms", config.entry_timeout().as_millis());
        Negotiated::limit("entry_ttl", asked, "0 ms").because(
            "the storage checks permissions and others may enter: a cached name is not checked again",
        )
    })
}

/// What became of `open=stateless`.
fn stateless(fs: &DynamicFS) -> Option<Negotiated> {
    let asked = fs.config().open;
    let policy = fs.policy();
    let in_force = match policy.stateless_files {
        true => OpenPolicy::Stateless,
        false => OpenPolicy::Passthrough,
    };
    (asked == OpenPolicy::Stateless).then(|| {
        let item = Negotiated::limit("open", asked, in_force);
        match policy.stateless_refusal {
            Some(why) => item.because(why),
            None => item,
        }
    })
}

/// The checks of the kernel, where they are left out.
fn permission_checks(config: &OptimizedFUSEConfig) -> Option<Negotiated> {
    config.leaves_checks_out().then(|| {
        Negotiated::limit("default_permissions", true, false)
            .because("only root can enter the mount, so a check could only say yes")
    })
}
