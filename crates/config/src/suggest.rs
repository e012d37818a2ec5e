//! The nearest known name to one that is not known.

/// The name that is closest to `unknown`, if any is close enough that it may have been meant.
///
/// Close enough are up to three changed, missing, added or swapped letters, and at most a third of the name.
/// Cost: the product of the lengths, for each name that is about as long.
pub fn nearest<'a>(unknown: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = unknown.chars().count();
    let allowed = (length / 3).clamp(1, 3);
    let mut best = None;
    for name in names {
        // Each letter of the difference would have to be added or removed.
        if name.chars().count().abs_diff(length) > allowed {
            continue;
        }
        let distance = distance(unknown, name);
        if distance <= allowed && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, name));
        }
    }
    best.map(|(_, name)| name)
}

/// The optimal string alignment distance: edits and swaps of neighbours.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for row in 1..=left.len() {
        let mut current = vec![row];
        for column in 1..=right.len() {
            let changed = usize::from(left[row - 1] != right[column - 1]);
            let mut best = (last[column] + 1).min(current[column - 1] + 1).min(last[column - 1] + changed);
            let swapped =
                row > 1 && column > 1 && left[row - 1] == right[column - 2] && left[row - 2] == right[column - 1];
            if swapped {
                best = best.min(before_last[column - 2] + 1);
            }
            current.push(best);
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_if_it_is_near() {
        let names = ["ring", "http_listen_port", "grpc_listen_port", "log_level"];
        let check = |unknown: &str, expected: Option<&str>| assert_eq!(nearest(unknown, names), expected, "{unknown}");
        check("htp_listen_port", Some("http_listen_port"));
        check("http_listen_prot", Some("http_listen_port"));
        check("loglevel", Some("log_level"));
        check("rnig", Some("ring"));
        check("zzz", None);
        check("completely_different", None);
        check("", None);
    }
}
