//! The loop: mutated seeds, one target, until the time is over.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use norn_base::clock::Clock;
use norn_base::random::SeededRandom;

use crate::mutate::{below, mutate};
use crate::seeds::seeds;
use crate::targets::Target;

/// An input that takes longer is a finding.
const SLOW: Duration = Duration::from_secs(2);

/// How often an input has to be slow.
const TRIES: usize = 3;

/// Inputs between two looks at the clock of the run.
const INPUTS_PER_LOOK: u64 = 16;

/// A target's input that must not have this outcome.
#[derive(Debug)]
pub struct Finding {
    /// The target's name.
    pub target: &'static str,
    /// The input.
    pub input: Vec<u8>,
    /// What happened.
    pub what: String,
}

/// Feeds a target mutated seeds for some time. Returns how many inputs it took, or the first finding.
///
/// - `seed`: determines the inputs, apart from how many there are.
pub fn run(target: &Target, seed: u64, time: Duration, clock: &dyn Clock) -> Result<u64, Finding> {
    let random = SeededRandom::shared(seed);
    let mut pool = seeds(target.name);
    for input in &pool {
        feed(target, input, clock)?;
    }
    let end = clock.monotonic() + time;
    let mut inputs = 0;
    while inputs % INPUTS_PER_LOOK != 0 || clock.monotonic() < end {
        inputs += 1;
        let mut input = pool[below(&*random, pool.len())].clone();
        mutate(&mut input, &pool[below(&*random, pool.len())], &*random);
        feed(target, &input, clock)?;
        // Damage upon damage: some mutants replace others, and the first seeds stay.
        if below(&*random, 64) == 0 {
            if pool.len() < 64 {
                pool.push(input);
            } else {
                let last = pool.len() - 1;
                pool[last] = input;
            }
        }
    }
    Ok(inputs)
}

fn feed(target: &Target, input: &[u8], clock: &dyn Clock) -> Result<(), Finding> {
    let finding = |what: String| Finding { target: target.name, input: input.to_vec(), what };
    let mut fastest = Duration::MAX;
    // On a machine that is busy with other things, once is no proof.
    for _ in 0..TRIES {
        let begun = clock.monotonic();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (target.feed)(input))) {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            return Err(finding(format!("panicked: {}", text.unwrap_or_default())));
        }
        fastest = fastest.min(clock.monotonic().saturating_sub(begun));
        if fastest <= SLOW {
            return Ok(());
        }
    }
    Err(finding(format!("took {fastest:?}")))
}

#[cfg(test)]
mod tests {
    use norn_base::clock::SystemClock;

    use super::*;
    use crate::targets::TARGETS;

    #[test]
    fn every_target_takes_what_comes() {
        let clock = SystemClock::shared();
        for target in TARGETS {
            let seed = SeededRandom::from_entropy().next_u64();
            let outcome = run(target, seed, Duration::from_millis(100), &*clock);
            let finding = outcome.err().map(|finding| format!("{}: {}", finding.what, finding.input.escape_ascii()));
            assert_eq!(finding, None, "{}, seed {seed}", target.name);
        }
    }

    #[test]
    fn a_panic_is_found_and_its_input_named() {
        let target = Target { name: "yaml", feed: |input| assert!(!input.contains(&0xff), "a byte that is not taken") };
        let finding = run(&target, 1, Duration::from_secs(60), &*SystemClock::shared()).unwrap_err();
        assert!(finding.what.contains("a byte that is not taken") && finding.input.contains(&0xff), "{finding:?}");
    }
}
