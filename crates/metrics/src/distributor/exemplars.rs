//! Which exemplars are kept. One that is not is dropped without an error: its sample is worth more.

use norn_model::Labels;
use norn_model::write::Exemplar;
use norn_rpc::remote_write::DecodedExemplar;

use super::discards::Reason;

/// Names and values of one exemplar may have this many characters together.
const LABEL_CHARACTERS_MAX: usize = 128;

/// An exemplar may be this much older than the oldest sample of its request.
pub(super) const AGE_MAX_MS: i64 = 5 * 60 * 1000;

/// Turns a decoded exemplar, whose labels are `pairs`, into one to keep.
pub(super) fn clean(exemplar: &DecodedExemplar, pairs: &[(&[u8], &[u8])]) -> Result<Exemplar, Reason> {
    if pairs.is_empty() {
        return Err(Reason::ExemplarLabelsMissing);
    }
    if exemplar.timestamp_ms == 0 {
        return Err(Reason::ExemplarTimestampInvalid);
    }
    let mut texts = Vec::with_capacity(pairs.len());
    let mut characters = 0;
    for (name, value) in pairs {
        let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) else { continue };
        characters += name.chars().count() + value.chars().count();
        if !name.is_empty() && !value.is_empty() {
            texts.push((name, value));
        }
    }
    if characters > LABEL_CHARACTERS_MAX {
        return Err(Reason::ExemplarLabelsTooLong);
    }
    if texts.is_empty() {
        return Err(Reason::ExemplarLabelsBlank);
    }
    let labels = Labels::from_pairs(texts);
    Ok(Exemplar { timestamp_ms: exemplar.timestamp_ms, value: exemplar.value, labels })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exemplars_without_use_are_dropped() {
        let check = |timestamp_ms, pairs: &[(&str, &str)], expected: Result<Vec<(&str, &str)>, Reason>| {
            let exemplar = DecodedExemplar { timestamp_ms, value: 1.0, labels: 0..pairs.len() };
            let bytes: Vec<_> = pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
            let cleaned = clean(&exemplar, &bytes);
            assert_eq!(cleaned.map(|exemplar| exemplar.labels), expected.map(Labels::from_pairs));
        };
        let long = "ä".repeat(120);
        let longer = "ä".repeat(121);
        check(5, &[("trace_id", "1"), ("b", "")], Ok(vec![("trace_id", "1")]));
        check(5, &[("trace_id", &long)], Ok(vec![("trace_id", &long)]));
        check(5, &[("trace_id", &longer)], Err(Reason::ExemplarLabelsTooLong));
        check(0, &[("trace_id", "1")], Err(Reason::ExemplarTimestampInvalid));
        check(0, &[], Err(Reason::ExemplarLabelsMissing));
        check(5, &[("trace_id", "")], Err(Reason::ExemplarLabelsBlank));
    }
}
