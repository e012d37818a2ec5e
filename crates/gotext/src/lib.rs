//! What Go's text is like: regular expressions, numbers, durations, times and quoted strings as Prometheus and its
//! kin print and parse them.

pub mod duration;
pub mod number;
pub mod quote;
pub mod regex;
pub mod time;
