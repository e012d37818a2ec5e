//! The words that all of norn shares: labels, matchers, samples, histograms, tenants; what a distributor
//! hands to an ingester ([`write`]); and what a language asks of a store and gets ([`select`]).
//!
//! No I/O and no async runtime here.

pub mod labels;
pub mod matcher;

pub mod histogram;
pub mod sample;

pub mod tenant;

pub mod write;

pub mod select;

pub mod estimate;

pub mod merge;

pub use histogram::{FloatHistogram, Histogram};
pub use labels::Labels;
pub use matcher::Matcher;
pub use sample::Sample;
pub use tenant::TenantId;
