//! norn's own metrics as samples like any others.

use norn_model::labels::{LabelsBuilder, METRIC_NAME};
use norn_model::sample::Sample;
use norn_model::write::WriteBatch;
use norn_server::telemetry::OwnSample;

/// The label `job` of norn's own series.
pub const JOB: &str = "norn";

/// Turns what the process knows of itself into a batch. `instance` tells processes apart.
pub fn batch_of(samples: &[OwnSample], instance: &str, timestamp_ms: i64) -> WriteBatch {
    let mut batch = WriteBatch::default();
    for sample in samples {
        let mut builder = LabelsBuilder::default();
        for (name, value) in &sample.labels {
            builder.set(name, value);
        }
        builder.set("job", JOB).set("instance", instance);
        if builder.get(METRIC_NAME).is_some() {
            let labels = builder.build();
            batch.push_series(labels.as_ref(), 0).sample(Sample { timestamp_ms, value: sample.value });
        }
    }
    batch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_gets_job_and_instance() {
        let labels =
            vec![(METRIC_NAME.to_owned(), "norn_build_info".to_owned()), ("version".to_owned(), "1".to_owned())];
        let batch = batch_of(&[OwnSample { labels, value: 1.0 }], "host:1", 7);
        let series = batch.series(0);
        assert_eq!((series.labels.get("job"), series.labels.get("instance")), (Some("norn"), Some("host:1")));
        assert_eq!(series.samples, [Sample { timestamp_ms: 7, value: 1.0 }]);
    }
}
