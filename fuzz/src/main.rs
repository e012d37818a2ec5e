//! `norn-fuzz [SECONDS [SEED [TARGET]]]`: feeds each target, or one, for so long, and prints what it found.
//!
//! An input that was found is written to the working directory. The exit code is 1 if there is one.

use std::process::ExitCode;
use std::time::Duration;

use norn_base::clock::SystemClock;
use norn_base::random::SeededRandom;
use norn_fuzz::run::run;
use norn_fuzz::targets::TARGETS;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize| arguments.get(index).and_then(|text| text.parse::<u64>().ok());
    let seconds = number(0).unwrap_or(10);
    let seed = number(1).unwrap_or_else(|| SeededRandom::from_entropy().next_u64());
    let chosen = |name: &str| arguments.get(2).is_none_or(|target| target == name);
    // The loop says what panicked, with the input.
    std::panic::set_hook(Box::new(|_| {}));
    println!("seed {seed}, {seconds} s for each target");
    let clock = SystemClock::shared();
    let mut found = false;
    for target in TARGETS.iter().filter(|target| chosen(target.name)) {
        match run(target, seed, Duration::from_secs(seconds), &*clock) {
            Ok(inputs) => println!("{}: {inputs} inputs", target.name),
            Err(finding) => {
                found = true;
                let file = format!("finding-{}-{seed}", finding.target);
                println!("{}: {}; the input is in {file}", finding.target, finding.what);
                if let Err(error) = std::fs::write(&file, &finding.input) {
                    println!("{file} cannot be written ({error}): {}", finding.input.escape_ascii());
                }
            }
        }
    }
    if found { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
