//! Network devices for JavaScript: look at, change, move, delete.

use napi::bindgen_prelude::{JsObjectValue, Null, Object};
use napi::{Either, Env};

use crate::control::{Arguments, Module, detached};
use crate::errors::{Failure, Result};
use crate::link::{self, Change, Link};
use crate::netlink::Netlink;
use crate::netns;

fn to_object(env: &Env, link: &Link) -> Result<Object<'static>> {
    let mut object = Object::new(env)?;
    object.set_named_property("index", link.index)?;
    object.set_named_property("name", link.name.as_str())?;
    object.set_named_property("mac", link.mac.as_str())?;
    object.set_named_property("mtu", link.mtu)?;
    object.set_named_property("up", link.up)?;
    object.set_named_property("running", link.running)?;
    object.set_named_property("kind", link.kind.as_str())?;
    object.set_named_property("gsoMaxSize", link.gso_max_size)?;
    object.set_named_property("txDropped", link.tx_dropped as f64)?;
    if let Some(netnsid) = link.netnsid {
        object.set_named_property("netnsid", netnsid)?;
    }
    Ok(detached(env, &object))
}

fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut mac {
        let part = parts.next().filter(|part| (1..=2).contains(&part.len()))?;
        if !part.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}

fn link_get(_: &(), arguments: &Arguments) -> Result<Either<Object<'static>, Null>> {
    let options = arguments.options(0)?;
    let (path, name) = (options.optional_text("netns")?, options.device("name")?);
    let found = netns::within(path.as_deref(), || link::get(&mut Netlink::open()?, &name))?;
    Ok(match found {
        Some(link) => Either::A(to_object(arguments.env, &link)?),
        None => Either::B(Null),
    })
}

fn link_list(_: &(), arguments: &Arguments) -> Result<Vec<Object<'static>>> {
    let path = arguments.optional_options(0)?.map(|options| options.optional_text("netns")).transpose()?.flatten();
    let links = netns::within(path.as_deref(), || link::list(&mut Netlink::open()?))?;
    links.iter().map(|link| to_object(arguments.env, link)).collect()
}

fn link_set(_: &(), arguments: &Arguments) -> Result<()> {
    let options = arguments.options(0)?;
    let (path, name) = (options.optional_text("netns")?, options.device("name")?);
    let number = |key| Ok::<_, Failure>(options.optional_integer(key, 0..=i64::from(u32::MAX))?.map(|n| n as u32));
    let mac = options.optional_text("mac")?;
    let change = Change {
        up: options.optional_flag("up")?,
        mtu: number("mtu")?,
        mac: mac
            .map(|text| {
                parse_mac(&text).ok_or_else(|| {
                    Failure::Range(format!("linkSet: mac must be six bytes in hexadecimal, not '{text}'"))
                })
            })
            .transpose()?,
        gso_max_size: number("gsoMaxSize")?,
        tx_queue_len: number("txQueueLen")?,
        new_name: options.optional_device("newName")?,
        move_to: options.optional_text("moveTo")?,
    };
    netns::within(path.as_deref(), || {
        let mut netlink = Netlink::open()?;
        let mut name = name;
        if let Some(new_name) = &change.new_name {
            link::rename(&mut netlink, &name, new_name)?;
            name.clone_from(new_name);
        }
        link::set(&mut netlink, &name, &change)
    })
}

fn link_delete(_: &(), arguments: &Arguments) -> Result<()> {
    let options = arguments.options(0)?;
    let (path, name) = (options.optional_text("netns")?, options.device("name")?);
    netns::within(path.as_deref(), || link::delete(&mut Netlink::open()?, &name))
}

pub fn register(module: &mut Module) -> napi::Result<()> {
    module.export("linkGet", link_get)?;
    module.export("linkList", link_list)?;
    module.export("linkSet", link_set)?;
    module.export("linkDelete", link_delete)
}
