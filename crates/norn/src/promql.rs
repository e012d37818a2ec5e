//! `norn promql …`: the language without a server.

use norn_config::load::Printed;

/// Runs a command.
pub(crate) fn run(_arguments: &[String]) -> Printed {
    Printed::failure("norn promql: comes\n".to_owned(), 2)
}
