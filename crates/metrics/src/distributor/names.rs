//! Which names of metrics and labels are valid.
//!
//! Under the legacy scheme names are of ASCII letters, digits and underscores, and do not start with a digit; names
//! of metrics may have colons. Under the UTF-8 scheme every name that is not empty is valid; that it is UTF-8 is
//! known since it was decoded.

const LABEL_START: u8 = 1;
const LABEL_REST: u8 = 2;
const METRIC_START: u8 = 4;
const METRIC_REST: u8 = 8;

/// For each byte, the places at which it may stand.
const PLACES: [u8; 256] = {
    let mut places = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        places[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => LABEL_START | LABEL_REST | METRIC_START | METRIC_REST,
            b'0'..=b'9' => LABEL_REST | METRIC_REST,
            b':' => METRIC_START | METRIC_REST,
            _ => 0,
        };
        byte += 1;
    }
    places
};

/// Whether a label may have this name under the legacy scheme.
#[inline]
pub(crate) fn is_legacy_label_name(name: &str) -> bool {
    is_legacy(name, LABEL_START, LABEL_REST)
}

/// Whether a metric may have this name under the legacy scheme.
#[inline]
pub(crate) fn is_legacy_metric_name(name: &str) -> bool {
    is_legacy(name, METRIC_START, METRIC_REST)
}

#[inline]
fn is_legacy(name: &str, start: u8, rest: u8) -> bool {
    let Some(first) = name.bytes().next() else { return false };
    // Without an early exit: names are short, and nearly always valid.
    let places = name.bytes().fold(u8::MAX, |places, byte| places & PLACES[usize::from(byte)]);
    PLACES[usize::from(first)] & start != 0 && places & rest != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacy_names() {
        let check = |name, label, metric| {
            assert_eq!((is_legacy_label_name(name), is_legacy_metric_name(name)), (label, metric), "{name:?}");
        };
        check("a", true, true);
        check("__name__", true, true);
        check("A1_b", true, true);
        check("a:b", false, true);
        check(":a", false, true);
        check("1a", false, false);
        check("a-b", false, false);
        check("a.b", false, false);
        check("größe", false, false);
        check("", false, false);
    }
}
