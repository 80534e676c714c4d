//! What control functions fail with, and how it is thrown.

use std::fmt::Display;
use std::{io, ptr};

use napi::{Env, check_status, sys};

pub type Result<T> = std::result::Result<T, Failure>;

#[derive(Debug)]
pub enum Failure {
    /// A system call failed: thrown as an Error with `code`, `errno` (positive) and `syscall`.
    System { syscall: String, errno: i32, detail: String },
    /// An argument of the wrong type: thrown as a TypeError.
    Type(String),
    /// An argument outside of its range: thrown as a RangeError.
    Range(String),
    /// A call into Node failed, or a JavaScript exception is pending already.
    Node(napi::Error),
}

impl Failure {
    pub fn system(syscall: impl Into<String>, errno: i32, detail: impl Display) -> Self {
        Failure::System { syscall: syscall.into(), errno, detail: detail.to_string() }
    }

    /// A failure of the calling thread's last system call.
    pub fn last(syscall: impl Into<String>, detail: impl Display) -> Self {
        Self::system(syscall, last_errno(), detail)
    }

    pub fn errno(&self) -> i32 {
        match self {
            Failure::System { errno, .. } => *errno,
            _ => 0,
        }
    }

    pub fn message(&self) -> String {
        match self {
            Failure::System { syscall, errno, detail } => {
                let text = describe(*errno);
                if detail.is_empty() {
                    format!("{syscall}: {} ({text})", name(*errno))
                } else {
                    format!("{syscall}: {} ({text}): {detail}", name(*errno))
                }
            }
            Failure::Type(message) | Failure::Range(message) => message.clone(),
            Failure::Node(error) => error.reason.clone(),
        }
    }

    /// Leaves a JavaScript exception pending in `env`.
    pub fn throw(&self, env: &Env) {
        // A failure to build the exception (the environment is ending) leaves none pending: the caller sees undefined.
        let _ = self.try_throw(env);
    }

    fn try_throw(&self, env: &Env) -> napi::Result<()> {
        let mut pending = false;
        // SAFETY: `env` is the environment of the running callback.
        check_status!(unsafe { sys::napi_is_exception_pending(env.raw(), &mut pending) })?;
        if pending {
            return Ok(());
        }
        let message = text(env, &self.message())?;
        let mut error = ptr::null_mut();
        match self {
            Failure::System { syscall, errno, .. } => {
                // SAFETY: `message` is a string of this environment, `error` receives the result.
                check_status!(unsafe { sys::napi_create_error(env.raw(), ptr::null_mut(), message, &mut error) })?;
                property(env, error, c"code", text(env, &name(*errno))?)?;
                property(env, error, c"syscall", text(env, syscall)?)?;
                let mut number = ptr::null_mut();
                // SAFETY: `number` receives the result.
                check_status!(unsafe { sys::napi_create_int32(env.raw(), *errno, &mut number) })?;
                property(env, error, c"errno", number)?;
            }
            Failure::Type(_) => {
                let code = text(env, "ERR_INVALID_ARG_TYPE")?;
                // SAFETY: as above.
                check_status!(unsafe { sys::napi_create_type_error(env.raw(), code, message, &mut error) })?;
            }
            Failure::Range(_) => {
                let code = text(env, "ERR_OUT_OF_RANGE")?;
                // SAFETY: as above.
                check_status!(unsafe { sys::napi_create_range_error(env.raw(), code, message, &mut error) })?;
            }
            Failure::Node(_) => {
                // SAFETY: as above.
                check_status!(unsafe { sys::napi_create_error(env.raw(), ptr::null_mut(), message, &mut error) })?;
            }
        }
        // SAFETY: `error` is an Error object of this environment.
        check_status!(unsafe { sys::napi_throw(env.raw(), error) })
    }
}

impl From<napi::Error> for Failure {
    fn from(error: napi::Error) -> Self {
        Failure::Node(error)
    }
}

fn text(env: &Env, value: &str) -> napi::Result<sys::napi_value> {
    let mut result = ptr::null_mut();
    // SAFETY: `value` is passed with its length.
    check_status!(unsafe {
        sys::napi_create_string_utf8(env.raw(), value.as_ptr().cast(), value.len() as isize, &mut result)
    })?;
    Ok(result)
}

fn property(env: &Env, object: sys::napi_value, key: &std::ffi::CStr, value: sys::napi_value) -> napi::Result<()> {
    // SAFETY: both values belong to `env`, `key` ends with NUL.
    check_status!(unsafe { sys::napi_set_named_property(env.raw(), object, key.as_ptr(), value) })
}

pub fn last_errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

/// The result of a system call that returns -1 on failure, with `syscall` and `detail` for the error.
pub fn check(result: i32, syscall: &str, detail: impl Display) -> Result<i32> {
    if result < 0 { Err(Failure::last(syscall, detail)) } else { Ok(result) }
}

/// The kernel's words for an error number, in lower case.
fn describe(errno: i32) -> String {
    let full = io::Error::from_raw_os_error(errno).to_string();
    let words = full.split(" (os error").next().unwrap_or_default();
    words[..1].to_lowercase() + &words[1..]
}

/// The symbolic name of an error number; those that the calls made here can return.
pub fn name(errno: i32) -> String {
    macro_rules! names {
        ($($constant:ident)*) => {
            match errno {
                $(libc::$constant => stringify!($constant).to_owned(),)*
                _ => format!("E{errno}"),
            }
        };
    }
    names! {
        EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG EBADF EAGAIN ENOMEM EACCES EFAULT EBUSY EEXIST EXDEV ENODEV
        ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EPIPE EDOM ERANGE
        ENAMETOOLONG ENOSYS ELOOP ENOTUNIQ EBADFD EREMCHG EUSERS ENOTSOCK EDESTADDRREQ EMSGSIZE EPROTOTYPE
        ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT EAFNOSUPPORT EADDRINUSE
        EADDRNOTAVAIL ENETDOWN ENETUNREACH ENETRESET ECONNABORTED ECONNRESET ENOBUFS EISCONN ENOTCONN
        ESHUTDOWN ETIMEDOUT ECONNREFUSED EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS ESTALE EDQUOT
        ECANCELED EOVERFLOW EPROTO ENODATA ENONET ENOTRECOVERABLE
    }
}
