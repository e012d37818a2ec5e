//! What a process shows of its configuration: the page `/config`, the help, how much of a dialect has an effect.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::kind::Kind;
use crate::metrics::MetricsConfig;
use crate::section::{Description, FromSettings};
use crate::settings::Settings;
use crate::table::{Category, Coverage, Dialect, Setting};
use crate::tree::{DurationStyle, insert, quoted, to_node, to_yaml};
use crate::value::Value;
use crate::yaml::Node;

/// What takes the place of a secret.
const MASK: &str = "********";

/// Which settings the page `/config` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// All, with their values.
    Full,
    /// Those that differ from their defaults.
    Diff,
    /// All, with their defaults.
    Defaults,
}

impl Mode {
    /// What the parameter `mode` of the page asks for; any other text is [`Mode::Full`].
    pub fn from_parameter(mode: &str) -> Self {
        match mode {
            "diff" => Self::Diff,
            "defaults" => Self::Defaults,
            _ => Self::Full,
        }
    }
}

/// The configuration as YAML, in the order of the table, secrets masked.
pub fn config(settings: &Settings, mode: Mode) -> String {
    let mut tree = Vec::new();
    for (index, setting) in settings.table().settings().iter().enumerate() {
        let value = match mode {
            Mode::Diff if !settings.is_changed(index) => continue,
            Mode::Full | Mode::Diff => settings.get(index),
            Mode::Defaults => settings.default_value(index),
        };
        insert(&mut tree, setting.path, shown(setting.path, setting.kind, value));
    }
    to_yaml(tree)
}

/// A value as it is shown: secrets that are set are masked.
fn shown(path: &str, kind: Kind, value: &Value) -> Node {
    let secret = kind == Kind::Secret && *value != Value::Text(String::new());
    if secret {
        return quoted(MASK.to_owned());
    }
    to_node(value, DurationStyle::of(path))
}

/// Flags that are no settings.
const OTHER_FLAGS: [(&str, &str, &str); 7] = [
    ("config.expand-env", "boolean", "Fill environment variables into the configuration file."),
    ("config.file", "string", "Configuration file in YAML, or several with commas between."),
    ("help", "", "Print basic help."),
    ("help-all", "", "Print help with all flags."),
    ("modules", "", "List what each target starts, and exit."),
    ("print.config", "", "Print the configuration, and exit."),
    ("version", "", "Print the version, and exit."),
];

/// What the settings do that are not part of the model of a signal.
const OTHER_DESCRIPTIONS: [(&str, &str); 2] = [
    ("data_dir", "The folder of all data that has no folder of its own."),
    ("signals", "The signals of this process: metrics, logs, traces."),
];

/// The flags: all, or those that everyone should know and that have an effect.
pub fn help(dialect: Dialect, all: bool) -> String {
    let descriptions = descriptions();
    let mut flags: Vec<(&str, String)> = Vec::new();
    for (flag, kind, description) in OTHER_FLAGS {
        flags.push((flag, help_entry(kind, description, "")));
    }
    for setting in dialect.table().settings() {
        let Some(flag) = setting.flag else { continue };
        let known = matches!(setting.coverage, Coverage::Effect(_)) && setting.category == Category::Basic;
        if all || known {
            let description = help_description(setting, descriptions.get(setting.path).map(String::as_str));
            flags.push((flag, help_entry(setting.kind.name(), &description, setting.default.unwrap_or(""))));
        }
    }
    flags.sort_by_key(|(flag, _)| *flag);
    let mut text = match dialect {
        Dialect::Norn => "Usage of norn:\n".to_owned(),
        Dialect::Mimir => "Usage of norn mimir:\n".to_owned(),
    };
    for (flag, entry) in flags {
        let _ = writeln!(text, "  -{flag}{entry}");
    }
    if !all {
        text.push_str("\nTo see all flags, use -help-all\n");
    }
    text
}

/// What the model says of each setting, as plain text.
fn descriptions() -> BTreeMap<String, String> {
    let mut described = Vec::new();
    MetricsConfig::describe("", &[], &mut described);
    let mut descriptions = BTreeMap::new();
    for Description { path, document } in described {
        let lines: Vec<&str> = document.iter().map(|line| line.trim()).collect();
        // References to other fields are written as links between brackets.
        let text = lines.join(" ").replace(['[', ']', '`'], "").replace("Self::", "").replace("Limits::", "");
        descriptions.insert(path, text);
    }
    descriptions.extend(OTHER_DESCRIPTIONS.map(|(path, text)| (path.to_owned(), text.to_owned())));
    descriptions
}

fn help_description(setting: &Setting, description: Option<&str>) -> String {
    let mut sentences: Vec<String> = description.map(str::to_owned).into_iter().collect();
    sentences.push(format!("YAML: {}.", setting.path));
    match setting.category {
        Category::Experimental => sentences.push("Experimental.".to_owned()),
        Category::Deprecated => sentences.push("Deprecated.".to_owned()),
        Category::Basic | Category::Advanced => {}
    }
    match setting.coverage {
        Coverage::Effect(_) => {}
        Coverage::Later(feature) => sentences.push(format!("No effect yet, for want of: {feature}.")),
        Coverage::None(because) => sentences.push(format!("No effect: {because}.")),
    }
    sentences.join(" ")
}

fn help_entry(kind: &str, description: &str, default: &str) -> String {
    let gap = if kind.is_empty() { "" } else { " " };
    let default = if default.is_empty() { String::new() } else { format!(" (default {default})") };
    format!("{gap}{kind}\n    \t{description}{default}")
}

/// How many settings of a dialect have an effect, will have one, and cannot have one; with the reasons.
pub fn coverage(dialect: Dialect) -> String {
    let mut effect = 0;
    let mut later: Vec<(&str, usize)> = Vec::new();
    let mut none: Vec<(&str, usize)> = Vec::new();
    let count = |reasons: &mut Vec<(&'static str, usize)>, reason: &'static str| match reasons
        .iter_mut()
        .find(|(known, _)| *known == reason)
    {
        Some((_, count)) => *count += 1,
        None => reasons.push((reason, 1)),
    };
    let settings = dialect.table().settings();
    for setting in settings {
        match setting.coverage {
            Coverage::Effect(_) => effect += 1,
            Coverage::Later(feature) => count(&mut later, feature),
            Coverage::None(because) => count(&mut none, because),
        }
    }
    let sum = |reasons: &[(&str, usize)]| reasons.iter().map(|(_, count)| count).sum::<usize>();
    let mut text =
        format!("{} settings: {effect} have an effect, {} will, {} cannot\n", settings.len(), sum(&later), sum(&none));
    for (title, mut reasons) in [("will have an effect with", later), ("cannot have an effect", none)] {
        let _ = writeln!(text, "\n{title}:");
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        for (reason, count) in reasons {
            let _ = writeln!(text, "{count:6}  {reason}");
        }
    }
    text
}

#[cfg(test)]
mod tests;
