//! Making a JavaScript function that owns a Rust value.

use std::any::Any;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use napi::{Env, check_status, sys};

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
    let data = Box::into_raw(Box::new(data));
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

/// Number of arguments passed, the arguments (missing ones are `undefined`) and the function's data.
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
    Some((count, values, unsafe { &*data.cast::<D>() }))
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
        drop(unsafe { Box::from_raw(data.cast::<D>()) });
    });
}
