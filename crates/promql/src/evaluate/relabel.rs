//! `label_replace` and `label_join`: functions of label sets alone.

use norn_base::Result;
use norn_model::Labels;
use norn_model::labels::{LabelsBuilder, METRIC_NAME};

use super::column::Steps;
use super::run::Run;
use super::{Series, Sink, stream as stream_vector};
use crate::plan::node::{Relabel, RelabelKind};

struct RelabelSink<'a> {
    relabel: &'a Relabel,
    sink: &'a mut dyn Sink,
}

pub(super) async fn stream(run: &mut Run<'_>, relabel: &Relabel, steps: Steps, sink: &mut dyn Sink) -> Result<()> {
    stream_vector(run, &relabel.input, steps, &mut RelabelSink { relabel, sink }).await
}

impl Sink for RelabelSink<'_> {
    fn series(&mut self, run: &mut Run<'_>, series: Series<'_>) -> Result<()> {
        let Some(value) = new_value(&self.relabel.kind, series.labels) else {
            return self.sink.series(run, series);
        };
        let destination = self.relabel.destination.as_str();
        let mut builder = LabelsBuilder::from(series.labels);
        let labels = builder.set(destination, &value).build();
        // A name that was written now is no longer the one that was to go.
        let names_metric = destination == METRIC_NAME;
        let drop_name = series.drop_name && !names_metric;
        let metric_name = if names_metric { value.as_str() } else { series.metric_name };
        self.sink.series(run, Series { labels: &labels, metric_name, drop_name, ..series })
    }
}

/// The value of the destination label; `None` where it stays as it is.
fn new_value(kind: &RelabelKind, labels: &Labels) -> Option<String> {
    let get = |name: &String| labels.get(name).unwrap_or("");
    match kind {
        RelabelKind::Replace { source, regex, replacement } => regex.expand(get(source), replacement),
        RelabelKind::Join { sources, separator } => Some(sources.iter().map(get).collect::<Vec<_>>().join(separator)),
    }
}
