//! Making a JavaScript function that owns a Rust value.

use std::any::Any;
use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use napi::{Env, check_status, sys};

/// A value that a function owns, until the function is collected or [`unbind`] takes it away.
#[repr(C)]
struct Owned<D> {
    /// Drops the value. It comes first, so that it is found without knowing `D`.
    take: unsafe fn(*mut c_void),
    value: UnsafeCell<Option<D>>,
}

/// # Safety
/// `data` must be an `Owned<D>` that no running callback uses.
unsafe fn take<D>(data: *mut c_void) {
    // SAFETY: the caller vouches for it.
    drop(unsafe { (*(*data.cast::<Owned<D>>()).value.get()).take() });
}

/// Drops what a function owns, now. Collection is no substitute in a worker: Node runs finalizers in the event loop, and a worker
/// that turns never gets there.
pub fn unbind(env: &Env, function: sys::napi_value) -> napi::Result<()> {
    let mut data: *mut c_void = ptr::null_mut();
    // SAFETY: a value that wraps nothing gives an error status.
    check_status!(unsafe { sys::napi_unwrap(env.raw(), function, &mut data) })?;
    // SAFETY: this addon wraps nothing but functions of `create`, and their data begins with `take`. The function is not running:
    // its callbacks never call into JavaScript.
    unsafe { (*data.cast::<unsafe fn(*mut c_void)>())(data) };
    Ok(())
}

/// Makes a function that calls `callback`, which finds `data` with [`callback_info`].
///
/// The function owns `data`: it is dropped on the thread of `env` when the function is collected or
/// the environment ends, also after `worker.terminate()`, whichever comes first.
pub fn create<D: 'static>(
    env: &Env,
    name: &str,
    callback: sys::napi_callback,
    data: D,
) -> napi::Result<sys::napi_value> {
    let data = Box::into_raw(Box::new(Owned { take: take::<D>, value: UnsafeCell::new(Some(data)) }));
    let mut function = ptr::null_mut();
    // SAFETY: `name` is passed with its length, `data` stays valid until `release::<D>` runs.
    let status = unsafe {
        sys::napi_create_function(
            env.raw(),
            name.as_ptr().cast(),
            name.len() as isize,
            callback,
            data.cast(),
            &mut function,
        )
    };
    if let Err(error) = check_status!(status) {
        // SAFETY: the function was not made, so nobody else has the pointer.
        drop(unsafe { Box::from_raw(data) });
        return Err(error);
    }
    // SAFETY: `function` is a live value of this environment, and wrapped only here. On failure the data stays
    // allocated, because the function may still be called.
    check_status!(unsafe {
        sys::napi_wrap(env.raw(), function, data.cast(), Some(release::<D>), ptr::null_mut(), ptr::null_mut())
    })?;
    Ok(function)
}

/// Number of arguments passed, the arguments (missing ones are `undefined`) and the function's data; none when it is unbound.
///
/// # Safety
/// `env` and `info` must be those of a running callback made by [`create`] with the same `D`.
pub unsafe fn callback_info<'a, D, const N: usize>(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> Option<(usize, [sys::napi_value; N], &'a D)> {
    let mut count = N;
    let mut values = [ptr::null_mut(); N];
    let mut data: *mut c_void = ptr::null_mut();
    // SAFETY: `values` has room for the `count` arguments asked for.
    let status =
        unsafe { sys::napi_get_cb_info(env, info, &mut count, values.as_mut_ptr(), ptr::null_mut(), &mut data) };
    if status != sys::Status::napi_ok || data.is_null() {
        return None;
    }
    // SAFETY: the caller vouches for `D`. The box lives as long as the function, and the function is being called.
    let value = unsafe { &*(*data.cast::<Owned<D>>()).value.get() };
    value.as_ref().map(|value| (count, values, value))
}

/// Runs `body`, turning a panic into its message.
pub fn guarded<T>(body: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(body)).map_err(panic_message)
}

fn panic_message(payload: Box<dyn Any + Send>) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "unknown".to_owned()
    }
}

unsafe extern "C" fn release<D>(_env: sys::napi_env, data: *mut c_void, _hint: *mut c_void) {
    // A drop that panics must not unwind into Node.
    let _ = guarded(|| {
        // SAFETY: `data` came from `Box::into_raw` in `create` and the finalizer runs once.
        drop(unsafe { Box::from_raw(data.cast::<Owned<D>>()) });
    });
}
