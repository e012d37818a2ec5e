//! norn: metrics, logs and traces in one binary.
//!
//! Parses the command line, chooses the dialect, and runs the roles that `-target` names.

mod invocation;
mod own_metrics;
mod process;
mod profiles;
mod promql;
mod roles;
mod wiring;

use std::process::ExitCode;

use norn_config::environment::Environment;
use norn_config::load::{self, Outcome, Printed};

use invocation::Invocation;

#[cfg(feature = "profiles")]
#[global_allocator]
static ALLOCATOR: norn_profile::heap::SampledAllocator<mimalloc::MiMalloc> =
    norn_profile::heap::SampledAllocator::new(mimalloc::MiMalloc);

#[cfg(not(feature = "profiles"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let environment = Environment::of_process();
    let arguments: Vec<String> = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    match Invocation::of(&arguments) {
        Invocation::Config(arguments) => print(norn_config::check::run(&arguments, &environment)),
        Invocation::Promql(arguments) => print(promql::run(&arguments)),
        Invocation::Later(message) => print(Printed::failure(format!("{message}\n"), 1)),
        Invocation::Serve { dialect, arguments } => match load::start(dialect, &arguments, &environment) {
            Outcome::Print(printed) => print(printed),
            Outcome::Version => print(Printed::answer(invocation::version(), 0)),
            Outcome::Modules(_) => print(Printed::answer(roles::listing(), 0)),
            Outcome::Run(loaded) => process::run(*loaded, &environment),
        },
    }
}

fn print(printed: Printed) -> ExitCode {
    if printed.to_stderr {
        eprint!("{}", printed.text);
    } else {
        print!("{}", printed.text);
    }
    ExitCode::from(printed.exit_code)
}
