//! Checks of the repository that no lint knows. Run as `cargo run -p xtask -- <check>`; without a name, all of them.
//!
//! - `layers`: edges between crates that must not exist.
//! - `licenses`: licences of all dependencies, and crates that stand in the lock file twice.
//! - `formats`: every format has its document.
//! - `config`: every setting with an effect sets a field that is read.

mod config_coverage;
mod formats;
mod layers;
mod licenses;
mod metadata;

use std::process::ExitCode;

type Check = fn() -> Result<(), String>;

const CHECKS: [(&str, Check); 4] = [
    ("layers", layers::check),
    ("licenses", licenses::check),
    ("formats", formats::check),
    ("config", config_coverage::check_workspace),
];

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = wanted.iter().find(|name| !CHECKS.iter().any(|(check, _)| check == *name)) {
        eprintln!("xtask: no check is called {unknown}");
        return ExitCode::from(2);
    }
    let mut failed = false;
    for (name, check) in CHECKS {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| wanted == name) {
            continue;
        }
        match check() {
            Ok(()) => println!("{name}: ok"),
            Err(problems) => {
                failed = true;
                eprintln!("{name}: failed\n{problems}");
            }
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
