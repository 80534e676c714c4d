//! Control functions: called at set-up, on any thread, may allocate, throw errors.

use napi::bindgen_prelude::{FromNapiValue, JsObjectValue, JsValue, Object, ToNapiValue, Unknown};
use napi::{Env, sys};
use std::ptr;

use crate::errors::{Failure, Result};
use crate::function;

const ARGUMENTS_MAX: usize = 7;

/// What a control function was called with.
pub struct Arguments<'a> {
    pub env: &'a Env,
    pub function: &'static str,
    values: [sys::napi_value; ARGUMENTS_MAX],
}

impl Arguments<'_> {
    /// The argument at `index`; one that was not passed is `undefined`.
    pub fn raw(&self, index: usize) -> sys::napi_value {
        self.values[index]
    }

    pub fn value(&self, index: usize) -> Result<Unknown<'_>> {
        // SAFETY: the value belongs to the running call of `env`.
        Ok(unsafe { Unknown::from_napi_value(self.env.raw(), self.values[index]) }?)
    }

    pub fn returned(&self, object: &Object) -> Object<'static> {
        detached(self.env, object)
    }
}

/// `object` without the lifetime of the call that made it.
///
/// For values on their way to JavaScript: control functions return them at once, while their scope is still open.
pub fn detached(env: &Env, object: &Object) -> Object<'static> {
    Object::from_raw(env.raw(), object.raw())
}

struct Control<C, R> {
    name: &'static str,
    context: C,
    body: fn(&C, &Arguments) -> Result<R>,
}

/// Makes a control function over `context`.
pub fn create<C: 'static, R: ToNapiValue + 'static>(
    env: &Env,
    name: &'static str,
    context: C,
    body: fn(&C, &Arguments) -> Result<R>,
) -> Result<sys::napi_value> {
    Ok(function::create(env, name, Some(call::<C, R>), Control { name, context, body })?)
}

unsafe extern "C" fn call<C, R: ToNapiValue>(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: this callback is only used by `create`, with the same `C` and `R`.
    let Some((_, values, control)) = (unsafe { function::callback_info::<Control<C, R>, ARGUMENTS_MAX>(env, info) })
    else {
        return ptr::null_mut();
    };
    let env = Env::from_raw(env);
    let arguments = Arguments { env: &env, function: control.name, values };
    let outcome = function::guarded(|| {
        let value = (control.body)(&control.context, &arguments)?;
        // SAFETY: `env` is the environment of the running call.
        Ok::<_, Failure>(unsafe { R::to_napi_value(env.raw(), value) }?)
    });
    let failure = match outcome {
        Ok(Ok(value)) => return value,
        Ok(Err(failure)) => failure,
        Err(message) => Failure::Node(napi::Error::from_reason(format!("{}: internal error: {message}", control.name))),
    };
    failure.throw(&env);
    ptr::null_mut()
}

/// The exports of the addon while they are being filled.
pub struct Module<'a, 'object> {
    env: &'a Env,
    exports: &'a mut Object<'object>,
}

impl<'a, 'object> Module<'a, 'object> {
    pub fn new(env: &'a Env, exports: &'a mut Object<'object>) -> Self {
        Module { env, exports }
    }

    pub fn export<R: ToNapiValue + 'static>(
        &mut self,
        name: &'static str,
        body: fn(&(), &Arguments) -> Result<R>,
    ) -> napi::Result<()> {
        let function =
            create(self.env, name, (), body).map_err(|failure| napi::Error::from_reason(failure.message()))?;
        // SAFETY: `function` was made in this environment just now.
        let function = unsafe { Unknown::from_napi_value(self.env.raw(), function) }?;
        self.exports.set_named_property(name, function)
    }

    pub fn export_bound<C: 'static, const N: usize>(
        &mut self,
        name: &'static str,
        context: C,
        body: fn(&C, [f64; N]) -> i32,
    ) -> napi::Result<()> {
        let function = crate::bound::create(self.env, name, context, body)?;
        // SAFETY: as above.
        let function = unsafe { Unknown::from_napi_value(self.env.raw(), function) }?;
        self.exports.set_named_property(name, function)
    }
}
