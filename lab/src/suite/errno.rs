//! Names of error numbers, so that observations read well and compare across machines.

use rustix::io::Errno;

macro_rules! names {
    ($($name:ident)+) => {
        &[$((libc::$name, stringify!($name))),+]
    };
}

const NAMES: &[(i32, &str)] = names![
    EPERM ENOENT EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT EBUSY EEXIST
    EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK
    EPIPE ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP ENODATA EOVERFLOW EOPNOTSUPP
    EADDRINUSE ENOTCONN ECONNREFUSED ETIMEDOUT ESTALE EDQUOT
];

/// The name of `errno`, or `errno N`.
pub(crate) fn name(errno: Errno) -> String {
    let raw = errno.raw_os_error();
    match NAMES.iter().find(|(number, _)| *number == raw) {
        Some((_, name)) => (*name).to_owned(),
        None => format!("errno {raw}"),
    }
}

/// How a call ended: `ok` or the name of its error.
pub(crate) fn code<T>(result: &Result<T, Errno>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(errno) => name(*errno),
    }
}
