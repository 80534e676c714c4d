//! Routes for JavaScript: add, delete, list, look up.

use std::collections::HashMap;
use std::net::IpAddr;

use napi::Env;
use napi::bindgen_prelude::{JsObjectValue, Null, Object};

use crate::arguments::Options;
use crate::control::{Arguments, Module, detached};
use crate::errors::{Failure, Result};
use crate::link;
use crate::netlink::Netlink;
use crate::netns;
use crate::prefix::{bits, family, parse_network};
use crate::route::{self, Route, TABLE_MAIN, Wanted};

/// By rtm_type, from linux/rtnetlink.h.
const KINDS: [&str; 12] = [
    "unspec",
    "unicast",
    "local",
    "broadcast",
    "anycast",
    "multicast",
    "blackhole",
    "unreachable",
    "prohibit",
    "throw",
    "nat",
    "xresolve",
];

/// Names of devices by index.
type Names = HashMap<i32, String>;

pub fn device_names(netlink: &mut Netlink) -> Result<Names> {
    Ok(link::list(netlink)?.into_iter().map(|link| (link.index, link.name)).collect())
}

/// Sets a property to a string, or to null.
pub fn set_text(object: &mut Object, key: &str, value: Option<String>) -> Result<()> {
    match value {
        Some(text) => object.set_named_property(key, text)?,
        None => object.set_named_property(key, Null)?,
    }
    Ok(())
}

pub fn address(options: &Options, function: &str, key: &str) -> Result<Option<IpAddr>> {
    let Some(text) = options.optional_text(key)? else { return Ok(None) };
    let wrong = |_| Failure::Range(format!("{function}: {key} must be an IP address, not '{text}'"));
    text.parse().map(Some).map_err(wrong)
}

fn wanted(options: &Options, function: &str) -> Result<Wanted> {
    let text = options.text("prefix")?;
    let (ip, prefix_len) = parse_network(&text).ok_or_else(|| {
        Failure::Range(format!("{function}: prefix must be an IP prefix without host bits (10.0.0.0/24), not '{text}'"))
    })?;
    let via = address(options, function, "via")?;
    if via.is_some_and(|via| family(&via) != family(&ip)) {
        return Err(Failure::Range(format!("{function}: via must be of the family of prefix")));
    }
    let number = |key| options.optional_integer(key, 0..=i64::from(u32::MAX));
    Ok(Wanted {
        ip,
        prefix_len,
        device: options.optional_device("device")?,
        via,
        onlink: options.flag("onlink")?,
        metric: number("metric")?.map(|metric| metric as u32),
        table: options.optional_integer("table", 1..=i64::from(u32::MAX))?.map_or(TABLE_MAIN, |table| table as u32),
    })
}

fn change(arguments: &Arguments, action: fn(&mut Netlink, &Wanted) -> Result<()>) -> Result<()> {
    let options = arguments.options(0)?;
    let path = options.optional_text("netns")?;
    let wanted = wanted(&options, arguments.function)?;
    netns::within(path.as_deref(), || action(&mut Netlink::open()?, &wanted))
}

fn to_object(env: &Env, route: &Route, names: &Names) -> Result<Object<'static>> {
    let mut object = Object::new(env)?;
    object.set_named_property("family", if bits(&route.ip) == 32 { 4 } else { 6 })?;
    object.set_named_property("prefix", format!("{}/{}", route.ip, route.prefix_len))?;
    object.set_named_property("type", KINDS.get(usize::from(route.kind)).copied().unwrap_or("unspec"))?;
    set_text(&mut object, "device", route.index.and_then(|index| names.get(&index).cloned()))?;
    set_text(&mut object, "via", route.via.map(|via| via.to_string()))?;
    set_text(&mut object, "source", route.source.map(|source| source.to_string()))?;
    object.set_named_property("metric", route.metric)?;
    object.set_named_property("table", route.table)?;
    object.set_named_property("protocol", u32::from(route.protocol))?;
    Ok(detached(env, &object))
}

fn route_list(_: &(), arguments: &Arguments) -> Result<Vec<Object<'static>>> {
    let options = arguments.optional_options(0)?;
    let (mut path, mut table) = (None, TABLE_MAIN);
    if let Some(options) = &options {
        path = options.optional_text("netns")?;
        table = options.optional_integer("table", 0..=i64::from(u32::MAX))?.map_or(TABLE_MAIN, |table| table as u32);
    }
    let (routes, names) = netns::within(path.as_deref(), || {
        let mut netlink = Netlink::open()?;
        Ok((route::list(&mut netlink)?, device_names(&mut netlink)?))
    })?;
    let wanted = routes.iter().filter(|route| table == 0 || route.table == table);
    wanted.map(|route| to_object(arguments.env, route, &names)).collect()
}

fn route_get(_: &(), arguments: &Arguments) -> Result<Object<'static>> {
    let options = arguments.options(0)?;
    let path = options.optional_text("netns")?;
    let ip = address(&options, "routeGet", "address")?
        .ok_or_else(|| Failure::Type("routeGet: address is missing".to_owned()))?;
    let (route, names) = netns::within(path.as_deref(), || {
        let mut netlink = Netlink::open()?;
        Ok((route::to(&mut netlink, &ip)?, device_names(&mut netlink)?))
    })?;
    to_object(arguments.env, &route, &names)
}

pub fn register(module: &mut Module) -> napi::Result<()> {
    module.export("routeAdd", |_, arguments| change(arguments, route::add))?;
    module.export("routeDelete", |_, arguments| change(arguments, route::delete))?;
    module.export("routeList", route_list)?;
    module.export("routeGet", route_get)
}
