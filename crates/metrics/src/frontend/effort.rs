//! What a query took, for those who ask with `X-Mimir-Response-Query-Stats: true`.

use std::time::Duration;

use norn_promql::value::{QueryResult, QueryStats};

/// Bytes of a sample as it is handed to the engine: its time and its value.
const SAMPLE_BYTES: u64 = 16;

/// An answer and what it took.
#[derive(Debug, Clone)]
pub struct Answered {
    /// The answer.
    pub result: QueryResult,
    /// What it took.
    pub effort: Effort,
}

/// What a query took in the frontend; what it read stands in [`QueryStats`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Effort {
    /// From the arrival of the query to its result.
    pub wall: Duration,
    /// What its parts waited for their turns, added up.
    pub queued: Duration,
    /// Parts that it was split into by time.
    pub splits: usize,
    /// Parts that were split by series, each counted by its shards.
    pub shards: usize,
    /// Bytes of results that came from the cache.
    pub cache_hit_bytes: u64,
    /// Bytes of results that had to be computed although there is a cache.
    pub cache_miss_bytes: u64,
}

impl Effort {
    /// The value of the header `Server-Timing`. `encoding` is how long the answer took to be written, `bytes` how
    /// long it is. What norn does not count is zero: it estimates no series, and reads samples instead of chunks.
    pub fn server_timing(&self, read: QueryStats, encoding: Duration, bytes: usize) -> String {
        let values = [
            ("encode_time_seconds", "dur", encoding.as_secs_f64().to_string()),
            ("estimated_series_count", "val", "0".to_owned()),
            ("fetched_chunk_bytes", "val", (read.samples * SAMPLE_BYTES).to_string()),
            ("fetched_chunks_count", "val", "0".to_owned()),
            ("fetched_index_bytes", "val", "0".to_owned()),
            ("fetched_series_count", "val", read.series.to_string()),
            ("query_wall_time_seconds", "dur", self.wall.as_secs_f64().to_string()),
            ("queue_time_seconds", "dur", self.queued.as_secs_f64().to_string()),
            ("response_size_bytes", "val", bytes.to_string()),
            ("response_time", "dur", ((self.wall + encoding).as_secs_f64() * 1000.0).to_string()),
            ("results_cache_hit_bytes", "val", self.cache_hit_bytes.to_string()),
            ("results_cache_miss_bytes", "val", self.cache_miss_bytes.to_string()),
            ("sharded_queries", "val", self.shards.to_string()),
            ("split_queries", "val", self.splits.to_string()),
        ];
        values.map(|(name, unit, value)| format!("{name};{unit}={value}")).join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_has_every_value_by_its_name() {
        let effort = Effort { wall: Duration::from_millis(1500), splits: 2, ..Effort::default() };
        let read = QueryStats { series: 3, samples: 10, ..QueryStats::default() };
        let header = effort.server_timing(read, Duration::from_millis(500), 77);
        assert_eq!(
            header,
            "encode_time_seconds;dur=0.5, estimated_series_count;val=0, fetched_chunk_bytes;val=160, \
             fetched_chunks_count;val=0, fetched_index_bytes;val=0, fetched_series_count;val=3, \
             query_wall_time_seconds;dur=1.5, queue_time_seconds;dur=0, response_size_bytes;val=77, \
             response_time;dur=2000, results_cache_hit_bytes;val=0, results_cache_miss_bytes;val=0, \
             sharded_queries;val=0, split_queries;val=2"
        );
    }
}
