//! Reading the arguments of control functions: the right type, within range, or an error that names them.

use std::ops::RangeInclusive;

use napi::bindgen_prelude::{FromNapiValue, JsObjectValue, JsValue, Object, Unknown};
use napi::{Env, ValueType, sys};

use crate::control::Arguments;
use crate::errors::{Failure, Result};

pub const DESCRIPTOR: RangeInclusive<i64> = 0..=i32::MAX as i64;

impl Arguments<'_> {
    pub fn integer(&self, index: usize, what: &str, range: RangeInclusive<i64>) -> Result<i64> {
        integer(self.value(index)?, &format!("{}: {what}", self.function), range)
    }

    pub fn optional_integer(&self, index: usize, what: &str, range: RangeInclusive<i64>) -> Result<Option<i64>> {
        if is_absent(&self.value(index)?)? { Ok(None) } else { self.integer(index, what, range).map(Some) }
    }

    pub fn descriptor(&self, index: usize) -> Result<i32> {
        Ok(self.integer(index, "fd", DESCRIPTOR)? as i32)
    }

    pub fn options(&self, index: usize) -> Result<Options<'_>> {
        let what = format!("{}: options", self.function);
        Options::new(self.value(index)?, self.function.to_owned(), &what)
    }

    pub fn optional_options(&self, index: usize) -> Result<Option<Options<'_>>> {
        if is_absent(&self.value(index)?)? { Ok(None) } else { self.options(index).map(Some) }
    }

    /// The numbers of an array or typed array, each within `range`.
    pub fn integers(&self, index: usize, what: &str, range: RangeInclusive<i64>) -> Result<Vec<i64>> {
        let what = format!("{}: {what}", self.function);
        let wrong = || Failure::Type(format!("{what} must be an array of integers"));
        let value = self.value(index)?;
        if value.get_type()? != ValueType::Object {
            return Err(wrong());
        }
        // SAFETY: it is an object of the running call.
        let list = unsafe { Object::from_napi_value(self.env.raw(), value.raw()) }?;
        if !list.is_array()? && !list.is_typedarray()? {
            return Err(wrong());
        }
        let length: u32 = list.get_named_property("length")?;
        (0..length).map(|i| integer(list.get_element::<Unknown>(i)?, &format!("{what}[{i}]"), range.clone())).collect()
    }
}

/// The fields of an options object.
pub struct Options<'a> {
    object: Object<'a>,
    owner: String,
}

impl<'a> Options<'a> {
    pub fn new(value: Unknown<'a>, owner: String, what: &str) -> Result<Self> {
        if value.get_type()? != ValueType::Object {
            return Err(Failure::Type(format!("{what} must be an object")));
        }
        let env = value.value().env;
        // SAFETY: it is an object of the running call.
        Ok(Options { object: unsafe { Object::from_napi_value(env, value.raw()) }?, owner })
    }

    fn named(&self, key: &str) -> String {
        format!("{}: {key}", self.owner)
    }

    fn field(&self, key: &str) -> Result<Option<Unknown<'_>>> {
        let value: Unknown = self.object.get_named_property(key)?;
        Ok(if is_absent(&value)? { None } else { Some(value) })
    }

    fn required<T>(&self, key: &str, found: Option<T>) -> Result<T> {
        found.ok_or_else(|| Failure::Type(format!("{} is missing", self.named(key))))
    }

    pub fn optional_text(&self, key: &str) -> Result<Option<String>> {
        let Some(value) = self.field(key)? else { return Ok(None) };
        if value.get_type()? != ValueType::String {
            return Err(Failure::Type(format!("{} must be a string", self.named(key))));
        }
        // SAFETY: it is a string of the running call.
        let text = unsafe { String::from_napi_value(value.value().env, value.raw()) }?;
        if text.contains('\0') {
            return Err(Failure::Type(format!("{} must not contain a NUL character", self.named(key))));
        }
        Ok(Some(text))
    }

    pub fn text(&self, key: &str) -> Result<String> {
        self.required(key, self.optional_text(key)?)
    }

    pub fn optional_integer(&self, key: &str, range: RangeInclusive<i64>) -> Result<Option<i64>> {
        self.field(key)?.map(|value| integer(value, &self.named(key), range)).transpose()
    }

    pub fn integer(&self, key: &str, range: RangeInclusive<i64>) -> Result<i64> {
        self.required(key, self.optional_integer(key, range)?)
    }

    pub fn optional_flag(&self, key: &str) -> Result<Option<bool>> {
        let Some(value) = self.field(key)? else { return Ok(None) };
        if value.get_type()? != ValueType::Boolean {
            return Err(Failure::Type(format!("{} must be a boolean", self.named(key))));
        }
        // SAFETY: it is a boolean of the running call.
        Ok(Some(unsafe { bool::from_napi_value(value.value().env, value.raw()) }?))
    }

    /// A flag; false when absent.
    pub fn flag(&self, key: &str) -> Result<bool> {
        Ok(self.optional_flag(key)?.unwrap_or(false))
    }

    /// The name of a network device, as the kernel accepts it.
    pub fn optional_device(&self, key: &str) -> Result<Option<String>> {
        let Some(name) = self.optional_text(key)? else { return Ok(None) };
        let valid = (1..libc::IFNAMSIZ).contains(&name.len())
            && name != "."
            && name != ".."
            && !name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace());
        if !valid {
            return Err(Failure::Range(format!(
                "{} must be 1 to 15 bytes without '/', ':' or spaces",
                self.named(key)
            )));
        }
        Ok(Some(name))
    }

    pub fn device(&self, key: &str) -> Result<String> {
        self.required(key, self.optional_device(key)?)
    }
}

fn is_absent(value: &Unknown) -> Result<bool> {
    Ok(matches!(value.get_type()?, ValueType::Undefined | ValueType::Null))
}

fn integer(value: Unknown, what: &str, range: RangeInclusive<i64>) -> Result<i64> {
    if value.get_type()? != ValueType::Number {
        return Err(Failure::Type(format!("{what} must be an integer")));
    }
    // SAFETY: it is a number of the running call.
    let number = unsafe { f64::from_napi_value(value.value().env, value.raw()) }?;
    let integer = number as i64;
    if integer as f64 != number || !range.contains(&integer) {
        return Err(Failure::Range(format!(
            "{what} must be an integer from {} to {}, not {number}",
            range.start(),
            range.end()
        )));
    }
    Ok(integer)
}

/// A raw value as what napi-rs passes around.
pub fn unknown(env: &Env, value: sys::napi_value) -> Result<Unknown<'static>> {
    // SAFETY: `value` was made in `env` during the running call.
    Ok(unsafe { Unknown::from_napi_value(env.raw(), value) }?)
}
