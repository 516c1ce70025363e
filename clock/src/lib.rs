//! A clock that stands still until it is stepped, for a process that knows
//! nothing of it (Linux).
//!
//! Preloaded (`LD_PRELOAD`) into an unmodified `redis-server`, this library
//! answers `gettimeofday`, `clock_gettime` and `time` from a file that it maps
//! into memory, named by the environment variable `SLUICE_CLOCK`. Whoever
//! started the server writes the file, and so decides what time it is there:
//! a lease of a minute ends between two commands, and at no other moment.
//!
//! # The file
//!
//! Three native 64-bit integers, written together:
//!
//! | at | meaning |
//! |---|---|
//! | 0 | the time of day: nanoseconds since 1970. May run backwards |
//! | 8 | the monotonic clock, in nanoseconds. Never runs backwards |
//! | 16 | the exclusive or of both and of `SEAL`: a reading without it is torn, and done again |
//!
//! # Which clocks
//!
//! The monotonic clock stands still, too. Redis schedules its own housekeeping
//! (`serverCron`) by it, and so does nothing by itself but when it is stepped;
//! left to run, it would take stock ten times a second, between whichever
//! commands that falls, and a script that takes long would be found to. Clocks of
//! processor time are the system's: nothing but statistics looks at them. Sleeping
//! and waiting for sockets takes real time, for the kernel counts it.
//!
//! # When something is wrong
//!
//! Without the variable, or with a file that cannot be mapped, the process ends
//! with a line on standard error: real time in place of the simulated one would
//! be worse than no server.
//!
//! # Unsafe code
//!
//! All that the verification needs of it is here, and it is the whole of this
//! crate: five functions of the C library are called, a mapping is read, and
//! three functions write through pointers that their callers own. Nothing
//! here allocates, locks or panics, since a clock is read before `main`, by
//! allocators, and in signal handlers.
#![cfg(target_os = "linux")]
#![expect(
    unsafe_code,
    reason = "functions of the C library cannot be replaced without"
)]

use core::ffi::{c_char, c_int, c_long, c_void};
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// Makes a file of zeros a wrong one. `verify` has the same number.
const SEAL: u64 = 0x51_1C_E0_C1_0C_4B_5E_A1;

/// Bytes of the file.
const SIZE: usize = size_of::<Face>();

/// The file, as it is mapped.
#[repr(C)]
struct Face {
    real_ns: AtomicU64,
    monotonic_ns: AtomicU64,
    seal: AtomicU64,
}

/// What `struct timespec` is on 64-bit Linux.
#[repr(C)]
pub struct Timespec {
    seconds: i64,
    nanoseconds: c_long,
}

/// What `struct timeval` is on 64-bit Linux.
#[repr(C)]
pub struct Timeval {
    seconds: i64,
    microseconds: c_long,
}

unsafe extern "C" {
    fn getenv(name: *const c_char) -> *const c_char;
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn mmap(
        at: *mut c_void,
        size: usize,
        may: c_int,
        how: c_int,
        file: c_int,
        from: i64,
    ) -> *mut c_void;
    fn write(file: c_int, bytes: *const c_void, count: usize) -> isize;
    fn _exit(status: c_int) -> !;
    fn syscall(number: c_long, ...) -> c_long;
}

const O_RDONLY_CLOEXEC: c_int = 0o2_000_000;
const PROT_READ: c_int = 1;
const MAP_SHARED: c_int = 1;
const MAP_FAILED: *mut c_void = usize::MAX as *mut c_void;
#[cfg(target_arch = "x86_64")]
const SYS_CLOCK_GETTIME: c_long = 228;
#[cfg(not(target_arch = "x86_64"))]
const SYS_CLOCK_GETTIME: c_long = 113;

const CLOCK_REALTIME: c_int = 0;
const CLOCK_MONOTONIC: c_int = 1;
const CLOCK_MONOTONIC_RAW: c_int = 4;
const CLOCK_REALTIME_COARSE: c_int = 5;
const CLOCK_MONOTONIC_COARSE: c_int = 6;
const CLOCK_BOOTTIME: c_int = 7;

static FACE: AtomicPtr<Face> = AtomicPtr::new(ptr::null_mut());

/// The file, mapped on the first call. Two threads at once map it twice, which
/// does no harm.
fn face() -> &'static Face {
    let known = FACE.load(Ordering::Acquire);
    let face = if known.is_null() { map() } else { known };
    // SAFETY: it is a mapping of `SIZE` bytes, aligned to a page, that is never
    // undone; other processes may write it, hence the atomics. The file is never
    // shortened by who made it.
    unsafe { &*face }
}

fn map() -> *mut Face {
    // SAFETY: calls as the C library documents them, with terminated strings
    // and its own constants; the environment is not changed at the same time, for a
    // server that is being started has one thread.
    let mapped = unsafe {
        let path = getenv(c"SLUICE_CLOCK".as_ptr());
        if path.is_null() {
            end(b"sluice-clock: the variable SLUICE_CLOCK names no file\n");
        }
        let file = open(path, O_RDONLY_CLOEXEC);
        if file < 0 {
            end(b"sluice-clock: the file that SLUICE_CLOCK names cannot be opened\n");
        }
        mmap(ptr::null_mut(), SIZE, PROT_READ, MAP_SHARED, file, 0)
    };
    if mapped == MAP_FAILED {
        end(b"sluice-clock: the file that SLUICE_CLOCK names cannot be mapped\n");
    }
    let face = mapped.cast();
    FACE.store(face, Ordering::Release);
    face
}

/// Ends the process, and says why.
fn end(why: &[u8]) -> ! {
    // SAFETY: the bytes are there; `_exit` never comes back.
    unsafe {
        let _ = write(2, why.as_ptr().cast(), why.len());
        _exit(127)
    }
}

/// Time of day and monotonic clock, in nanoseconds, as they were written
/// together.
fn read() -> (u64, u64) {
    let face = face();
    loop {
        let real = face.real_ns.load(Ordering::Acquire);
        let monotonic = face.monotonic_ns.load(Ordering::Acquire);
        if face.seal.load(Ordering::Acquire) == real ^ monotonic ^ SEAL {
            return (real, monotonic);
        }
        core::hint::spin_loop();
    }
}

const BILLION: u64 = 1_000_000_000;

/// As in the C library, from the file. Returns 0.
///
/// # Safety
/// `now` is null or may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gettimeofday(now: *mut Timeval, _zone: *mut c_void) -> c_int {
    let (real, _) = read();
    if !now.is_null() {
        let value = Timeval {
            seconds: (real / BILLION) as i64,
            microseconds: (real % BILLION / 1_000) as c_long,
        };
        // SAFETY: the caller says that it may be written to.
        unsafe { now.write(value) };
    }
    0
}

/// As in the C library, from the file for clocks of time, and from the system
/// for those of processors. Returns 0, or −1 as the system does.
///
/// # Safety
/// `now` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: c_int, now: *mut Timespec) -> c_int {
    let ns = match clock {
        CLOCK_REALTIME | CLOCK_REALTIME_COARSE => read().0,
        CLOCK_MONOTONIC | CLOCK_MONOTONIC_RAW | CLOCK_MONOTONIC_COARSE | CLOCK_BOOTTIME => read().1,
        // SAFETY: the system checks both arguments.
        _ => return unsafe { syscall(SYS_CLOCK_GETTIME, clock, now) as c_int },
    };
    let value = Timespec {
        seconds: (ns / BILLION) as i64,
        nanoseconds: (ns % BILLION) as c_long,
    };
    // SAFETY: the caller says that it may be written to.
    unsafe { now.write(value) };
    0
}

/// As in the C library, from the file: seconds since 1970.
///
/// # Safety
/// `now` is null or may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn time(now: *mut i64) -> i64 {
    let seconds = (read().0 / BILLION) as i64;
    if !now.is_null() {
        // SAFETY: the caller says that it may be written to.
        unsafe { now.write(seconds) };
    }
    seconds
}
