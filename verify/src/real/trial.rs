//! Checks that may find no server: *ignored*, with the reason, instead of
//! passed in silence.
//!
//! The harness of std cannot say *ignored* at run time; libtest-mimic can. All
//! trials of a test binary share one server, which ends with the last of them.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use libtest_mimic::{Completion, Failed, Trial};

use super::{Missing, Server, Stepped, Want, variable};

/// Set to `1`, a missing server is a failure instead of an ignored check.
pub const REQUIRE_VARIABLE: &str = "SLUICE_REQUIRE_REDIS";

/// Found when the first trial runs; dropped with the last trial's closure.
type Shared = OnceLock<Result<Server, Missing>>;

static SHARED: Mutex<Weak<Shared>> = Mutex::new(Weak::new());

/// A check against a real server. Work inside [`Server::space`].
pub fn trial(
    name: impl Into<String>,
    check: impl FnOnce(&Server) -> Result<(), Failed> + Send + 'static,
) -> Trial {
    let shared = shared();
    Trial::ignorable_test(name, move || {
        match shared.get_or_init(|| Server::find(&Want::Any)) {
            Ok(server) => check(server).map(|()| Completion::Completed),
            Err(missing) if required() => Err(Failed::from(missing)),
            Err(missing) => Ok(Completion::ignored_with(missing)),
        }
    })
}

/// A check against a private server whose clock stands still, begun at this time.
/// It has the server for itself.
pub fn stepped_trial(
    name: impl Into<String>,
    time_us: u64,
    check: impl FnOnce(Stepped) -> Result<(), Failed> + Send + 'static,
) -> Trial {
    Trial::ignorable_test(name, move || match Stepped::start(None, time_us) {
        Ok(server) => check(server).map(|()| Completion::Completed),
        Err(missing) if required() => Err(Failed::from(missing)),
        Err(missing) => Ok(Completion::ignored_with(missing)),
    })
}

/// Whether a missing server is a failure.
fn required() -> bool {
    variable(REQUIRE_VARIABLE).is_some_and(|value| value != "0")
}

fn shared() -> Arc<Shared> {
    let mut slot = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    slot.upgrade().unwrap_or_else(|| {
        let fresh = Arc::new(Shared::new());
        *slot = Arc::downgrade(&fresh);
        fresh
    })
}
