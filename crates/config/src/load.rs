//! From command line, files and environment to a checked configuration.
//!
//! The order of precedence, from low to high: defaults, the `common` block of the file, the file, flags of `common`,
//! flags.

use crate::environment::Environment;
use crate::flags::{CommandLine, Instead, UsageError};
use crate::metrics::MetricsConfig;
use crate::process::ProcessConfig;
use crate::settings::{Settings, Warning};
use crate::show;
use crate::table::Dialect;
use crate::validate;
use crate::yaml::{self, NodeError};

/// A checked configuration.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// All values with their origins, for the pages that show them.
    pub settings: Settings,
    /// What the process is.
    pub process: ProcessConfig,
    /// What the roles of the metrics signal rely on.
    pub metrics: MetricsConfig,
    /// What the operator should know; each is logged once.
    pub warnings: Vec<Warning>,
    /// The bytes of the configuration files as they were read, for the metric with their hash.
    pub file_bytes: Vec<u8>,
}

/// What a command line leads to.
#[derive(Debug)]
pub enum Outcome {
    /// Start.
    Run(Box<Loaded>),
    /// Print what each target starts, and exit with 0.
    Modules(Box<Loaded>),
    /// Print the version, and exit with 0.
    Version,
    /// Print this, and exit.
    Print(Printed),
}

/// A text to print before the process ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Printed {
    /// The text, its last line ended.
    pub text: String,
    /// Whether it is an error.
    pub to_stderr: bool,
    /// What the process exits with.
    pub exit_code: u8,
}

/// Why a configuration was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The command line cannot be read.
    #[error("{0}")]
    Usage(#[from] UsageError),
    /// A file cannot be read.
    #[error("error loading config from {file}: {source}")]
    Read {
        /// The file.
        file: String,
        /// The cause.
        source: std::io::Error,
    },
    /// What is in a file cannot be taken.
    #[error("error loading config from {file}: {error}")]
    File {
        /// The file, or the files.
        file: String,
        /// The place and the problem.
        error: NodeError,
    },
    /// Values do not fit their use, or each other.
    #[error("error validating config: {0}")]
    Invalid(String),
}

impl Printed {
    /// A text for whoever asked for it.
    pub fn answer(text: String, exit_code: u8) -> Self {
        Self { text, to_stderr: false, exit_code }
    }

    /// A failure.
    pub fn failure(text: String, exit_code: u8) -> Self {
        Self { text, to_stderr: true, exit_code }
    }
}

impl From<ConfigError> for Printed {
    fn from(error: ConfigError) -> Self {
        match error {
            ConfigError::Usage(usage) => {
                Self::failure(format!("{usage}\nRun with -help to get a list of available parameters\n"), 2)
            }
            other => Self::failure(format!("{other}\n"), 1),
        }
    }
}

/// Does what the command line says, up to the point where the process would start its roles.
///
/// `arguments` are those after the program's name and the dialect's. Reads files: blocks.
pub fn start(dialect: Dialect, arguments: &[String], environment: &Environment) -> Outcome {
    let line = match CommandLine::parse(arguments, dialect.table()) {
        Ok(line) => line,
        Err(error) => return Outcome::Print(ConfigError::Usage(error).into()),
    };
    match line.instead {
        Some(Instead::HelpAll) => return Outcome::Print(Printed::answer(show::help(dialect, true), 2)),
        Some(Instead::Help) => return Outcome::Print(Printed::answer(show::help(dialect, false), 2)),
        Some(Instead::Version) => return Outcome::Version,
        Some(Instead::Modules | Instead::PrintConfig) | None => {}
    }
    match (load(dialect, &line, environment), line.instead) {
        (Err(error), _) => Outcome::Print(error.into()),
        (Ok(loaded), Some(Instead::PrintConfig)) => {
            Outcome::Print(Printed::answer(show::config(&loaded.settings, show::Mode::Full), 0))
        }
        (Ok(loaded), Some(_)) => Outcome::Modules(Box::new(loaded)),
        (Ok(loaded), None) => Outcome::Run(Box::new(loaded)),
    }
}

/// Reads and checks a configuration. Reads files: blocks.
pub fn load(dialect: Dialect, line: &CommandLine, environment: &Environment) -> Result<Loaded, ConfigError> {
    let mut settings = Settings::defaults(dialect, environment);
    let mut warnings = line.warnings.clone();
    let mut file_bytes = Vec::new();
    if !line.config_files.is_empty() {
        let mut document = parse("", "")?;
        for file in &line.config_files {
            let mut text = read(file)?;
            file_bytes.extend_from_slice(text.as_bytes());
            if line.expand_environment {
                text = environment.expand(&text);
            }
            document.merge(parse(&text, file)?);
        }
        let in_files = |error| ConfigError::File { file: line.config_files.join(","), error };
        warnings.extend(settings.apply_file(&document).map_err(in_files)?);
    }
    settings.apply_flags(&line.settings)?;
    let invalid = |error| ConfigError::Invalid(settings.locate(&error));
    let process = ProcessConfig::from_settings(&settings).map_err(invalid)?;
    let metrics = MetricsConfig::from_settings(&settings).map_err(invalid)?;
    validate::metrics(&settings, &metrics).map_err(ConfigError::Invalid)?;
    warnings.extend(settings.without_effect());
    Ok(Loaded { settings, process, metrics, warnings, file_bytes })
}

fn parse(text: &str, file: &str) -> Result<yaml::Node, ConfigError> {
    yaml::parse(text, file, "configuration").map_err(|error| ConfigError::File { file: file.to_owned(), error })
}

/// A file's text; one that is not UTF-8 is an error.
fn read(file: &str) -> Result<String, ConfigError> {
    std::fs::read_to_string(file).map_err(|source| ConfigError::Read { file: file.to_owned(), source })
}

#[cfg(test)]
mod tests;
