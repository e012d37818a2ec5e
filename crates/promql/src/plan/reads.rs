//! What a query will ask the store for, known before it runs: enough to estimate what it costs.

use foldhash::{HashSet, HashSetExt};
use norn_model::Matcher;
use norn_model::select::{SeriesRequest, TimeRange};

use super::Query;
use super::node::{Info, RangeSource, Selector, Vector};
use super::visit::{Node, visit};
use crate::evaluate::column::Steps;
use crate::evaluate::steps_of;
use crate::evaluate::{selector, window::Frame};
use crate::printer::sorted;

/// One selector, as often as it is evaluated.
#[derive(Debug, Clone)]
pub struct Read {
    /// The selector as text, without range and modifiers.
    pub selector: String,
    /// One request for each alternative of the selector.
    pub requests: Vec<SeriesRequest>,
    /// All times that any step looks at, with offset, `@`, range, lookback and the subqueries around it.
    pub range: TimeRange,
    /// At how many times the selector is looked at.
    pub steps: usize,
}

impl Query {
    /// What the query will read, in the order of its text. A part that occurs more than once and is evaluated once is
    /// there once. What `info` looks for depends on what its argument holds: its request is as wide as that can be.
    pub fn reads(&self) -> Vec<Read> {
        let lookback_ms = self.options.lookback_ms;
        let mut reads = Vec::new();
        let mut seen = HashSet::new();
        visit(&self.root, steps_of(self.time), |node, _, steps| {
            if steps.count == 0 {
                return false;
            }
            match node {
                Node::Vector(Vector::Selector(selector)) => {
                    let range = selector::time_range(selector, steps, lookback_ms);
                    reads.push(read(selector, range, steps));
                }
                Node::Range(RangeSource::Selector { selector, range_ms }) => {
                    let frame = Frame::of_selector(selector, *range_ms, steps, lookback_ms);
                    reads.push(read(selector, frame.time_range(), steps));
                }
                Node::Vector(Vector::Info(info)) => reads.push(read_info(info, steps, lookback_ms)),
                Node::Vector(Vector::Shared { id, .. }) => return seen.insert((*id, steps)),
                _ => {}
            }
            true
        });
        reads
    }
}

fn read(selector: &Selector, range: TimeRange, steps: Steps) -> Read {
    let request = |matchers: &Vec<_>| SeriesRequest {
        projection: selector.projection.clone(),
        ..SeriesRequest::new(matchers.clone(), range)
    };
    Read {
        selector: selector.to_string(),
        requests: selector.matchers.iter().map(request).collect(),
        range,
        steps: steps.count,
    }
}

fn read_info(info: &Info, steps: Steps, lookback_ms: i64) -> Read {
    let matchers: Vec<Matcher> = info.name_matchers.iter().chain(&info.data_matchers).cloned().collect();
    let looked_at_ms = |step: usize| info.at_ms.unwrap_or_else(|| steps.time_ms(step)).saturating_sub(info.offset_ms);
    let range = TimeRange {
        start_ms: looked_at_ms(0).saturating_sub(lookback_ms).saturating_add(1),
        end_ms: looked_at_ms(steps.count - 1),
    };
    Read {
        selector: format!("{{{}}}", sorted("", &matchers).join(",")),
        requests: vec![SeriesRequest::new(matchers, range)],
        range,
        steps: steps.count,
    }
}

#[cfg(test)]
mod tests {
    use crate::plan::{EngineOptions, Query, QueryTime};

    /// Each read as `matchers start..end xsteps`, times in seconds, the start exclusive.
    fn check(text: &str, time: QueryTime, expected: &[&str]) {
        let options = EngineOptions { parse: crate::parser::ParseOptions::all(), ..EngineOptions::default() };
        let query = Query::new(text, time, options).unwrap();
        let reads = query.reads().into_iter().map(|read| {
            let requests = read.requests.iter().map(|request| {
                let matchers = request.matchers.iter();
                matchers.map(|m| format!("{}{}{}", m.name(), m.op().symbol(), m.value())).collect::<Vec<_>>().join(",")
            });
            let requests: Vec<String> = requests.collect();
            let (start_ms, end_ms) = (read.range.start_ms - 1, read.range.end_ms);
            format!("{} {}..{} x{}", requests.join(" or "), start_ms / 1000, end_ms / 1000, read.steps)
        });
        assert_eq!(reads.collect::<Vec<_>>(), expected, "{text}");
    }

    #[test]
    fn ranges_lookback_offset_and_at_are_in_it() {
        let at = QueryTime::Instant { time_ms: 10_000_000 };
        let over = QueryTime::Range { start_ms: 10_000_000, end_ms: 10_600_000, step_ms: 60_000 };
        check("1 + time()", over, &[]);
        check("up", at, &["__name__=up 9700..10000 x1"]);
        check("up", over, &["__name__=up 9700..10600 x11"]);
        check("up offset 1h", over, &["__name__=up 6100..7000 x11"]);
        check("rate(up{a=\"b\"}[10m])", over, &["a=b,__name__=up 9400..10600 x11"]);
        check("up @ 5000", over, &["__name__=up 4700..5000 x1"]);
        check("rate(up[10m] smoothed)", at, &["__name__=up 9100..10300 x1"]);
    }

    #[test]
    fn subqueries_have_steps_of_their_own() {
        let over = QueryTime::Range { start_ms: 10_000_000, end_ms: 10_600_000, step_ms: 60_000 };
        check("max_over_time(rate(up[5m])[1h:5m])", over, &["__name__=up 6300..10500 x14"]);
        check("max_over_time(up[1h:5m] @ 5000 offset 10m)", over, &["__name__=up 600..4200 x12"]);
    }

    #[test]
    fn every_selector_is_read_and_equal_aggregations_once() {
        let at = QueryTime::Instant { time_ms: 10_000_000 };
        check("sum(a) / (sum(a) + sum(b))", at, &["__name__=a 9700..10000 x1", "__name__=b 9700..10000 x1"]);
        check("a / a", at, &["__name__=a 9700..10000 x1", "__name__=a 9700..10000 x1"]);
        check("topk(scalar(k), {x=\"1\" or y=\"2\"})", at, &["x=1 or y=2 9700..10000 x1", "__name__=k 9700..10000 x1"]);
        check(
            "info(a offset 1m, {b=\"c\"})",
            at,
            &["__name__=target_info,b=c 9640..9940 x1", "__name__=a 9640..9940 x1"],
        );
    }
}
