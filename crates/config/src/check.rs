//! The commands `norn config check`, `norn config convert` and `norn config coverage`.

use std::fmt::Write;

use crate::environment::Environment;
use crate::flags::CommandLine;
use crate::load::{self, Loaded, Printed};
use crate::settings::{Origin, Settings};
use crate::show;
use crate::table::{Coverage, Dialect};
use crate::tree::{DurationStyle, insert, to_node, to_yaml};

const USAGE: &str = "\
Usage:
  norn config check [--from mimir] FILE     check a configuration file
  norn config convert --from mimir FILE     print it in norn's own form
  norn config coverage [--from mimir]       count the settings that have an effect
";

/// Runs `norn config …`; `arguments` are those after `config`. Reads files: blocks.
pub fn run(arguments: &[String], environment: &Environment) -> Printed {
    match Command::parse(arguments) {
        Err(problem) => Printed::failure(format!("{problem}\n{USAGE}"), 2),
        Ok(Command { verb: Verb::Coverage, dialect, .. }) => {
            Printed::answer(show::coverage(dialect.unwrap_or(Dialect::Mimir)), 0)
        }
        Ok(Command { verb: Verb::Check, dialect, files }) => {
            check(dialect.unwrap_or(Dialect::Norn), &files, environment)
        }
        Ok(Command { verb: Verb::Convert, dialect, files }) => {
            convert(dialect.unwrap_or(Dialect::Norn), &files, environment)
        }
    }
}

enum Verb {
    Check,
    Convert,
    Coverage,
}

struct Command {
    verb: Verb,
    dialect: Option<Dialect>,
    files: Vec<String>,
}

impl Command {
    fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut arguments = arguments.iter();
        let verb = match arguments.next().map(String::as_str) {
            Some("check") => Verb::Check,
            Some("convert") => Verb::Convert,
            Some("coverage") => Verb::Coverage,
            Some(other) => return Err(format!("there is no command {other:?}")),
            None => return Err("a command is missing".to_owned()),
        };
        let mut command = Self { verb, dialect: None, files: Vec::new() };
        while let Some(argument) = arguments.next() {
            let from = match argument.trim_start_matches('-').split_once('=') {
                Some(("from", name)) => Some(name.to_owned()),
                _ if matches!(argument.as_str(), "-from" | "--from") => arguments.next().cloned(),
                _ => None,
            };
            match from {
                Some(name) => {
                    let dialect = Dialect::from_name(&name);
                    command.dialect = Some(dialect.ok_or_else(|| format!("there is no dialect {name:?}"))?);
                }
                None if argument.starts_with('-') => return Err(format!("there is no option {argument}")),
                None => command.files.push(argument.clone()),
            }
        }
        if command.files.is_empty() && !matches!(command.verb, Verb::Coverage) {
            return Err("a configuration file is missing".to_owned());
        }
        Ok(command)
    }
}

fn load(dialect: Dialect, files: &[String], environment: &Environment) -> Result<Loaded, Printed> {
    let line = CommandLine { config_files: files.to_vec(), expand_environment: true, ..CommandLine::default() };
    load::load(dialect, &line, environment).map_err(Printed::from)
}

/// Whether a file can be taken, and what it says without effect. Variables are filled in.
fn check(dialect: Dialect, files: &[String], environment: &Environment) -> Printed {
    let loaded = match load(dialect, files, environment) {
        Ok(loaded) => loaded,
        Err(failure) => return failure,
    };
    let mut text = String::new();
    for warning in &loaded.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    let _ = writeln!(text, "{}: ok", files.join(","));
    Printed::answer(text, 0)
}

/// A file in norn's own form: what differs from norn's own defaults, so that norn does what the original would.
/// Secrets stay as they are. What is left out stands in comments at the top.
fn convert(dialect: Dialect, files: &[String], environment: &Environment) -> Printed {
    let loaded = match load(dialect, files, environment) {
        Ok(loaded) => loaded,
        Err(failure) => return failure,
    };
    let own = Settings::defaults(Dialect::Norn, environment);
    let mut text = format!("# norn's own form of the {} configuration {}.\n", dialect.name(), files.join(","));
    for warning in &loaded.warnings {
        let _ = writeln!(text, "# {warning}");
    }
    let settings = &loaded.settings;
    let mut tree = Vec::new();
    for (own_index, setting) in own.table().settings().iter().enumerate() {
        let Some(index) = settings.table().index_of(setting.path) else { continue };
        let given = *settings.origin(index) != Origin::Default;
        let kept = match setting.coverage {
            // The common block has been handed down to the settings that inherit it.
            _ if setting.path.starts_with("common.") => false,
            Coverage::Effect(_) => true,
            Coverage::Later(_) => given,
            Coverage::None(_) => false,
        };
        let value = settings.get(index);
        if kept && value != own.get(own_index) {
            insert(&mut tree, setting.path, to_node(value, DurationStyle::of(setting.path)));
        }
    }
    text.push_str(&to_yaml(tree));
    Printed::answer(text, 0)
}
