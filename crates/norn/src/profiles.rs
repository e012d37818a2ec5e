//! Profiles of this process; left out of a program that is built without the feature `profiles`.

use std::sync::Arc;

use norn_base::clock::SharedClock;
use norn_base::random::SharedRandom;
use norn_server::admin::Profiler;

/// Begins to sample allocations. A system that does not allow it is told of once, and nothing else is amiss.
#[cfg(feature = "profiles")]
pub(crate) fn start(random: &SharedRandom) {
    if let Err(error) = norn_profile::heap::start(&**random) {
        tracing::warn!(error = %error.chain(), "there are no profiles");
    }
}

/// Does nothing.
#[cfg(not(feature = "profiles"))]
pub(crate) fn start(_: &SharedRandom) {}

/// What takes profiles.
#[cfg(feature = "profiles")]
pub(crate) fn profiler(clock: &SharedClock) -> Option<Arc<dyn Profiler>> {
    Some(Arc::new(from_inside::Inside(clock.clone())))
}

/// Nothing takes profiles.
#[cfg(not(feature = "profiles"))]
pub(crate) fn profiler(_: &SharedClock) -> Option<Arc<dyn Profiler>> {
    None
}

#[cfg(feature = "profiles")]
mod from_inside {
    use std::time::Duration;

    use norn_base::clock::SharedClock;
    use norn_profile::{cpu, heap};
    use norn_server::admin::{ProfileFuture, Profiler};

    /// Takes profiles from inside of the process.
    pub(super) struct Inside(pub(super) SharedClock);

    impl Profiler for Inside {
        fn cpu(&self, duration: Duration) -> ProfileFuture {
            Box::pin(cpu::profile(duration, self.0.clone()))
        }

        fn heap(&self) -> ProfileFuture {
            Box::pin(heap::profile(self.0.clone()))
        }
    }
}
