//! norn's configuration: what operators write, and the typed model that the roles rely on.
//!
//! - [`table`]: every key of every dialect, as data: flag, type, default, what it does.
//! - [`load`]: from command line, files and environment to [`settings::Settings`], each value with its origin.
//! - [`process`], [`metrics`], [`limits`]: the typed model. Nothing below it knows that dialects exist.
//! - [`overrides`]: the tenants' own limits, reloaded while the process runs.
//! - [`show`], [`check`]: printing, help, and the `norn config` commands.

pub mod table;

pub mod kind;
pub mod value;

pub mod section;

pub mod process;

pub mod metrics;

pub mod limits;

pub mod relabel;

// Texts: YAML trees, the scalars in them, names that are nearly right.
pub mod yaml;

pub mod scalar;

pub mod suggest;

pub mod environment;

pub mod settings;

pub mod overrides;

pub mod flags;

pub mod load;

mod tree;

mod validate;

pub mod show;

pub mod check;
