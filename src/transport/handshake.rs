//! What a mount asks of the kernel, and what becomes of the answer: the same for all transports.

use std::time::Duration;

use super::capability::{self, Ask, Capability};
use super::request_timeout::Bounds;
use super::{Negotiated, Negotiation};
use crate::config::OptimizedFUSEConfig;
use crate::filesystem::{DynamicFS, Granted};

/// The kernel in a handshake, as a transport reaches it.
pub(super) trait Kernel {
    /// Version of the FUSE protocol that it speaks: major, minor.
    fn abi(&self) -> (u32, u32);

    /// Whether it offers a capability.
    ///
    /// # Errors
    /// Why this transport may not ask, whatever is offered.
    fn offers(&self, capability: Capability) -> Result<bool, &'static str>;

    /// Whether it takes `ENOSYS` to OPEN, and to OPENDIR, for all files and directories of the mount: it says
    /// so by itself (`FUSE_NO_OPEN_SUPPORT`, `FUSE_NO_OPENDIR_SUPPORT`).
    fn works_without_opens(&self) -> (bool, bool);

    /// Asks for a capability; false where it is not offered.
    fn ask(&mut self, capability: Capability) -> bool;

    /// Asks for write requests of so many bytes at most, and returns what was taken.
    fn set_max_write(&mut self, bytes: u32) -> u32;

    /// Asks for so many asynchronous requests in flight, and returns what was taken.
    fn set_max_background(&mut self, requests: u16) -> u16;

    /// Asks for a limit of so many seconds to each answer, and returns what could be asked for: nothing where the
    /// capability is not in force.
    fn set_request_timeout(&mut self, seconds: u16) -> u16;

    /// Says how many stacked file systems may lie below this one.
    fn set_max_stack_depth(&mut self, depth: u32);
}

/// Asks for what the mount wants, of the capabilities that the transport has something to say of, and
/// settles the policy of the filesystem.
pub(super) fn negotiate(
    fs: &DynamicFS,
    known: &[Capability],
    kernel: &mut impl Kernel,
) -> Negotiation {
    let mut items = Vec::new();
    let (no_open, no_opendir) = kernel.works_without_opens();
    let mut granted = Granted {
        no_open,
        no_opendir,
        ..Granted::default()
    };
    for (capability, ask) in capability::plan(known, fs.config(), &fs.storage_capabilities()) {
        let item = settle(capability, ask, kernel);
        let in_force = item.effective == "yes";
        match capability {
            Capability::Passthrough => granted.passthrough = in_force,
            Capability::WritebackCache => granted.writeback_cache = in_force,
            Capability::AutoInvalData | Capability::ExplicitInvalData => {
                granted.lasting_pages |= in_force;
            }
            _ => {}
        }
        items.push(item);
    }
    if granted.passthrough {
        // One level: the backing file must not be on a stacked file system itself, and this
        // mount may be the lower one of another.
        kernel.set_max_stack_depth(1);
    }
    fs.settle(granted);
    items.extend(limits(fs, kernel));
    Negotiation {
        kernel_abi: kernel.abi(),
        items,
    }
}

fn settle(capability: Capability, ask: Ask, kernel: &mut impl Kernel) -> Negotiated {
    let name = capability.name();
    match (ask, kernel.offers(capability)) {
        (Ask::No(why), offered) => {
            Negotiated::capability(name, false, offered.unwrap_or(false), Some(why))
        }
        (Ask::Yes, Err(why)) => Negotiated::capability(name, true, false, Some(why.to_owned())),
        (Ask::Yes, Ok(_)) => {
            let granted = kernel.ask(capability);
            let why = (!granted).then(|| "this kernel does not offer it".to_owned());
            Negotiated::capability(name, true, granted, why)
        }
    }
}

/// Limits that are part of INIT.
fn limits(fs: &DynamicFS, kernel: &mut impl Kernel) -> Vec<Negotiated> {
    let config = fs.config();
    let cap = max_request_bytes();
    let limit = |name, asked: u64, effective: u64| {
        let item = Negotiated::limit(name, asked, effective);
        if effective < asked {
            item.because("fs.fuse.max_pages_limit bounds a request")
        } else {
            item
        }
    };
    let asked_write = config.max_write_size.min(u32::MAX as usize) as u32;
    let write = u64::from(kernel.set_max_write(asked_write)).min(cap);
    let asked_read = config.max_read_size as u64;
    let background = kernel.set_max_background(config.max_background);
    let mut limits = vec![
        limit("max_write_size", asked_write.into(), write),
        limit("max_read_size", asked_read, asked_read.min(cap)),
        Negotiated::limit("max_background", config.max_background, background),
    ];
    limits.extend(request_timeout(config, kernel));
    limits
}

fn request_timeout(config: &OptimizedFUSEConfig, kernel: &mut impl Kernel) -> Option<Negotiated> {
    let asked = config.request_timeout();
    let seconds = asked.as_millis().div_ceil(1000);
    let named = kernel.set_request_timeout(u16::try_from(seconds).unwrap_or(u16::MAX));
    Bounds::of_this_system().report(asked, Duration::from_secs(named.into()))
}

/// The largest payload of a request: `fs.fuse.max_pages_limit` pages, 256 where the kernel has no
/// such setting (before Linux 6.13).
pub(super) fn max_request_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/sys/fs/fuse/max_pages_limit")
        .ok()
        .and_then(|text| text.trim().parse::<u64>().ok())
        .unwrap_or(256);
    pages * rustix::param::page_size() as u64
}
