//! What a process is: which signals it has, and which roles it runs.

use crate::section::{FieldError, FromSettings, FromValue, Source, choices};
use crate::value::Value;

/// What a process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessConfig {
    /// The signals, without doubles. A dialect of one signal has that one.
    pub signals: Vec<Signal>,
    /// The roles to run, or names of groups of them.
    pub target: Vec<String>,
}

choices! {
    /// A signal.
    pub enum Signal {
        /// Samples of series.
        Metrics = "metrics",
        /// Lines of streams.
        Logs = "logs",
        /// Spans of traces.
        Traces = "traces",
    }
}

impl FromValue for Vec<Signal> {
    fn from_value(value: &Value) -> Result<Self, String> {
        let mut signals = Self::new();
        for name in Vec::<String>::from_value(value)? {
            let signal = Signal::from_value(&Value::Text(name))?;
            if !signals.contains(&signal) {
                signals.push(signal);
            }
        }
        if signals.is_empty() { Err("at least one signal is needed".to_owned()) } else { Ok(signals) }
    }
}

impl ProcessConfig {
    /// Reads what a process is.
    pub fn from_settings(source: &dyn Source) -> Result<Self, FieldError> {
        let signals: Option<Vec<Signal>> = FromSettings::read(source, "signals")?;
        let target = FromSettings::read(source, "target")?;
        // A dialect without the setting is that of the metrics signal.
        Ok(Self { signals: signals.unwrap_or_else(|| vec![Signal::Metrics]), target })
    }
}
