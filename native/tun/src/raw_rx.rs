//! Receiving raw IP packets into the arena.
//!
//! The kernel delivers the IPv4 header in front of a raw packet; of it only options reach the arena.

use napi::bindgen_prelude::Unknown;

use crate::arguments::unknown;
use crate::bound;
use crate::control::{Arguments, Module};
use crate::errors::Result;
use crate::receiver::Receiver;

fn bind_raw_rx(_: &(), arguments: &Arguments) -> Result<Unknown<'static>> {
    let receiver = Receiver::raw(arguments)?;
    let function = bound::create(arguments.env, "rawRx", receiver, |rx: &Receiver, [max]: [f64; 1]| rx.receive(max))?;
    unknown(arguments.env, function)
}

pub fn register(module: &mut Module) -> napi::Result<()> {
    module.export("bindRawRx", bind_raw_rx)
}
