//! What a single request asks of the frontend beside its query: headers that switch parts of the read path.

use http::{HeaderMap, HeaderName, header};

use crate::querier::SourceChoice;

/// How many shards a request wants; 0 wants none.
const SHARDING_CONTROL: HeaderName = HeaderName::from_static("sharding-control");

/// Which holders of series a request wants to be asked.
const FILTER_QUERYABLES: HeaderName = HeaderName::from_static("x-filter-queryables");

/// What a request asks for. The default is that it asks for nothing special.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadOptions {
    /// Results are neither taken from the cache nor kept.
    pub no_store: bool,
    /// The number of shards; `None` leaves it to the frontend.
    pub shards: Option<u32>,
    /// Who is asked for series.
    pub sources: SourceChoice,
}

impl ReadOptions {
    /// Whether results have to be computed, and are not to be kept: those that were read from a choice of sources are
    /// not what another request expects.
    pub fn keeps_nothing(self) -> bool {
        self.no_store || self.sources != SourceChoice::All
    }

    /// Reads a request's headers. What cannot be read is not asked for, as in the original.
    pub fn of(headers: &HeaderMap) -> Self {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let cache_control = headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
        Self {
            no_store: cache_control.flat_map(|value| value.split(',')).any(|word| word.trim() == "no-store"),
            shards: text(SHARDING_CONTROL).and_then(|value| value.trim().parse().ok()),
            sources: text(FILTER_QUERYABLES).map(sources).unwrap_or_default(),
        }
    }
}

fn sources(list: &str) -> SourceChoice {
    let names = |name: &str| list.split(',').any(|word| word.trim() == name);
    match (names("ingester"), names("store-gateway")) {
        (true, false) => SourceChoice::Ingesters,
        (false, true) => SourceChoice::StoreGateways,
        _ => SourceChoice::All,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_switch_parts_of_the_read_path() {
        let check = |pairs: &[(&'static str, &'static str)], expected: ReadOptions| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, value.parse().unwrap());
            }
            assert_eq!(ReadOptions::of(&headers), expected, "{pairs:?}");
        };
        let default = ReadOptions::default();
        check(&[], default);
        check(&[("cache-control", "no-cache")], default);
        check(&[("cache-control", "max-age=0, no-store")], ReadOptions { no_store: true, ..default });
        check(&[("sharding-control", "0")], ReadOptions { shards: Some(0), ..default });
        check(&[("sharding-control", "-1")], default);
        check(&[("x-filter-queryables", "ingester")], ReadOptions { sources: SourceChoice::Ingesters, ..default });
        let only_store = ReadOptions { sources: SourceChoice::StoreGateways, ..default };
        check(&[("x-filter-queryables", " store-gateway, other")], only_store);
        check(&[("x-filter-queryables", "ingester,store-gateway")], default);
    }
}
