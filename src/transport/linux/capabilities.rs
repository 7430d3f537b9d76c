//! INIT: the flags and limits that this transport honours.

use super::wire::abi::{InitFlags, InitIn, InitOut};
use crate::transport::capability::Capability;
use crate::transport::handshake::{Kernel, max_request_bytes};

/// The flag of a capability. Together they are all that may be asked for; what is asked is decided
/// [elsewhere](crate::transport::capability).
pub(super) fn flag(capability: Capability) -> InitFlags {
    match capability {
        Capability::AsyncRead => InitFlags::ASYNC_READ,
        Capability::AsyncDio => InitFlags::ASYNC_DIO,
        Capability::AtomicOTrunc => InitFlags::ATOMIC_O_TRUNC,
        Capability::DontMask => InitFlags::DONT_MASK,
        Capability::AutoInvalData => InitFlags::AUTO_INVAL_DATA,
        Capability::ParallelDirops => InitFlags::PARALLEL_DIROPS,
        Capability::DoReaddirplus => InitFlags::DO_READDIRPLUS,
        Capability::ReaddirplusAuto => InitFlags::READDIRPLUS_AUTO,
        Capability::CacheSymlinks => InitFlags::CACHE_SYMLINKS,
        Capability::PosixAcl => InitFlags::POSIX_ACL,
        Capability::WritebackCache => InitFlags::WRITEBACK_CACHE,
        Capability::Passthrough => InitFlags::PASSTHROUGH,
        Capability::DirectIoAllowMmap => InitFlags::DIRECT_IO_ALLOW_MMAP,
        Capability::PosixLocks => InitFlags::POSIX_LOCKS,
        Capability::FlockLocks => InitFlags::FLOCK_LOCKS,
        Capability::HandleKillprivV2 => InitFlags::HANDLE_KILLPRIV_V2,
        Capability::InitExt => InitFlags::INIT_EXT,
        Capability::MaxPages => InitFlags::MAX_PAGES,
        Capability::ExportSupport => InitFlags::EXPORT_SUPPORT,
        Capability::SetxattrExt => InitFlags::SETXATTR_EXT,
        Capability::HasExpireOnly => InitFlags::HAS_EXPIRE_ONLY,
        Capability::SpliceWrite => InitFlags::SPLICE_WRITE,
        Capability::SpliceRead => InitFlags::SPLICE_READ,
        Capability::SpliceMove => InitFlags::SPLICE_MOVE,
        Capability::ExplicitInvalData => InitFlags::EXPLICIT_INVAL_DATA,
        Capability::SecurityCtx => InitFlags::SECURITY_CTX,
        Capability::CreateSuppGroup => InitFlags::CREATE_SUPP_GROUP,
        Capability::AllowIdmap => InitFlags::ALLOW_IDMAP,
        Capability::HasResend => InitFlags::HAS_RESEND,
        Capability::RequestTimeout => InitFlags::REQUEST_TIMEOUT,
        Capability::Submounts => InitFlags::SUBMOUNTS,
        Capability::OverIoUring => InitFlags::OVER_IO_URING,
    }
}

/// Why requests do not pass a pipe although that was asked for.
const NO_PIPE: &str = "no pipe holds the largest request: lower max_read_size and max_write_size by two pages, or raise fs.pipe-max-size";

/// The oldest minor version of the protocol that is served: Linux 5.2. Messages of older ones are shorter.
pub(super) const OLDEST_MINOR: u32 = 31;

/// The handshake: what the kernel sent, and the answer as it grows.
pub(super) struct Handshake {
    sent: InitIn,
    asked: InitFlags,
    max_write: u32,
    max_background: u16,
    max_stack_depth: u32,
    request_timeout: u16,
    /// Whether a pipe holds the largest request.
    pipes_hold: bool,
}

impl Handshake {
    /// `pipes_hold` says whether requests could pass a pipe, where they are to.
    pub(super) fn new(sent: InitIn, pipes_hold: bool) -> Handshake {
        Handshake {
            // In force since Linux 4.2 whether asked for or not.
            asked: sent.offered() & InitFlags::BIG_WRITES,
            sent,
            max_write: 0,
            max_background: 0,
            max_stack_depth: 0,
            request_timeout: 0,
            pipes_hold,
        }
    }

    /// Whether the answer takes a flag.
    pub(super) fn takes(&self, flag: InitFlags) -> bool {
        self.asked.contains(flag)
    }

    /// Bytes of data in a request to write, at most.
    pub(super) fn max_write(&self) -> u32 {
        self.max_write
    }

    /// The answer, with requests of up to `max_read` bytes.
    pub(super) fn answer(&self, max_read: usize) -> InitOut {
        let largest = max_read.max(self.max_write as usize);
        let pages = largest.div_ceil(rustix::param::page_size());
        let ours = InitOut::new(self.asked);
        InitOut {
            minor: ours.minor.min(self.sent.minor),
            max_readahead: self.sent.max_readahead,
            max_background: self.max_background,
            // The share at which the kernel holds asynchronous writers back, as its own default has it.
            congestion_threshold: (u32::from(self.max_background) * 3 / 4) as u16,
            max_write: self.max_write,
            time_gran: 1,
            max_pages: u16::try_from(pages).unwrap_or(u16::MAX),
            max_stack_depth: self.max_stack_depth,
            request_timeout: self.request_timeout,
            ..ours
        }
    }
}

impl Kernel for Handshake {
    fn abi(&self) -> (u32, u32) {
        (self.sent.major, self.sent.minor)
    }

    fn offers(&self, capability: Capability) -> Result<bool, &'static str> {
        if capability == Capability::SpliceRead && !self.pipes_hold {
            return Err(NO_PIPE);
        }
        Ok(self.sent.offered().contains(flag(capability)))
    }

    fn works_without_opens(&self) -> (bool, bool) {
        let says = |flag| self.sent.offered().contains(flag);
        (
            says(InitFlags::NO_OPEN_SUPPORT),
            says(InitFlags::NO_OPENDIR_SUPPORT),
        )
    }

    fn ask(&mut self, capability: Capability) -> bool {
        let flag = flag(capability);
        let offered = self.sent.offered().contains(flag);
        if offered {
            self.asked |= flag;
        }
        offered
    }

    fn set_max_write(&mut self, bytes: u32) -> u32 {
        let most = u32::try_from(max_request_bytes()).unwrap_or(u32::MAX);
        self.max_write = bytes.min(most);
        self.max_write
    }

    fn set_max_background(&mut self, requests: u16) -> u16 {
        self.max_background = requests;
        requests
    }

    fn set_request_timeout(&mut self, seconds: u16) -> u16 {
        if self.takes(InitFlags::REQUEST_TIMEOUT) {
            self.request_timeout = seconds;
        }
        self.request_timeout
    }

    fn set_max_stack_depth(&mut self, depth: u32) {
        self.max_stack_depth = depth;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(offered: InitFlags) -> InitIn {
        let bits = offered.bits();
        InitIn {
            major: 7,
            minor: 40,
            max_readahead: 1 << 17,
            flags: bits as u32,
            flags2: (bits >> 32) as u32,
            ..InitIn::default()
        }
    }

    #[test]
    fn every_capability_has_a_flag_of_its_own() {
        let all = Capability::ALL.iter().map(|&c| flag(c));
        let union = all.clone().fold(InitFlags::empty(), |all, one| all | one);
        assert_eq!(union.bits().count_ones() as usize, all.count());
    }

    #[test]
    fn only_what_is_offered_is_taken() {
        let offered = InitFlags::INIT_EXT | InitFlags::PASSTHROUGH;
        let mut handshake = Handshake::new(kernel(offered), true);
        assert!(handshake.ask(Capability::Passthrough));
        assert!(!handshake.ask(Capability::PosixAcl));
        let answer = handshake.answer(1 << 20);
        assert_eq!(answer.flags, InitFlags::INIT_EXT.bits() as u32);
        assert_eq!(answer.flags2, (InitFlags::PASSTHROUGH.bits() >> 32) as u32);
    }

    #[test]
    fn the_answer_is_in_the_kernels_version_with_room_for_the_largest_request() {
        let mut handshake = Handshake::new(kernel(InitFlags::empty()), true);
        handshake.set_max_write(4096);
        handshake.set_max_background(64);
        let answer = handshake.answer(1 << 20);
        assert_eq!((answer.major, answer.minor), (7, 40));
        assert_eq!(
            usize::from(answer.max_pages),
            (1 << 20) / rustix::param::page_size()
        );
        assert_eq!(answer.congestion_threshold, 48);
    }
}
