//! The monotonic clock, and what else concerns the calling thread.

use std::mem;

use crate::control::{Arguments, Module};
use crate::errors::{Failure, Result, check};
use crate::shared::Column;

fn monotonic() -> libc::timespec {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` receives the time. CLOCK_MONOTONIC exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now
}

/// Writes seconds, milliseconds (wrapping) and, as a double, seconds with their fraction.
pub fn write(words: &Column) {
    let now = monotonic();
    words.set(0, now.tv_sec as i32);
    words.set(1, (now.tv_sec.wrapping_mul(1000) + now.tv_nsec / 1_000_000) as i32);
    words.set_double(2, now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9);
}

fn monotonic_ns(_: &(), _: &Arguments) -> Result<f64> {
    let now = monotonic();
    // Exact for the first 104 days of uptime: doubles count whole numbers up to 2^53.
    Ok(now.tv_sec as f64 * 1e9 + now.tv_nsec as f64)
}

fn set_affinity(_: &(), arguments: &Arguments) -> Result<()> {
    let cpus = arguments.integers(0, "cpus", 0..=(libc::CPU_SETSIZE as i64 - 1))?;
    if cpus.is_empty() {
        return Err(Failure::Range("setAffinity: cpus must have a number in it".to_owned()));
    }
    // SAFETY: a cpu_set_t is a plain bit mask; all zeros is the empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    for &cpu in &cpus {
        // SAFETY: `cpu` is below CPU_SETSIZE.
        unsafe { libc::CPU_SET(cpu as usize, &mut set) };
    }
    // SAFETY: `set` is read for its size; 0 is the calling thread.
    let result = unsafe { libc::sched_setaffinity(0, mem::size_of::<libc::cpu_set_t>(), &set) };
    check(result, "sched_setaffinity", format!("cpus {cpus:?}"))?;
    Ok(())
}

fn affinity(_: &(), _: &Arguments) -> Result<Vec<i32>> {
    // SAFETY: as above.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: `set` is written for its size; 0 is the calling thread.
    let result = unsafe { libc::sched_getaffinity(0, mem::size_of::<libc::cpu_set_t>(), &mut set) };
    check(result, "sched_getaffinity", "")?;
    // SAFETY: every `cpu` is below CPU_SETSIZE.
    Ok((0..libc::CPU_SETSIZE).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu as usize, &set) }).collect())
}

fn gettid(_: &(), _: &Arguments) -> Result<i32> {
    // SAFETY: takes nothing and cannot fail.
    Ok(unsafe { libc::gettid() })
}

pub fn register(module: &mut Module) -> napi::Result<()> {
    module.export("monotonicNs", monotonic_ns)?;
    module.export("setAffinity", set_affinity)?;
    module.export("affinity", affinity)?;
    module.export("gettid", gettid)
}
