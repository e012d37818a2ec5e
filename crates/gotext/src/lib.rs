//! What Go's text is like: regular expressions, numbers and durations as Prometheus and its kin print and parse them.

pub mod regex;
