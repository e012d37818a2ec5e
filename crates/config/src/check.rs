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
  norn config check [--from mimir] [--expand-env] FILE...   check a configuration file
  norn config convert --from mimir [--expand-env] FILE...   print it in norn's own form
  norn config coverage [--from mimir]                       count the settings that have an effect
";

/// Runs `norn config …`; `arguments` are those after `config`. Reads files: blocks.
pub fn run(arguments: &[String], environment: &Environment) -> Printed {
    let command = match Command::parse(arguments) {
        Ok(command) => command,
        Err(problem) => return Printed::failure(format!("{problem}\n{USAGE}"), 2),
    };
    if command.verb == Verb::Coverage {
        return Printed::answer(show::coverage(command.dialect.unwrap_or(Dialect::Mimir)), 0);
    }
    let dialect = command.dialect.unwrap_or(Dialect::Norn);
    let line = CommandLine {
        config_files: command.files.clone(),
        expand_environment: command.expand_environment,
        ..CommandLine::default()
    };
    let files = command.files.join(",");
    match load::load(dialect, &line, environment) {
        Err(error) => Printed::from(error),
        Ok(loaded) if command.verb == Verb::Check => Printed::answer(check(&files, &loaded), 0),
        Ok(loaded) => Printed::answer(convert(dialect, &files, &loaded, environment), 0),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Check,
    Convert,
    Coverage,
}

struct Command {
    verb: Verb,
    dialect: Option<Dialect>,
    expand_environment: bool,
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
        let mut command = Self { verb, dialect: None, expand_environment: false, files: Vec::new() };
        while let Some(argument) = arguments.next() {
            let Some(option) = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-')) else {
                command.files.push(argument.clone());
                continue;
            };
            match option.split_once('=').map_or((option, None), |(option, value)| (option, Some(value))) {
                ("expand-env", None) => command.expand_environment = true,
                ("from", value) => {
                    let name = value.or_else(|| arguments.next().map(String::as_str)).unwrap_or_default();
                    let dialect = Dialect::from_name(name).ok_or_else(|| format!("there is no dialect {name:?}"))?;
                    command.dialect = Some(dialect);
                }
                _ => return Err(format!("there is no option {argument}")),
            }
        }
        if command.files.is_empty() && command.verb != Verb::Coverage {
            return Err("a configuration file is missing".to_owned());
        }
        Ok(command)
    }
}

/// What is said of a file that can be taken: what in it has no effect.
fn check(files: &str, loaded: &Loaded) -> String {
    let mut text = String::new();
    for warning in &loaded.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    let _ = writeln!(text, "{files}: ok");
    text
}

/// A file in norn's own form: what differs from norn's own defaults, so that norn does what the original would.
/// Secrets stay as they are. What is left out stands in comments at the top.
fn convert(dialect: Dialect, files: &str, loaded: &Loaded, environment: &Environment) -> String {
    let own = Settings::defaults(Dialect::Norn, environment);
    let mut text = format!("# norn's own form of the {} configuration {files}.\n", dialect.name());
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
    text
}

#[cfg(test)]
mod tests;
