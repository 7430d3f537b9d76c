//! Requests as bytes, as a kernel would send them: for whoever plays the kernel in a test.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use zerocopy::{Immutable, IntoBytes};

use super::WRITE_HEAD;
use super::abi::*;
use super::request::{Dialect, Operation, Request};

impl Request<'_> {
    /// The message that decodes to this request. Length and extensions of the header are set anew, except
    /// that an INIT is as long as the header says: only it may have more than is known here.
    pub(super) fn encode(&self, dialect: Dialect) -> Vec<u8> {
        let mut message = Message(self.header.as_bytes().to_vec());
        message.operation(&self.operation, dialect);
        if matches!(self.operation, Operation::Init(_)) {
            let extensions = self.extensions.as_bytes().len();
            message.0.resize(self.header.len as usize - extensions, 0);
        }
        message.finish(self)
    }
}

/// Decodes a message of any bytes. Whatever is a request must be the same request after it was encoded;
/// whatever is none must say so and do nothing else.
///
/// # Panics
/// When that does not hold.
pub fn check_decoder(message: &[u8], setxattr_ext: bool) {
    let dialect = Dialect { setxattr_ext };
    let placed = Placed::new(message);
    check_write(placed.bytes(), dialect);
    let request = match Request::decode(placed.bytes(), dialect) {
        Ok(request) => request,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    // Extensions are read again whenever they are asked for.
    let contexts = request.extensions.security_contexts();
    let bytes: usize = contexts.map(|context| context.value.len()).sum();
    let groups = request.extensions.groups().count() * size_of::<u32>();
    assert!(bytes + groups <= request.extensions.as_bytes().len());
    let again = Placed::new(&request.encode(dialect));
    assert_eq!(again.bytes().len(), message.len());
    assert_eq!(Request::decode(again.bytes(), dialect), Ok(request));
}

/// What is taken for a WRITE by its head alone must be that WRITE as a whole.
fn check_write(message: &[u8], dialect: Dialect) {
    let (head, rest) = message.split_at(message.len().min(WRITE_HEAD));
    let Some(by_head) = Request::decode_write(head, rest.len()) else {
        return;
    };
    let Operation::Write { args, data: b"" } = by_head.operation else {
        panic!("{:?}", by_head.operation);
    };
    let operation = Operation::Write { args, data: rest };
    let whole = Request {
        operation,
        ..by_head
    };
    assert_eq!(Request::decode(message, dialect), Ok(whole));
}

/// Bytes at an address that is a multiple of 8.
pub(super) struct Placed {
    memory: Vec<u64>,
    len: usize,
}

impl Placed {
    pub(super) fn new(bytes: &[u8]) -> Placed {
        let mut memory = vec![0_u64; bytes.len().div_ceil(size_of::<u64>())];
        memory.as_mut_bytes()[..bytes.len()].copy_from_slice(bytes);
        Placed {
            memory,
            len: bytes.len(),
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.memory.as_bytes()[..self.len]
    }
}

struct Message(Vec<u8>);

impl Message {
    fn bytes(&mut self, bytes: &[u8]) -> &mut Message {
        self.0.extend_from_slice(bytes);
        self
    }

    fn args<T: IntoBytes + Immutable>(&mut self, args: &T) -> &mut Message {
        self.bytes(args.as_bytes())
    }

    fn text(&mut self, text: &OsStr) -> &mut Message {
        self.bytes(text.as_bytes()).bytes(&[0])
    }

    /// The counterpart of the decoder's: one place per operation.
    fn operation(&mut self, operation: &Operation<'_>, dialect: Dialect) {
        match *operation {
            Operation::Readlink | Operation::Statfs | Operation::Destroy => self,
            Operation::Lookup { name }
            | Operation::Unlink { name }
            | Operation::Rmdir { name }
            | Operation::Removexattr { name } => self.text(name),
            Operation::Symlink { name, target } => self.text(name).text(target),
            Operation::Mknod { args, name } => self.args(args).text(name),
            Operation::Mkdir { args, name } => self.args(args).text(name),
            Operation::Link { args, name } => self.args(args).text(name),
            Operation::Create { args, name } | Operation::Tmpfile { args, name } => {
                self.args(args).text(name)
            }
            Operation::Getxattr { args, name } => self.args(args).text(name),
            Operation::Rename {
                args,
                name,
                newname,
            } => self.args(args).text(name).text(newname),
            Operation::Rename2 {
                args,
                name,
                newname,
            } => self.args(args).text(name).text(newname),
            Operation::Write { args, data } => self.args(args).bytes(data),
            Operation::Ioctl { args, data } => self.args(args).bytes(data),
            Operation::NotifyReply { args, data } => self.args(args).bytes(data),
            Operation::Setxattr { args, name, value } => {
                self.setxattr(&args, dialect).text(name).bytes(value)
            }
            Operation::BatchForget(forgets) => self
                .args(&BatchForgetIn {
                    count: forgets.len() as u32,
                    dummy: 0,
                })
                .bytes(forgets.as_bytes()),
            Operation::Forget(args) => self.args(args),
            Operation::Getattr(args) => self.args(args),
            Operation::Setattr(args) => self.args(args),
            Operation::Open(args) | Operation::Opendir(args) => self.args(args),
            Operation::Read(args) | Operation::Readdir(args) | Operation::Readdirplus(args) => {
                self.args(args)
            }
            Operation::Release(args) | Operation::Releasedir(args) => self.args(args),
            Operation::Fsync(args) | Operation::Fsyncdir(args) => self.args(args),
            Operation::Listxattr(args) => self.args(args),
            Operation::Flush(args) => self.args(args),
            Operation::Init(ref args) => self.args(args),
            Operation::Getlk(args) | Operation::Setlk(args) | Operation::Setlkw(args) => {
                self.args(args)
            }
            Operation::Access(args) => self.args(args),
            Operation::Interrupt(args) => self.args(args),
            Operation::Bmap(args) => self.args(args),
            Operation::Poll(args) => self.args(args),
            Operation::Fallocate(args) => self.args(args),
            Operation::Lseek(args) => self.args(args),
            Operation::CopyFileRange(args) | Operation::CopyFileRange64(args) => self.args(args),
            Operation::Syncfs(args) => self.args(args),
            Operation::Statx(args) => self.args(args),
        };
    }

    fn setxattr(&mut self, args: &SetxattrIn, dialect: Dialect) -> &mut Message {
        if dialect.setxattr_ext {
            return self.args(args);
        }
        let &SetxattrIn { size, flags, .. } = args;
        self.args(&SetxattrInCompat { size, flags })
    }

    fn finish(mut self, request: &Request<'_>) -> Vec<u8> {
        let extensions = request.extensions.as_bytes();
        self.bytes(extensions);
        let header = InHeader {
            len: self.0.len() as u32,
            total_extlen: (extensions.len() / size_of::<u64>()) as u16,
            ..*request.header
        };
        self.0[..size_of::<InHeader>()].copy_from_slice(header.as_bytes());
        self.0
    }
}
