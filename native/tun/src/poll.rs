//! One blocking wait over all descriptors of a worker and its doorbell.

use std::cell::{Cell, RefCell};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::ptr;
use std::rc::Rc;

use napi::bindgen_prelude::{JsObjectValue, Object};
use napi::sys;

use crate::arguments::unknown;
use crate::control::{self, Arguments, Module};
use crate::descriptors::{owned, silence};
use crate::errors::{Result, check, last_errno};
use crate::layout::Io;
use crate::shared::{Column, Words};
use crate::{bound, clock};

/// The id of a doorbell: drained by the wait that it ends, and not reported.
const DOORBELL: i64 = -1;
/// No wait is longer, so that a thread whose doorbell was lost still comes back.
const WAIT_MAX_US: f64 = 1e6;

/// What a blocking wait returns once its environment is being stopped.
const ENDING: i32 = -libc::ECANCELED;

struct Poll {
    env: sys::napi_env,
    /// None after close.
    epoll: RefCell<Option<OwnedFd>>,
    events: RefCell<Vec<libc::epoll_event>>,
    ready: Column,
    clock: Column,
    /// epoll_pwait2 exists (Linux 5.11); without it waits are rounded up to milliseconds.
    microseconds: Cell<bool>,
    _io: Words,
}

impl Poll {
    fn descriptor(&self) -> RawFd {
        // -1 makes every call on a closed poll fail with EBADF.
        self.epoll.borrow().as_ref().map_or(-1, AsRawFd::as_raw_fd)
    }

    fn wait_for_events(&self, events: &mut [libc::epoll_event], timeout_us: f64) -> i32 {
        let epoll = self.descriptor();
        let room = events.len() as i32;
        if self.microseconds.get() && timeout_us > 0.0 {
            let timeout =
                libc::timespec { tv_sec: (timeout_us / 1e6) as i64, tv_nsec: (timeout_us % 1e6 * 1e3) as i64 };
            // SAFETY: `events` has `room` entries; no signal mask is passed.
            let count = unsafe {
                libc::syscall(
                    libc::SYS_epoll_pwait2,
                    epoll,
                    events.as_mut_ptr(),
                    room,
                    &raw const timeout,
                    ptr::null::<libc::sigset_t>(),
                    0usize,
                )
            };
            if count >= 0 {
                return count as i32;
            }
            match last_errno() {
                libc::ENOSYS => self.microseconds.set(false),
                errno => return -errno,
            }
        }
        // SAFETY: as above.
        let count = unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), room, (timeout_us / 1e3).ceil() as i32) };
        if count < 0 { -last_errno() } else { count }
    }

    /// The environment is being stopped: worker.terminate() or process.exit().
    ///
    /// V8 looks for a termination when a JavaScript function is entered and now and then in a loop, but never at the
    /// end of a native call. A loop around one blocking wait went on for 99 rounds of a second after terminate().
    fn is_ending(&self) -> bool {
        let (mut number, mut coerced) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: only called during a call from `env`. Every Node-API function that may run JavaScript refuses to, once
        // the environment is ending; coercing a number is the cheapest of them.
        unsafe {
            sys::napi_create_int32(self.env, 0, &mut number) != sys::Status::napi_ok
                || sys::napi_coerce_to_number(self.env, number, &mut coerced) != sys::Status::napi_ok
        }
    }

    fn wait(&self, timeout_us: f64) -> i32 {
        let timeout_us = if timeout_us > 0.0 { timeout_us.min(WAIT_MAX_US) } else { 0.0 };
        if timeout_us > 0.0 && self.is_ending() {
            return ENDING;
        }
        let mut events = self.events.borrow_mut();
        let count = self.wait_for_events(&mut events, timeout_us);
        clock::write(&self.clock);
        if count < 0 {
            return if count == -libc::EINTR { 0 } else { count };
        }
        if timeout_us > 0.0 && self.is_ending() {
            return ENDING;
        }
        let mut reported = 0;
        for event in &events[..count as usize] {
            let key = event.u64;
            if key as u32 as i32 as i64 == DOORBELL {
                silence((key >> 32) as RawFd);
            } else if reported < self.ready.len() {
                self.ready.set(reported, key as u32 as i32);
                reported += 1;
            }
        }
        reported as i32
    }
}

/// What epoll gives back with an event: the descriptor above, the caller's id below.
fn key(fd: RawFd, id: i64) -> u64 {
    (fd as u64) << 32 | u64::from(id as i32 as u32)
}

fn add(poll: &Rc<Poll>, arguments: &Arguments) -> Result<()> {
    let fd = arguments.descriptor(0)?;
    let id = arguments.integer(1, "id", DOORBELL..=i64::from(i32::MAX))?;
    let events = arguments.optional_integer(2, "events", 0..=i64::from(u32::MAX))?.unwrap_or(libc::EPOLLIN.into());
    let mut event = libc::epoll_event { events: events as u32, u64: key(fd, id) };
    // SAFETY: `event` is read during the call.
    let result = unsafe { libc::epoll_ctl(poll.descriptor(), libc::EPOLL_CTL_ADD, fd, &mut event) };
    check(result, "epoll_ctl ADD", format!("descriptor {fd}"))?;
    Ok(())
}

fn remove(poll: &Rc<Poll>, arguments: &Arguments) -> Result<()> {
    let fd = arguments.descriptor(0)?;
    // SAFETY: deleting takes no event.
    let result = unsafe { libc::epoll_ctl(poll.descriptor(), libc::EPOLL_CTL_DEL, fd, ptr::null_mut()) };
    check(result, "epoll_ctl DEL", format!("descriptor {fd}"))?;
    Ok(())
}

fn close(poll: &Rc<Poll>, _: &Arguments) -> Result<()> {
    poll.epoll.borrow_mut().take();
    Ok(())
}

fn bind_poll(_: &(), arguments: &Arguments) -> Result<Object<'static>> {
    let env = arguments.env;
    let io = Io::new(arguments, 0)?;
    let ready_at = arguments.integer(2, "readyAt", 0..=i64::from(i32::MAX))? as usize;
    let ready_max = arguments.integer(3, "readyMax", 1..=4096)? as usize;
    let ready = io.column_at("readyAt", ready_at, ready_max)?;
    let clock = io.clock()?;
    // SAFETY: takes an integer.
    let epoll = owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }, "epoll_create1", "")?;
    let poll = Rc::new(Poll {
        env: env.raw(),
        epoll: RefCell::new(Some(epoll)),
        // One more than can be reported: the doorbell's.
        events: RefCell::new(vec![libc::epoll_event { events: 0, u64: 0 }; ready_max + 1]),
        ready,
        clock,
        microseconds: Cell::new(true),
        _io: io.words,
    });
    let mut object = Object::new(env)?;
    object.set_named_property("add", unknown(env, control::create(env, "add", poll.clone(), add)?)?)?;
    object.set_named_property("remove", unknown(env, control::create(env, "remove", poll.clone(), remove)?)?)?;
    object.set_named_property("close", unknown(env, control::create(env, "close", poll.clone(), close)?)?)?;
    let wait = bound::create(env, "wait", poll, |poll: &Rc<Poll>, [timeout_us]: [f64; 1]| poll.wait(timeout_us))?;
    object.set_named_property("wait", unknown(env, wait)?)?;
    Ok(arguments.returned(&object))
}

pub fn register(module: &mut Module) -> napi::Result<()> {
    module.export("bindPoll", bind_poll)
}
