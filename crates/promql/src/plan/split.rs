//! Cuts a plan into parts that each shard of the series can answer on its own, and what remains to be done with the
//! answers.
//!
//! A part is an aggregation whose states merge, or a piece of the plan that looks at one series at a time; it may lie
//! anywhere, below a subquery too, where it has other steps than the query. A plan is only cut where its parts cover
//! all selectors, so that whoever puts the answers together needs no store. Operations that have to see all series at
//! once, such as the check for equal label sets, are never below a cut.

use foldhash::{HashMap, HashMapExt};

use super::node::{Aggregate, Choose, RangeCall, RangeSource, Root, Scalar, Subquery, Vector};
use crate::evaluate::column::Steps;
use crate::evaluate::range::subquery_steps;
use crate::tree::AggregateOp;

/// A plan in parts.
#[derive(Debug)]
pub(crate) struct Split {
    /// The plan with [`Vector::Part`] in the place of each part.
    pub(crate) outer: Root,
    /// The parts.
    pub(crate) cuts: Vec<Cut>,
}

/// A part.
#[derive(Debug)]
pub(crate) struct Cut {
    pub(crate) steps: Steps,
    pub(crate) kind: CutKind,
}

/// What a part answers with.
#[derive(Debug)]
pub(crate) enum CutKind {
    /// States of groups, to be merged.
    Groups(Box<Aggregate>),
    /// Series, to be put one after the other.
    Series(Vector),
}

/// Cuts a plan; `None` where that is not possible, or not worth it.
pub(crate) fn split(root: &Root, steps: Steps) -> Option<Split> {
    let mut cutter = Cutter { cuts: Vec::new(), shared: HashMap::new() };
    let outer = match root {
        Root::Vector(vector) if is_per_series(vector) => {
            Root::Vector(cutter.part(steps, CutKind::Series(vector.clone())))
        }
        Root::Vector(vector) => Root::Vector(cutter.vector(vector, steps)?),
        Root::Scalar(scalar) => Root::Scalar(cutter.scalar(scalar, steps)?),
        Root::Matrix(_) | Root::String(_) => return None,
    };
    (!cutter.cuts.is_empty()).then_some(Split { outer, cuts: cutter.cuts })
}

struct Cutter {
    cuts: Vec<Cut>,
    /// What has become of vectors that occur more than once.
    shared: HashMap<(usize, Steps), Vector>,
}

impl Cutter {
    fn part(&mut self, steps: Steps, kind: CutKind) -> Vector {
        self.cuts.push(Cut { steps, kind });
        Vector::Part(self.cuts.len() - 1)
    }

    /// The plan of a vector with parts in it.
    fn vector(&mut self, vector: &Vector, steps: Steps) -> Option<Vector> {
        if steps.count == 0 {
            return None;
        }
        let mut vector = vector.clone();
        match &mut vector {
            Vector::Selector(_) | Vector::AbsentOverTime { .. } | Vector::Info(_) | Vector::Part(_) => return None,
            Vector::Shared { id, input } => return self.shared(*id, input, steps),
            Vector::Aggregate(aggregate) => return self.aggregate(aggregate, steps),
            Vector::Choose(choose) => return self.choose(choose, steps),
            Vector::RangeCall(call) => self.range_call(call, steps)?,
            Vector::CountValues(count) => count.input = self.vector_or_series(&count.input, steps)?,
            Vector::Map(map) => {
                map.input = self.vector(&map.input, steps)?;
                self.scalars(&mut map.parameters, steps)?;
            }
            Vector::ScalarSide(side) => {
                side.input = self.vector(&side.input, steps)?;
                side.scalar = self.scalar(&side.scalar, steps)?;
            }
            Vector::Match(matched) => {
                matched.left = self.vector(&matched.left, steps)?;
                matched.right = self.vector(&matched.right, steps)?;
            }
            Vector::Set(set) => {
                set.left = self.vector(&set.left, steps)?;
                set.right = self.vector(&set.right, steps)?;
            }
            Vector::Histogram(call) => {
                if !call.kind.scalars().all(is_free) {
                    return None;
                }
                call.input = self.vector(&call.input, steps)?;
            }
            Vector::FromScalar(scalar) => *scalar = self.scalar(scalar, steps)?,
            Vector::Relabel(relabel) => relabel.input = self.vector(&relabel.input, steps)?,
            Vector::Sort(sort) => sort.input = self.vector(&sort.input, steps)?,
            Vector::Invariant(input) => **input = self.vector(input, Steps::single(steps.start_ms))?,
            Vector::StepTime { input, .. }
            | Vector::Negate { input, .. }
            | Vector::Absent { input, .. }
            | Vector::Distinct(input) => **input = self.vector(input, steps)?,
        }
        Some(vector)
    }

    fn shared(&mut self, id: usize, input: &Vector, steps: Steps) -> Option<Vector> {
        if let Some(known) = self.shared.get(&(id, steps)) {
            return Some(known.clone());
        }
        let input = Box::new(self.vector(input, steps)?);
        let shared = Vector::Shared { id, input };
        self.shared.insert((id, steps), shared.clone());
        Some(shared)
    }

    /// Series as they are, where nothing less will do.
    fn vector_or_series(&mut self, vector: &Vector, steps: Steps) -> Option<Vector> {
        if is_per_series(vector) {
            return Some(self.part(steps, CutKind::Series(vector.clone())));
        }
        self.vector(vector, steps)
    }

    fn aggregate(&mut self, aggregate: &Aggregate, steps: Steps) -> Option<Vector> {
        let mut aggregate = aggregate.clone();
        if let Some((parameter, _)) = &mut aggregate.parameter {
            *parameter = self.scalar(parameter, steps)?;
        }
        if aggregate.op == AggregateOp::Quantile {
            aggregate.input = self.vector_or_series(&aggregate.input, steps)?;
        } else if is_per_series(&aggregate.input) {
            return Some(self.part(steps, CutKind::Groups(Box::new(aggregate))));
        } else {
            aggregate.input = self.vector(&aggregate.input, steps)?;
        }
        Some(Vector::Aggregate(Box::new(aggregate)))
    }

    /// The best of all are among the best of each shard.
    fn choose(&mut self, choose: &Choose, steps: Steps) -> Option<Vector> {
        let mut choose = choose.clone();
        if !is_free(&choose.parameter) {
            return None;
        }
        choose.input = if is_per_series(&choose.input) {
            self.part(steps, CutKind::Series(Vector::Choose(Box::new(choose.clone()))))
        } else {
            self.vector(&choose.input, steps)?
        };
        Some(Vector::Choose(Box::new(choose)))
    }

    fn range_call(&mut self, call: &mut RangeCall, steps: Steps) -> Option<()> {
        let RangeSource::Subquery(subquery) = &mut call.source else { return None };
        let inner = subquery_steps(subquery, steps);
        let Subquery { input, .. } = &mut **subquery;
        *input = self.vector(input, inner)?;
        self.scalars(&mut call.parameters, steps)
    }

    fn scalars(&mut self, scalars: &mut [Scalar], steps: Steps) -> Option<()> {
        for scalar in scalars {
            *scalar = self.scalar(scalar, steps)?;
        }
        Some(())
    }

    fn scalar(&mut self, scalar: &Scalar, steps: Steps) -> Option<Scalar> {
        let mut scalar = scalar.clone();
        match &mut scalar {
            Scalar::Constant(_) | Scalar::Time => {}
            Scalar::Negate(inner) => **inner = self.scalar(inner, steps)?,
            Scalar::Binary { left, right, .. } | Scalar::MinOf(left, right) | Scalar::MaxOf(left, right) => {
                **left = self.scalar(left, steps)?;
                **right = self.scalar(right, steps)?;
            }
            Scalar::OfVector(input) => **input = self.vector(input, steps)?,
        }
        Some(scalar)
    }
}

/// Whether a scalar reads no series.
fn is_free(scalar: &Scalar) -> bool {
    match scalar {
        Scalar::Constant(_) | Scalar::Time => true,
        Scalar::Negate(inner) => is_free(inner),
        Scalar::Binary { left, right, .. } | Scalar::MinOf(left, right) | Scalar::MaxOf(left, right) => {
            is_free(left) && is_free(right)
        }
        Scalar::OfVector(_) => false,
    }
}

/// Whether a vector looks at one series of the store at a time, so that parts of the series give parts of the result.
fn is_per_series(vector: &Vector) -> bool {
    match vector {
        Vector::Selector(_) => true,
        Vector::RangeCall(call) => {
            let source = match &call.source {
                RangeSource::Selector { .. } => true,
                RangeSource::Subquery(subquery) => is_per_series(&subquery.input),
            };
            source && call.parameters.iter().all(is_free)
        }
        Vector::Map(map) => is_per_series(&map.input) && map.parameters.iter().all(is_free),
        Vector::ScalarSide(side) => is_per_series(&side.input) && is_free(&side.scalar),
        Vector::StepTime { input, .. } | Vector::Negate { input, .. } | Vector::Invariant(input) => {
            is_per_series(input)
        }
        _ => false,
    }
}
