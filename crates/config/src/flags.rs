//! The command line, with the rules of Go's `flag` package.
//!
//! `-name=value`, `-name value`, and both with two dashes; a boolean takes its value only after `=`. `--` ends the
//! flags.

use crate::kind::Kind;
use crate::scalar;
use crate::settings::{FlagValue, Warning};
use crate::suggest::nearest;
use crate::table::Table;

/// What the command line says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// The configuration files, merged from left to right.
    pub config_files: Vec<String>,
    /// Whether environment variables are filled into them.
    pub expand_environment: bool,
    /// What to do instead of running.
    pub instead: Option<Instead>,
    /// The flags of settings, in order.
    pub settings: Vec<FlagValue>,
    /// What the operator should know.
    pub warnings: Vec<Warning>,
}

/// What to do instead of running. Of several, the first in this order is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Instead {
    /// Print all flags.
    HelpAll,
    /// Print the flags that everyone should know.
    Help,
    /// Print the version.
    Version,
    /// Print what each target starts.
    Modules,
    /// Print the configuration.
    PrintConfig,
}

/// A command line that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// A flag that there is not.
    #[error("flag provided but not defined: -{name}{}", hint.as_ref().map_or(String::new(), |near| format!(" (did you mean -{near}?)")))]
    Unknown {
        /// The flag, without dashes.
        name: String,
        /// A flag that may have been meant.
        hint: Option<String>,
    },
    /// A flag without its value.
    #[error("flag needs an argument: -{name}")]
    NoValue {
        /// The flag, without dashes.
        name: String,
    },
    /// A value that does not fit.
    #[error("invalid value {text:?} for flag -{name}: {problem}")]
    BadValue {
        /// The flag, without dashes.
        name: String,
        /// The value.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Something that is no flag.
    #[error("unexpected argument {text:?}: all options begin with a dash")]
    Argument {
        /// The argument.
        text: String,
    },
}

/// A flag that is no setting.
enum Special {
    ConfigFile,
    ExpandEnvironment,
    Instead(Instead),
    /// Accepted, without effect here.
    Ignored(Kind, &'static str),
}

const NO_GO: &str = "no effect: there is no Go runtime";
const NO_LOG_RATE: &str = "no effect yet, for want of: rate limits of log lines";

const SPECIAL: [(&str, Special); 15] = [
    ("config.file", Special::ConfigFile),
    ("config.expand-env", Special::ExpandEnvironment),
    ("h", Special::Instead(Instead::Help)),
    ("help", Special::Instead(Instead::Help)),
    ("help-all", Special::Instead(Instead::HelpAll)),
    ("version", Special::Instead(Instead::Version)),
    ("modules", Special::Instead(Instead::Modules)),
    ("list-targets", Special::Instead(Instead::Modules)),
    ("print.config", Special::Instead(Instead::PrintConfig)),
    ("mem-ballast-size-bytes", Special::Ignored(Kind::Integer, NO_GO)),
    ("debug.block-profile-rate", Special::Ignored(Kind::Integer, NO_GO)),
    ("debug.mutex-profile-fraction", Special::Ignored(Kind::Integer, NO_GO)),
    ("log.rate-limit-enabled", Special::Ignored(Kind::Bool, NO_LOG_RATE)),
    ("log.rate-limit-logs-per-second", Special::Ignored(Kind::Float, NO_LOG_RATE)),
    ("log.rate-limit-logs-burst-size", Special::Ignored(Kind::Integer, NO_LOG_RATE)),
];

impl CommandLine {
    /// Reads the arguments that follow the program's name.
    pub fn parse(arguments: &[String], table: &Table) -> Result<Self, UsageError> {
        let mut line = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            if argument == "--" {
                break;
            }
            let name = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-'));
            let Some(name) = name.filter(|name| !name.is_empty()) else {
                return Err(UsageError::Argument { text: argument.clone() });
            };
            let (name, value) = match name.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (name, None),
            };
            let mut flag = Flag { name, value, rest: &mut arguments };
            line.flag(&mut flag, table)?;
        }
        match arguments.next() {
            Some(text) => Err(UsageError::Argument { text: text.clone() }),
            None => Ok(line),
        }
    }

    fn flag(&mut self, flag: &mut Flag<'_, '_>, table: &Table) -> Result<(), UsageError> {
        let name = flag.name;
        if let Some((_, special)) = SPECIAL.iter().find(|(known, _)| *known == name) {
            return self.special(flag, special);
        }
        if let Some(index) = table.index_of_flag(name) {
            let text = flag.text(table.settings()[index].kind)?;
            self.settings.push(FlagValue { index, name: name.to_owned(), text });
            return Ok(());
        }
        if let Some(removed) = table.removed_flag(name) {
            // Whether an old flag was a boolean is not known; none of them is useful without its value.
            flag.value_or_next();
            let message = format!("-{name} is not supported any more; {}", removed.instead);
            self.warnings.push(Warning { message });
            return Ok(());
        }
        let hint = nearest(name, table.flags().chain(SPECIAL.iter().map(|(known, _)| *known)));
        Err(UsageError::Unknown { name: name.to_owned(), hint: hint.map(str::to_owned) })
    }

    fn special(&mut self, flag: &mut Flag<'_, '_>, special: &Special) -> Result<(), UsageError> {
        match special {
            Special::ConfigFile => {
                let text = flag.text(Kind::Text)?;
                self.config_files = text.split(',').filter(|file| !file.is_empty()).map(str::to_owned).collect();
            }
            Special::ExpandEnvironment => self.expand_environment = flag.bool()?,
            Special::Instead(instead) => {
                if flag.bool()? {
                    self.instead = Some(self.instead.map_or(*instead, |other| other.min(*instead)));
                }
            }
            Special::Ignored(kind, reason) => {
                let text = flag.text(*kind)?;
                kind.from_flag(&text).map_err(|problem| flag.bad_value(text, problem))?;
                self.warnings.push(Warning { message: format!("-{} ({reason})", flag.name) });
            }
        }
        Ok(())
    }
}

/// A flag that is being read, and the arguments after it.
struct Flag<'a, 'b> {
    name: &'a str,
    value: Option<String>,
    rest: &'b mut std::slice::Iter<'a, String>,
}

impl Flag<'_, '_> {
    /// The value after `=`, or the next argument.
    fn value_or_next(&mut self) -> Option<String> {
        self.value.take().or_else(|| self.rest.next().cloned())
    }

    /// The value; a boolean without one is true.
    fn text(&mut self, kind: Kind) -> Result<String, UsageError> {
        if kind == Kind::Bool {
            return Ok(self.value.take().unwrap_or_else(|| "true".to_owned()));
        }
        self.value_or_next().ok_or_else(|| UsageError::NoValue { name: self.name.to_owned() })
    }

    fn bool(&mut self) -> Result<bool, UsageError> {
        let text = self.text(Kind::Bool)?;
        scalar::flag_bool(&text).map_err(|problem| self.bad_value(text, problem))
    }

    fn bad_value(&self, text: String, problem: String) -> UsageError {
        UsageError::BadValue { name: self.name.to_owned(), text, problem }
    }
}

#[cfg(test)]
mod tests;
