//! Label values that are too long, for tenants that would rather have them short than not at all.
//!
//! What stands instead of a value ends with, or is, `(hash:…)`: a hash of the whole value, so that two long values
//! stay two series.

use norn_config::limits::LabelValueStrategy;

use super::blake2b;
use super::rules::WriteRules;

/// How long `(hash:…)` is; a limit below it cannot be kept by shortening.
const MARK_BYTES: usize = 71;

/// Whether values above the limit are replaced instead of refused.
pub(super) fn shortens(rules: &WriteRules) -> bool {
    rules.label_value_strategy != LabelValueStrategy::Error && rules.label_value_bytes_max >= MARK_BYTES
}

/// Replaces a value above the limit as the rules say; other values, and those of tenants without such a rule, stay.
pub(super) fn shorten(value: &mut String, rules: &WriteRules) {
    let limit = rules.label_value_bytes_max;
    if value.len() <= limit || !shortens(rules) {
        return;
    }
    match rules.label_value_strategy {
        LabelValueStrategy::Error => {}
        LabelValueStrategy::Truncate => {
            let mark = mark(value);
            value.truncate(value.floor_char_boundary(limit - MARK_BYTES));
            value.push_str(&mark);
        }
        LabelValueStrategy::Drop => {
            // The original writes the mark over the start of the value and leaves the rest; a series has to have
            // the same labels here.
            let mark = mark(value);
            let rest = value.split_off(value.ceil_char_boundary(MARK_BYTES));
            *value = mark + &rest;
        }
    }
}

fn mark(value: &str) -> String {
    format!("(hash:{})", blake2b::hex256(value.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_become_short_or_marked() {
        let hash = "(hash:58f49f86224fc9467549c0954fb0b9dc706e6728023bb7bd88b7958cf2115ac8)";
        let check = |strategy, limit, expected: &str| {
            let rules =
                WriteRules { label_value_strategy: strategy, label_value_bytes_max: limit, ..WriteRules::default() };
            let mut value = "x".repeat(100);
            shorten(&mut value, &rules);
            assert_eq!(value, expected, "{strategy:?}");
        };
        check(LabelValueStrategy::Truncate, 80, &format!("{}{hash}", "x".repeat(9)));
        check(LabelValueStrategy::Drop, 80, &format!("{hash}{}", "x".repeat(29)));
        check(LabelValueStrategy::Error, 80, &"x".repeat(100));
        check(LabelValueStrategy::Truncate, 100, &"x".repeat(100));
        check(LabelValueStrategy::Truncate, 70, &"x".repeat(100));
    }
}
