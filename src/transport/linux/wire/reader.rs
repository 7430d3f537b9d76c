//! Takes a message apart, from its start on.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use zerocopy::error::ConvertError;
use zerocopy::{CastError, FromBytes, Immutable, KnownLayout};

use super::error::Defect;

/// What is left of a message.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(message: &'a [u8]) -> Reader<'a> {
        Reader { rest: message }
    }

    /// Bytes that are left.
    pub(super) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The next structure, where it lies.
    pub(super) fn object<T>(&mut self) -> Result<&'a T, Defect>
    where
        T: FromBytes + KnownLayout + Immutable,
    {
        let (object, rest) = T::ref_from_prefix(self.rest).map_err(defect)?;
        self.rest = rest;
        Ok(object)
    }

    /// The next `count` structures, where they lie.
    pub(super) fn objects<T>(&mut self, count: usize) -> Result<&'a [T], Defect>
    where
        T: FromBytes + Immutable,
    {
        let (objects, rest) =
            <[T]>::ref_from_prefix_with_elems(self.rest, count).map_err(defect)?;
        self.rest = rest;
        Ok(objects)
    }

    /// The next structure, wherever it lies.
    pub(super) fn copied<T: FromBytes>(&mut self) -> Result<T, Defect> {
        let (object, rest) = T::read_from_prefix(self.rest).map_err(|_| Defect::Short)?;
        self.rest = rest;
        Ok(object)
    }

    /// The next `len` bytes.
    pub(super) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Defect> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(Defect::Short)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// The last `len` bytes.
    pub(super) fn tail(&mut self, len: usize) -> Result<&'a [u8], Defect> {
        let start = self.rest.len().checked_sub(len).ok_or(Defect::Short)?;
        let (rest, tail) = self.rest.split_at(start);
        self.rest = rest;
        Ok(tail)
    }

    /// The next string, without the NUL that ends it.
    pub(super) fn string(&mut self) -> Result<&'a OsStr, Defect> {
        let len = self.rest.iter().position(|&byte| byte == 0);
        let string = self.bytes(len.ok_or(Defect::Short)?)?;
        self.bytes(1)?;
        Ok(OsStr::from_bytes(string))
    }

    /// The next string, which has to be a name in a directory. Storages rely on it: with a slash in a
    /// name, whoever holds the other end of the connection would leave the directory.
    pub(super) fn name(&mut self) -> Result<&'a OsStr, Defect> {
        let name = self.string()?;
        if name.is_empty() || name.as_bytes().contains(&b'/') {
            return Err(Defect::Name);
        }
        Ok(name)
    }

    /// There must be nothing more but what makes the length a multiple of 8.
    pub(super) fn padding(&self) -> Result<(), Defect> {
        if self.rest.len() < size_of::<u64>() {
            Ok(())
        } else {
            Err(Defect::Long)
        }
    }

    /// There must be nothing more.
    pub(super) fn end(&self) -> Result<(), Defect> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Defect::Long)
        }
    }
}

fn defect<Source, Target: ?Sized>(error: CastError<Source, Target>) -> Defect {
    match error {
        ConvertError::Alignment(_) => Defect::Misaligned,
        ConvertError::Size(_) => Defect::Short,
    }
}
