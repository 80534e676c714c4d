//! Receiving UDP datagrams into the arena.

use napi::bindgen_prelude::Unknown;

use crate::arguments::unknown;
use crate::bound;
use crate::control::{Arguments, Module};
use crate::errors::Result;
use crate::receiver::Receiver;

fn bind_udp_rx(_: &(), arguments: &Arguments) -> Result<Unknown<'static>> {
    let receiver = Receiver::udp(arguments)?;
    let function = bound::create(arguments.env, "udpRx", receiver, |rx: &Receiver, [max]: [f64; 1]| rx.receive(max))?;
    unknown(arguments.env, function)
}

pub fn register(module: &mut Module) -> napi::Result<()> {
    module.export("bindUdpRx", bind_udp_rx)
}
