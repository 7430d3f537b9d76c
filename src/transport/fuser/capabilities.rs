//! INIT flags and limits, through `fuser`.

use fuser::{InitFlags, KernelConfig};

use crate::filesystem::{DynamicFS, Granted};
use crate::transport::capability::{self, Ask, Capability};
use crate::transport::{Negotiated, Negotiation};

/// The flag of a capability, or why this transport may not ask for it: `fuser` 0.18 would set the
/// flag, but does not hand over what the kernel then sends.
pub(super) fn flag(capability: Capability) -> Result<InitFlags, &'static str> {
    Ok(match capability {
        Capability::AsyncRead => InitFlags::FUSE_ASYNC_READ,
        Capability::AsyncDio => InitFlags::FUSE_ASYNC_DIO,
        Capability::AtomicOTrunc => InitFlags::FUSE_ATOMIC_O_TRUNC,
        Capability::DontMask => InitFlags::FUSE_DONT_MASK,
        Capability::AutoInvalData => InitFlags::FUSE_AUTO_INVAL_DATA,
        Capability::ParallelDirops => InitFlags::FUSE_PARALLEL_DIROPS,
        Capability::DoReaddirplus => InitFlags::FUSE_DO_READDIRPLUS,
        Capability::ReaddirplusAuto => InitFlags::FUSE_READDIRPLUS_AUTO,
        Capability::CacheSymlinks => InitFlags::FUSE_CACHE_SYMLINKS,
        Capability::PosixAcl => InitFlags::FUSE_POSIX_ACL,
        Capability::WritebackCache => InitFlags::FUSE_WRITEBACK_CACHE,
        Capability::Passthrough => InitFlags::FUSE_PASSTHROUGH,
        Capability::DirectIoAllowMmap => InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP,
        Capability::PosixLocks => InitFlags::FUSE_POSIX_LOCKS,
        Capability::FlockLocks => {
            return Err("fuser does not tell flock(2) from fcntl(2) locks");
        }
        Capability::HandleKillprivV2 => {
            return Err("fuser does not hand over the kill flags of open, write and setattr");
        }
    })
}

/// Asks the kernel for what the mount wants, and settles the policy of the filesystem.
pub(super) fn negotiate(fs: &DynamicFS, kernel: &mut KernelConfig) -> Negotiation {
    let offered = kernel.capabilities();
    let mut items = Vec::new();
    let mut granted = Granted {
        no_open: offered.contains(InitFlags::FUSE_NO_OPEN_SUPPORT),
        no_opendir: offered.contains(InitFlags::FUSE_NO_OPENDIR_SUPPORT),
        ..Granted::default()
    };
    for (capability, ask) in capability::plan(fs.config(), &fs.storage_capabilities()) {
        let item = settle_capability(capability, ask, offered, kernel);
        let in_force = item.effective == "yes";
        match capability {
            Capability::Passthrough => granted.passthrough = in_force,
            Capability::WritebackCache => granted.writeback_cache = in_force,
            Capability::AutoInvalData => granted.auto_inval_data = in_force,
            _ => {}
        }
        items.push(item);
    }
    if granted.passthrough {
        // One level: the backing file must not be on a stacked file system itself, and this
        // mount may be the lower one of another. Fails only for depths beyond the kernel's 2.
        let _ = kernel.set_max_stack_depth(1);
    }
    fs.settle(granted);
    items.extend(limits(fs, kernel));
    let abi = kernel.kernel_abi();
    Negotiation {
        kernel_abi: (abi.0, abi.1),
        items,
    }
}

fn settle_capability(
    capability: Capability,
    ask: Ask,
    offered: InitFlags,
    kernel: &mut KernelConfig,
) -> Negotiated {
    let name = capability.name();
    match (ask, flag(capability)) {
        (Ask::No(why), flag) => {
            let offered = flag.is_ok_and(|flag| offered.contains(flag));
            Negotiated::capability(name, false, offered, Some(why))
        }
        (Ask::Yes, Err(why)) => Negotiated::capability(name, true, false, Some(why.to_owned())),
        (Ask::Yes, Ok(flag)) => {
            let granted = kernel.add_capabilities(flag).is_ok();
            let why = (!granted).then(|| "this kernel does not offer it".to_owned());
            Negotiated::capability(name, true, granted, why)
        }
    }
}

/// Limits that are part of INIT.
fn limits(fs: &DynamicFS, kernel: &mut KernelConfig) -> Vec<Negotiated> {
    let config = fs.config();
    let asked_write = config.max_write_size.min(u32::MAX as usize) as u32;
    let settled_write = match kernel.set_max_write(asked_write) {
        Ok(_) => asked_write,
        Err(nearest) => {
            let _ = kernel.set_max_write(nearest);
            nearest
        }
    };
    let cap = max_request_bytes();
    let effective_write = u64::from(settled_write).min(cap);
    let mut write = Negotiated::limit("max_write_size", asked_write, effective_write);
    if effective_write < u64::from(asked_write) {
        write = write.because("fs.fuse.max_pages_limit bounds a request");
    }
    let read = (config.max_read_size as u64).min(cap);
    let mut read_item = Negotiated::limit("max_read_size", config.max_read_size, read);
    if read < config.max_read_size as u64 {
        read_item = read_item.because("fs.fuse.max_pages_limit bounds a request");
    }
    let background = match kernel.set_max_background(config.max_background) {
        Ok(_) => config.max_background,
        Err(nearest) => {
            let _ = kernel.set_max_background(nearest);
            nearest
        }
    };
    vec![
        write,
        read_item,
        Negotiated::limit("max_background", config.max_background, background),
    ]
}

/// The largest payload of a request: `fs.fuse.max_pages_limit` pages, 256 where the kernel has no
/// such setting (before Linux 6.13).
fn max_request_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/sys/fs/fuse/max_pages_limit")
        .ok()
        .and_then(|text| text.trim().parse::<u64>().ok())
        .unwrap_or(256);
    pages * rustix::param::page_size() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fuser_cannot_honour_is_never_asked() {
        for capability in [Capability::HandleKillprivV2, Capability::FlockLocks] {
            assert!(flag(capability).is_err(), "{capability:?}");
        }
    }
}
