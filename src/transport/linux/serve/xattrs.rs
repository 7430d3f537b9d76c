//! Extended attributes.

use std::ffi::OsStr;

use super::super::wire::Reply;
use super::super::wire::abi::{GetxattrIn, GetxattrOut, SetxattrIn};
use super::call::Call;
use crate::filesystem::DynamicFS;
use crate::platform::XattrFlags;
use crate::stats::Opcode;
use crate::storage::{Caller, Errno, Result};

pub(super) fn getxattr(call: &Call<'_>, args: &GetxattrIn, name: &OsStr) {
    sized(call, Opcode::GetXAttr, args.size, |fs, caller| {
        fs.getxattr(caller, call.ino(), name)
    });
}

pub(super) fn listxattr(call: &Call<'_>, args: &GetxattrIn) {
    sized(call, Opcode::ListXAttr, args.size, |fs, caller| {
        fs.listxattr(caller, call.ino())
    });
}

/// Answers a request for `size` bytes, 0 asking for the length alone.
fn sized(
    call: &Call<'_>,
    op: Opcode,
    size: u32,
    operation: impl FnOnce(&DynamicFS, &Caller) -> Result<Vec<u8>>,
) {
    let unique = call.unique();
    match call.run(op, operation) {
        Ok(value) if size == 0 => {
            let size = value.len() as u32;
            call.reply(&Reply::arguments(unique, &GetxattrOut { size, padding: 0 }));
        }
        Ok(value) if value.len() > size as usize => call.fail(Errno::RANGE),
        Ok(value) => call.reply(&Reply::data(unique, &value)),
        Err(error) => call.fail(error),
    }
}

/// Whether an ACL takes set-group-id away, which the kernel says beside it, the storage knows: it sets
/// ACLs as the caller, or checks the caller's groups.
pub(super) fn setxattr(call: &Call<'_>, args: &SetxattrIn, name: &OsStr, value: &[u8]) {
    let flags = XattrFlags::from_bits_retain(args.flags);
    call.answer(Opcode::SetXAttr, |fs, caller| {
        fs.setxattr(caller, call.ino(), name, value, flags)
    });
}

pub(super) fn removexattr(call: &Call<'_>, name: &OsStr) {
    call.answer(Opcode::RemoveXAttr, |fs, caller| {
        fs.removexattr(caller, call.ino(), name)
    });
}
