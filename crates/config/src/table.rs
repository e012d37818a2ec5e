//! The table of settings: every key of a dialect with its flag, type, default, and what it does in norn.
//!
//! The rows are data, in files beside this module, so that they can be compared with what the original documents,
//! counted, and read by anyone. The typed model ([`crate::metrics`]) takes its values from here and repeats neither
//! names nor defaults.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use crate::kind::Kind;

/// A way to configure norn: which names exist, and what their defaults are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// norn's own.
    Norn,
    /// Mimir's.
    Mimir,
}

/// One row of the table.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The path in YAML, with dots.
    pub path: &'static str,
    /// The flag, without dashes before it.
    pub flag: Option<&'static str>,
    /// The type of its value.
    pub kind: Kind,
    /// The default, in the form that a flag has; `None` is no value.
    pub default: Option<&'static str>,
    /// Who should know it.
    pub category: Category,
    /// What it does.
    pub coverage: Coverage,
}

/// Who should know a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    /// Everyone.
    Basic,
    /// Who tunes.
    Advanced,
    /// Who tries what may change.
    Experimental,
    /// Nobody any more.
    Deprecated,
}

/// What a setting does in norn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coverage {
    /// It sets this field of the model.
    Effect(&'static str),
    /// It will, once this exists.
    Later(&'static str),
    /// It cannot, because of this.
    None(&'static str),
}

/// A setting of an earlier version.
#[derive(Debug, Clone)]
pub struct Removed {
    /// The path in YAML; everything below it is removed too.
    pub path: &'static str,
    /// The flag; `*` at its end stands for any text.
    pub flag: Option<&'static str>,
    /// What to do instead.
    pub instead: &'static str,
}

/// All settings of a dialect.
#[derive(Debug)]
pub struct Table {
    settings: Vec<Setting>,
    by_path: BTreeMap<&'static str, usize>,
    by_flag: HashMap<&'static str, usize>,
    removed: Vec<Removed>,
}

const MIMIR_SETTINGS: &str = include_str!("mimir/settings.tsv");
const MIMIR_HIDDEN: &str = include_str!("mimir/hidden.tsv");
const MIMIR_REMOVED: &str = include_str!("mimir/removed.tsv");
const OWN_SETTINGS: &str = include_str!("own/settings.tsv");
const OWN_DEFAULTS: &str = include_str!("own/defaults.tsv");

static MIMIR: LazyLock<Table> = LazyLock::new(|| Table::new(&[MIMIR_SETTINGS, MIMIR_HIDDEN], "", MIMIR_REMOVED));
static NORN: LazyLock<Table> =
    LazyLock::new(|| Table::new(&[OWN_SETTINGS, MIMIR_SETTINGS, MIMIR_HIDDEN], OWN_DEFAULTS, ""));

impl Dialect {
    /// The settings of this dialect.
    pub fn table(self) -> &'static Table {
        match self {
            Self::Norn => &NORN,
            Self::Mimir => &MIMIR,
        }
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Norn => "norn",
            Self::Mimir => "mimir",
        }
    }

    /// The dialect of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Norn, Self::Mimir].into_iter().find(|dialect| dialect.name() == name)
    }
}

impl Table {
    /// Reads the files of rows. They are part of the program, so that a fault in them is one of ours; a test reads
    /// every table.
    fn new(files: &[&'static str], defaults: &'static str, removed: &'static str) -> Self {
        let mut settings: Vec<Setting> = files.iter().flat_map(|file| rows(file)).map(Setting::from_row).collect();
        let mut by_path = BTreeMap::new();
        let mut by_flag = HashMap::new();
        for (index, setting) in settings.iter().enumerate() {
            let double = by_path.insert(setting.path, index);
            assert!(double.is_none(), "the table has {} twice", setting.path);
            if let Some(flag) = setting.flag {
                let double = by_flag.insert(flag, index);
                assert!(double.is_none(), "the table has the flag {flag} twice");
            }
        }
        for row in rows(defaults) {
            let [path, default] = row[..] else { panic!("a default is a path and a value: {row:?}") };
            let index = *by_path.get(path).unwrap_or_else(|| panic!("a default for {path}, which is no setting"));
            settings[index].default = Some(default);
        }
        let removed = rows(removed).map(Removed::from_row).collect();
        Self { settings, by_path, by_flag, removed }
    }

    /// All settings, in the order in which they are shown.
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }

    /// The row of a path.
    pub fn index_of(&self, path: &str) -> Option<usize> {
        self.by_path.get(path).copied()
    }

    /// The row of a flag, given without dashes.
    pub fn index_of_flag(&self, flag: &str) -> Option<usize> {
        self.by_flag.get(flag).copied()
    }

    /// All flags, without dashes.
    pub fn flags(&self) -> impl Iterator<Item = &'static str> {
        self.by_flag.keys().copied()
    }

    /// Whether there are settings below this path; the empty path is the root.
    pub fn is_section(&self, path: &str) -> bool {
        self.children(path).next().is_some()
    }

    /// The rows below a path.
    pub fn below(&self, path: &str) -> impl Iterator<Item = usize> {
        let prefix = if path.is_empty() { String::new() } else { format!("{path}.") };
        let start =
            self.by_path.range::<str, _>((std::ops::Bound::Included(prefix.as_str()), std::ops::Bound::Unbounded));
        start.take_while(move |(path, _)| path.starts_with(&prefix)).map(|(_, index)| *index)
    }

    /// The keys that a section may have; one that is a section itself comes as often as it has settings.
    pub fn children<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'static str> + 'a {
        let skip = if path.is_empty() { 0 } else { path.len() + 1 };
        self.below(path).filter_map(move |index| self.settings[index].path[skip..].split('.').next())
    }

    /// What became of a path that an earlier version had.
    pub fn removed_path(&self, path: &str) -> Option<&Removed> {
        self.removed.iter().find(|removed| removed.path == path)
    }

    /// What became of a flag that an earlier version had.
    pub fn removed_flag(&self, flag: &str) -> Option<&Removed> {
        self.removed.iter().find(|removed| match removed.flag {
            Some(name) => name.strip_suffix('*').map_or(name == flag, |start| flag.starts_with(start)),
            None => false,
        })
    }
}

impl Setting {
    fn from_row(row: Vec<&'static str>) -> Self {
        let [path, flag, kind, default, category, coverage] = row[..] else {
            panic!("a setting has six columns: {row:?}");
        };
        let kind = Kind::from_name(kind).unwrap_or_else(|| panic!("{path}: {kind} is no type"));
        let default = (default != "~").then_some(default);
        Self {
            path,
            flag: (flag != "-").then_some(flag),
            kind,
            default,
            category: Category::from_name(category).unwrap_or_else(|| panic!("{path}: {category} is no category")),
            coverage: Coverage::from_text(coverage).unwrap_or_else(|| panic!("{path}: {coverage} is no coverage")),
        }
    }

    /// The last part of the path.
    pub fn key(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }
}

impl Removed {
    fn from_row(row: Vec<&'static str>) -> Self {
        let [path, flag, instead] = row[..] else { panic!("a removed setting has three columns: {row:?}") };
        Self { path, flag: (flag != "-").then_some(flag), instead }
    }
}

impl Category {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "basic" => Self::Basic,
            "advanced" => Self::Advanced,
            "experimental" => Self::Experimental,
            "deprecated" => Self::Deprecated,
            _ => return None,
        })
    }
}

impl Coverage {
    fn from_text(text: &'static str) -> Option<Self> {
        let (what, detail) = text.split_once(':')?;
        match what {
            _ if detail.is_empty() => None,
            "effect" => Some(Self::Effect(detail)),
            "later" => Some(Self::Later(detail)),
            "none" => Some(Self::None(detail)),
            _ => None,
        }
    }
}

/// The rows of a file with tabs between columns; lines that begin with `#` are comments.
fn rows(file: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    file.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t').collect())
}

#[cfg(test)]
mod tests;
