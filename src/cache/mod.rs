//! stub
#![allow(missing_docs)]
use crate::config::OptimizedFUSEConfig;
use std::borrow::Borrow;
use std::ffi::OsStr;
use std::sync::Arc;
pub enum CachedXAttr {
    Value(Arc<[u8]>),
    Absent,
    Unknown,
}
pub struct XAttrCache;
pub struct Ticket;
impl XAttrCache {
    pub fn new(_: impl Borrow<OptimizedFUSEConfig>) -> Self {
        XAttrCache
    }
    pub fn lookup(&self, _: u64, _: impl AsRef<OsStr>) -> CachedXAttr {
        CachedXAttr::Unknown
    }
    pub fn begin(&self, _: u64) -> Ticket {
        Ticket
    }
    pub fn put_if_current(&self, _: Ticket, _: impl AsRef<OsStr>, _: &[u8]) {}
    pub fn put_absent_if_current(&self, _: Ticket, _: impl AsRef<OsStr>) {}
    pub fn invalidate(&self, _: u64) {}
    pub fn invalidate_attr(&self, _: u64, _: impl AsRef<OsStr>) {}
    pub fn statistics(&self) -> crate::stats::XAttrCacheStatistics {
        Default::default()
    }
}
