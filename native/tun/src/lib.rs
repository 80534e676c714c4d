//! The kernel side of weft: TAP devices, UDP and raw sockets, poll, rtnetlink.
//!
//! Two kinds of functions are exported. Control functions run at set-up, may
//! allocate and throw errors with `code`, `errno` and `syscall` (`control.rs`).
//! Bound functions are made once per worker over its shared arrays and then take
//! one or two integers and return an integer, a count or a negative errno
//! (`bound.rs`). Memory shared with JavaScript is reached only through the raw
//! pointers of `shared.rs`; everything that JavaScript says about it is checked.

mod address;
mod addresses;
mod arguments;
mod bound;
mod clock;
mod control;
mod control_message;
mod datagrams;
mod descriptors;
mod error_queue;
mod errors;
mod function;
mod group;
mod layout;
mod link;
mod links;
mod messages;
mod monitor;
mod neighbours;
mod netlink;
mod netns;
mod notify;
mod poll;
mod prefix;
mod probe;
mod raw;
mod raw_rx;
mod receiver;
mod route;
mod routes;
mod scratch;
mod shared;
mod socket;
mod steering;
mod tap;
mod tap_ioctl;
mod tap_rx;
mod tap_tx;
mod udp;
mod udp_rx;
mod udp_tx;

use napi::Env;
use napi::bindgen_prelude::Object;
use napi_derive::napi;

#[napi(module_exports)]
pub fn register(mut exports: Object, env: Env) -> napi::Result<()> {
    let mut module = control::Module::new(&env, &mut exports);
    probe::register(&mut module)?;
    bound::register(&mut module)?;
    clock::register(&mut module)?;
    descriptors::register(&mut module)?;
    links::register(&mut module)?;
    addresses::register(&mut module)?;
    routes::register(&mut module)?;
    neighbours::register(&mut module)?;
    monitor::register(&mut module)?;
    notify::register(&mut module)?;
    tap::register(&mut module)?;
    tap_rx::register(&mut module)?;
    tap_tx::register(&mut module)?;
    steering::register(&mut module)?;
    udp::register(&mut module)?;
    group::register(&mut module)?;
    raw::register(&mut module)?;
    raw_rx::register(&mut module)?;
    udp_rx::register(&mut module)?;
    udp_tx::register(&mut module)?;
    error_queue::register(&mut module)?;
    poll::register(&mut module)?;
    Ok(())
}
