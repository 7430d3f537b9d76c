//! What creations bring beside their arguments: security contexts and a supplementary group.
//!
//! They are at the end of the message, after a name of any length, so their numbers lie anywhere.

use std::ffi::OsStr;

use super::abi::{EXT_GROUPS, ExtHeader, MAX_NR_SECCTX, Secctx, record_align};
use super::error::Defect;
use super::reader::Reader;

/// The extensions of a request; they have been checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Extensions<'a> {
    bytes: &'a [u8],
}

/// A security context for what is created (`FUSE_SECURITY_CTX`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SecurityContext<'a> {
    /// Name of the extended attribute: `security.selinux`.
    pub(crate) name: &'a OsStr,
    /// Its value.
    pub(crate) value: &'a [u8],
}

impl<'a> Extensions<'a> {
    /// # Errors
    /// [`Defect::Extensions`] when they do not fill `bytes` exactly. Extensions of an unknown kind are
    /// passed over.
    pub(super) fn check(bytes: &'a [u8]) -> Result<Extensions<'a>, Defect> {
        let extensions = Extensions { bytes };
        extensions.walk().map_err(|_| Defect::Extensions)?;
        Ok(extensions)
    }

    /// All of them, as they were sent.
    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The security contexts.
    pub(crate) fn security_contexts(&self) -> impl Iterator<Item = SecurityContext<'a>> + use<'a> {
        self.records()
            .filter(|(header, _)| header.kind <= MAX_NR_SECCTX)
            .flat_map(|(header, mut content)| {
                (0..header.kind).map_while(move |_| security_context(&mut content).ok())
            })
    }

    /// The caller's supplementary groups that matter, in fact the one of the directory
    /// (`FUSE_CREATE_SUPP_GROUP`).
    pub(crate) fn groups(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.records()
            .filter(|(header, _)| header.kind == EXT_GROUPS)
            .flat_map(|(_, mut content)| {
                let count = content.copied::<u32>().unwrap_or(0);
                (0..count).map_while(move |_| content.copied().ok())
            })
    }

    fn records(&self) -> impl Iterator<Item = (ExtHeader, Reader<'a>)> + use<'a> {
        let mut reader = Reader::new(self.bytes);
        std::iter::from_fn(move || record(&mut reader).ok())
    }

    /// Reads everything once.
    fn walk(&self) -> Result<(), Defect> {
        let mut reader = Reader::new(self.bytes);
        while reader.remaining() > 0 {
            let (header, mut content) = record(&mut reader)?;
            if header.kind <= MAX_NR_SECCTX {
                for _ in 0..header.kind {
                    security_context(&mut content)?;
                }
                content.end()?;
            } else if header.kind == EXT_GROUPS {
                let groups = content.copied::<u32>()?;
                let bytes = u64::from(groups) * size_of::<u32>() as u64;
                content.bytes(usize::try_from(bytes).map_err(|_| Defect::Short)?)?;
                // What is left makes the length a multiple of 8.
                content.padding()?;
            }
        }
        Ok(())
    }
}

/// The next extension: its header and a reader of what follows it.
fn record<'a>(reader: &mut Reader<'a>) -> Result<(ExtHeader, Reader<'a>), Defect> {
    let header = reader.copied::<ExtHeader>()?;
    let content = (header.size as usize)
        .checked_sub(size_of::<ExtHeader>())
        .ok_or(Defect::Extensions)?;
    if record_align(content) != content {
        return Err(Defect::Extensions);
    }
    Ok((header, Reader::new(reader.bytes(content)?)))
}

/// The next security context and the padding after it.
fn security_context<'a>(reader: &mut Reader<'a>) -> Result<SecurityContext<'a>, Defect> {
    let before = reader.remaining();
    let size = reader.copied::<Secctx>()?.size as usize;
    let name = reader.string()?;
    let value = reader.bytes(size)?;
    let len = before - reader.remaining();
    reader.bytes(record_align(len) - len)?;
    Ok(SecurityContext { name, value })
}
