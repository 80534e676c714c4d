//! The calling convention of the hot path.
//!
//! A bound function is made once, over a context that holds raw pointers into the arena and the io words.
//! A call takes `N` numbers and returns an integer: a count, or a negative errno. It allocates nothing, makes no
//! JavaScript object, throws nothing and never calls back into JavaScript, so a context is never entered twice.
//!
//! Raw Node-API callbacks are used because a closure of napi-rs costs 10 to 15 ns more a call (ARCHITECTURE.md).

use std::ptr;

use napi::{Env, sys};

use crate::control::{Arguments, Module};
use crate::errors::Result;
use crate::function;

/// What a bound function returns after a panic inside of it: a defect of the addon, printed by the panic itself.
pub const PANICKED: i32 = -libc::ENOTRECOVERABLE;
pub const INVALID: i32 = -libc::EINVAL;

struct Binding<C, const N: usize> {
    context: C,
    body: fn(&C, [f64; N]) -> i32,
}

/// Makes a bound function of `N` numbers over `context`. Arguments that are missing or no numbers give -EINVAL.
pub fn create<C: 'static, const N: usize>(
    env: &Env,
    name: &str,
    context: C,
    body: fn(&C, [f64; N]) -> i32,
) -> napi::Result<sys::napi_value> {
    function::create(env, name, Some(call::<C, N>), Binding { context, body })
}

/// A number from JavaScript as a count or index of at most `limit`.
pub fn index(number: f64, limit: usize) -> Option<usize> {
    // NaN and fractions differ from their integer part; negative numbers and infinity saturate.
    let integer = number as usize;
    (integer as f64 == number && integer <= limit).then_some(integer)
}

unsafe extern "C" fn call<C, const N: usize>(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: this callback is only used by `create`, with the same `C` and `N`.
    let Some((_, values, binding)) = (unsafe { function::callback_info::<Binding<C, N>, N>(env, info) }) else {
        return ptr::null_mut();
    };
    let mut numbers = [0.0; N];
    let mut valid = true;
    for (number, value) in numbers.iter_mut().zip(values) {
        // SAFETY: `value` belongs to the running call.
        valid &= unsafe { sys::napi_get_value_double(env, value, number) } == sys::Status::napi_ok;
    }
    let result = if valid {
        function::guarded(|| (binding.body)(&binding.context, numbers)).unwrap_or(PANICKED)
    } else {
        INVALID
    };
    let mut returned = ptr::null_mut();
    // SAFETY: `returned` receives the result; on failure it stays null, which JavaScript sees as undefined.
    unsafe { sys::napi_create_int32(env, result, &mut returned) };
    returned
}

fn unbind(_: &(), arguments: &Arguments) -> Result<()> {
    Ok(function::unbind(arguments.env, arguments.raw(0))?)
}

pub fn register(module: &mut Module) -> napi::Result<()> {
    module.export("unbind", unbind)
}
