//! stub
#![allow(missing_docs)]
use crate::config::OptimizedFUSEConfig;
use crate::storage::*;
use std::borrow::Borrow;
pub struct ReadAheadManager;
pub struct ReadAheadHint {
    pub ino: u64,
    pub offset: u64,
    pub size: usize,
}
impl ReadAheadManager {
    pub fn new(_: impl Borrow<OptimizedFUSEConfig>) -> Self {
        Self
    }
    pub fn record_access_in(&self, _: u64, _: u64, _: usize, _: u64) -> Option<ReadAheadHint> {
        None
    }
    pub fn close(&self, _: u64) {}
    pub fn statistics(&self) -> crate::stats::ReadAheadStatistics {
        Default::default()
    }
}
pub struct Prefetcher;
impl Prefetcher {
    pub fn new(
        _: impl Borrow<OptimizedFUSEConfig>,
        _: impl Fn(Ino, Fh, u64, &mut [u8]) -> Result<usize> + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        Ok(Self)
    }
    pub fn read(&self, _: Ino, _: u64, _: &mut [u8]) -> Option<usize> {
        None
    }
    pub fn request(&self, _: Ino, _: Fh, _: u64, _: u64) {}
    pub fn invalidate(&self, _: Ino, _: std::ops::Range<u64>) {}
    pub fn close(&self, _: Ino) {}
}
pub mod bdi {
    pub struct Raised {
        pub before_kb: u64,
        pub after_kb: u64,
    }
    pub fn raise(_: &std::path::Path, _: usize) -> Result<Raised, std::io::Error> {
        Err(std::io::ErrorKind::Other.into())
    }
    pub fn current(_: &std::path::Path) -> Result<u64, std::io::Error> {
        Err(std::io::ErrorKind::Other.into())
    }
}
