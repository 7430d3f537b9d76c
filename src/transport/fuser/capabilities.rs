//! INIT flags and limits, through `fuser`.

use fuser::{InitFlags, KernelConfig};

use crate::transport::capability::Capability;
use crate::transport::handshake::Kernel;

/// The flag of a capability, or why this transport may not ask for it: `fuser` 0.18 would set the
/// flag, but does not hand over what the kernel then sends.
pub(super) fn flag(capability: Capability) -> Result<InitFlags, &'static str> {
    Ok(match capability {
        Capability::AsyncRead => InitFlags::FUSE_ASYNC_READ,
        Capability::AsyncDio => InitFlags::FUSE_ASYNC_DIO,
        Capability::AtomicOTrunc => InitFlags::FUSE_ATOMIC_O_TRUNC,
        Capability::DontMask => InitFlags::FUSE_DONT_MASK,
        Capability::AutoInvalData => InitFlags::FUSE_AUTO_INVAL_DATA,
        Capability::ExplicitInvalData => InitFlags::FUSE_EXPLICIT_INVAL_DATA,
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
        Capability::AllowIdmap => {
            return Err(
                "fuser does not hand over the kill flags, and no request has its caller's ids",
            );
        }
        // All that is not portable.
        _ => return Err("fuser decides the form of messages itself"),
    })
}

impl Kernel for KernelConfig {
    fn abi(&self) -> (u32, u32) {
        let abi = self.kernel_abi();
        (abi.0, abi.1)
    }

    fn offers(&self, capability: Capability) -> Result<bool, &'static str> {
        flag(capability).map(|flag| self.capabilities().contains(flag))
    }

    fn works_without_opens(&self) -> (bool, bool) {
        let says = |flag| self.capabilities().contains(flag);
        (
            says(InitFlags::FUSE_NO_OPEN_SUPPORT),
            says(InitFlags::FUSE_NO_OPENDIR_SUPPORT),
        )
    }

    fn ask(&mut self, capability: Capability) -> bool {
        flag(capability).is_ok_and(|flag| self.add_capabilities(flag).is_ok())
    }

    fn set_max_write(&mut self, bytes: u32) -> u32 {
        match KernelConfig::set_max_write(self, bytes) {
            Ok(_) => bytes,
            Err(nearest) => {
                let _ = KernelConfig::set_max_write(self, nearest);
                nearest
            }
        }
    }

    fn set_max_background(&mut self, requests: u16) -> u16 {
        match KernelConfig::set_max_background(self, requests) {
            Ok(_) => requests,
            Err(nearest) => {
                let _ = KernelConfig::set_max_background(self, nearest);
                nearest
            }
        }
    }

    fn set_request_timeout(&mut self, _: u16) -> u16 {
        // The answer to INIT of fuser 0.18 has no such field.
        0
    }

    fn set_max_stack_depth(&mut self, depth: u32) {
        // Fails only for depths beyond the kernel's 2.
        let _ = KernelConfig::set_max_stack_depth(self, depth);
    }
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
