use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use norn_base::ErrorKind;
use norn_base::clock::SystemClock;
use norn_profile::cpu;
use norn_profile::pprof::Profile;

use crate::block_on;

/// Profiles that are taken at most, of 200 ms each; one is enough unless the machine has no time for us.
const ROUNDS: usize = 100;

#[inline(never)]
fn keep_a_core_busy(is_enough: &AtomicBool) -> u64 {
    let mut state = 1_u64;
    while !is_enough.load(Ordering::Relaxed) {
        for _ in 0..1000 {
            state = std::hint::black_box(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        }
    }
    state
}

/// The CPU nanoseconds of a function and its callees, of samples of one thread.
fn nanoseconds_of(profile: &Profile, function: &str, thread: &str) -> i64 {
    let is_of_thread = |labels: &[norn_profile::pprof::Label]| {
        labels.iter().any(|label| profile.text(label.key) == "thread" && profile.text(label.str) == thread)
    };
    let samples = profile.sample.iter().filter(|sample| is_of_thread(&sample.label));
    let with_function =
        samples.filter(|sample| profile.functions_of(sample).iter().any(|name| name.contains(function)));
    with_function.map(|sample| sample.value[1]).sum()
}

#[test]
fn a_busy_function_is_seen_and_one_profile_is_taken_at_a_time() {
    let is_enough = AtomicBool::new(false);
    let found = std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("busy".to_owned())
            .spawn_scoped(scope, || keep_a_core_busy(&is_enough))
            .unwrap();
        let found = (0..ROUNDS).any(|_| {
            let bytes = block_on(cpu::profile(Duration::from_millis(200), SystemClock::shared())).unwrap();
            let profile = Profile::decode_gzip(&bytes).unwrap();
            assert_eq!(profile.text(profile.sample_type[1].r#type), "cpu");
            assert_eq!(profile.period, 10_000_000);
            nanoseconds_of(&profile, "keep_a_core_busy", "busy") > 0
        });
        block_on(refuse_a_second_one());
        is_enough.store(true, Ordering::Relaxed);
        found
    });
    assert!(found, "no sample of the busy function in {ROUNDS} profiles");
}

async fn refuse_a_second_one() {
    let minutes = Duration::from_secs(300);
    let mut first = Box::pin(cpu::profile(minutes, SystemClock::shared()));
    let second = tokio::select! {
        biased;
        _ = &mut first => panic!("the first one ended"),
        second = cpu::profile(minutes, SystemClock::shared()) => second,
    };
    assert_eq!(second.unwrap_err().kind(), ErrorKind::Conflict);
    // Who goes away ends the profile: the next one begins as soon as its thread has seen it.
    drop(first);
    loop {
        match cpu::profile(Duration::from_millis(10), SystemClock::shared()).await {
            Err(error) if error.kind() == ErrorKind::Conflict => std::thread::yield_now(),
            other => return drop(other.unwrap()),
        }
    }
}
