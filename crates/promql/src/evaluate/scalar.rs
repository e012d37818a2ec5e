//! Numbers at steps.

use norn_base::Result;
use norn_model::Labels;

use super::column::{Column, Steps};
use super::run::Run;
use super::{Evaluating, Series, Sink, stream as stream_vector};
use crate::kernels::binary::scalar_operation;
use crate::plan::duration::{go_max, go_min};
use crate::plan::node::{Scalar, Vector};

/// One number at each step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ScalarColumn {
    /// The same at all steps.
    Constant(f64),
    /// One for each step.
    Steps(Vec<f64>),
}

impl ScalarColumn {
    #[inline]
    pub(crate) fn at(&self, step: usize) -> f64 {
        match self {
            Self::Constant(value) => *value,
            Self::Steps(values) => values[step],
        }
    }

    /// All distinct positions: one for a constant, else one for each step.
    pub(crate) fn values(&self) -> &[f64] {
        match self {
            Self::Constant(value) => std::slice::from_ref(value),
            Self::Steps(values) => values,
        }
    }

    fn map(mut self, map: impl Fn(f64) -> f64) -> Self {
        match &mut self {
            Self::Constant(value) => *value = map(*value),
            Self::Steps(values) => values.iter_mut().for_each(|value| *value = map(*value)),
        }
        self
    }

    fn zip(self, other: &Self, combine: impl Fn(f64, f64) -> f64) -> Self {
        match (self, other) {
            (Self::Constant(left), Self::Constant(right)) => Self::Constant(combine(left, *right)),
            (Self::Constant(left), Self::Steps(right)) => {
                Self::Steps(right.iter().map(|right| combine(left, *right)).collect())
            }
            (Self::Steps(mut left), right) => {
                for (step, left) in left.iter_mut().enumerate() {
                    *left = combine(*left, right.at(step));
                }
                Self::Steps(left)
            }
        }
    }
}

/// Evaluates a scalar at all steps.
pub(crate) fn scalar<'a>(run: &'a mut Run<'_>, node: &'a Scalar, steps: Steps) -> Evaluating<'a, ScalarColumn> {
    Box::pin(async move {
        Ok(match node {
            Scalar::Constant(value) => ScalarColumn::Constant(*value),
            Scalar::Time => {
                ScalarColumn::Steps((0..steps.count).map(|step| steps.time_ms(step) as f64 / 1000.0).collect())
            }
            Scalar::Negate(inner) => scalar(run, inner, steps).await?.map(|value| -value),
            Scalar::Binary { op, left, right } => {
                let left = scalar(run, left, steps).await?;
                left.zip(&scalar(run, right, steps).await?, |left, right| scalar_operation(*op, left, right))
            }
            Scalar::MinOf(left, right) => {
                let left = scalar(run, left, steps).await?;
                left.zip(&scalar(run, right, steps).await?, go_min)
            }
            Scalar::MaxOf(left, right) => {
                let left = scalar(run, left, steps).await?;
                left.zip(&scalar(run, right, steps).await?, go_max)
            }
            Scalar::OfVector(input) => of_vector(run, input, steps).await?,
        })
    })
}

/// Evaluates several scalars.
pub(crate) async fn scalars(run: &mut Run<'_>, nodes: &[Scalar], steps: Steps) -> Result<Vec<ScalarColumn>> {
    let mut columns = Vec::with_capacity(nodes.len());
    for node in nodes {
        columns.push(scalar(run, node, steps).await?);
    }
    Ok(columns)
}

/// Writes the values that several scalars have at a step.
#[inline]
pub(crate) fn values_at(columns: &[ScalarColumn], step: usize, values: &mut [f64]) {
    for (value, column) in values.iter_mut().zip(columns) {
        *value = column.at(step);
    }
}

/// The only float at each step; NaN where there is none, or more than one.
struct OnlyFloat {
    values: Vec<f64>,
    floats: Vec<u8>,
}

impl Sink for OnlyFloat {
    fn series(&mut self, run: &mut Run<'_>, series: Series<'_>) -> Result<()> {
        series.column.for_each_float(|step, value| {
            self.floats[step] = self.floats[step].saturating_add(1);
            self.values[step] = if self.floats[step] == 1 { value } else { f64::NAN };
        });
        run.work(self.values.len())
    }
}

async fn of_vector(run: &mut Run<'_>, input: &Vector, steps: Steps) -> Result<ScalarColumn> {
    let mut only = OnlyFloat { values: vec![f64::NAN; steps.count], floats: vec![0; steps.count] };
    stream_vector(run, input, steps, &mut only).await?;
    Ok(ScalarColumn::Steps(only.values))
}

/// `vector(s)`: one series without labels.
pub(super) async fn stream(run: &mut Run<'_>, node: &Scalar, steps: Steps, sink: &mut dyn Sink) -> Result<()> {
    let values = scalar(run, node, steps).await?;
    let mut column = Column::default();
    column.fill(steps, 0.0);
    for step in 0..steps.count {
        column.values[step] = values.at(step);
    }
    sink.series(run, Series { labels: &Labels::empty(), metric_name: "", drop_name: false, column: &mut column })
}
