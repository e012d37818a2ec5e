//! Which labels of a vector its consumers look at: planned from the root down, asked of the store at the leaves.

use std::collections::BTreeSet;
use std::sync::Arc;

use norn_model::labels::METRIC_NAME;
use norn_model::select::Projection;

/// The labels that vanish where an operation gives a series another meaning.
pub(crate) const METADATA_LABELS: [&str; 3] = [METRIC_NAME, "__type__", "__unit__"];

/// Labels that have to be there; others may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Needs {
    All,
    Only(BTreeSet<String>),
    Without(BTreeSet<String>),
}

impl Needs {
    /// These, and no others.
    pub(crate) fn only<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self::Only(names.into_iter().map(str::to_owned).collect())
    }

    /// All but these.
    pub(crate) fn without<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self::Without(names.into_iter().map(str::to_owned).collect())
    }

    /// Also these.
    pub(crate) fn and<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut needs = self.clone();
        for name in names {
            match &mut needs {
                Self::All => {}
                Self::Only(wanted) => drop(wanted.insert(name.to_owned())),
                Self::Without(unwanted) => drop(unwanted.remove(name)),
            }
        }
        needs
    }

    /// Not the labels that hold a metric's name, type and unit.
    pub(crate) fn minus_metadata(&self) -> Self {
        let mut needs = match self {
            Self::All => Self::Without(BTreeSet::new()),
            needs => needs.clone(),
        };
        for name in METADATA_LABELS {
            match &mut needs {
                Self::Only(wanted) => drop(wanted.remove(name)),
                Self::Without(unwanted) => drop(unwanted.insert(name.to_owned())),
                Self::All => unreachable!("replaced above"),
            }
        }
        needs
    }

    /// What to ask a store for.
    pub(crate) fn projection(&self) -> Projection {
        let sorted =
            |names: &BTreeSet<String>| -> Arc<[Box<str>]> { names.iter().map(|name| name.as_str().into()).collect() };
        match self {
            Self::All => Projection::All,
            Self::Only(names) => Projection::Only(sorted(names)),
            Self::Without(names) if names.is_empty() => Projection::All,
            Self::Without(names) => Projection::Without(sorted(names)),
        }
    }
}
