//! The parts of a plan in order, with the steps at which each is evaluated.

use super::node::{Aggregate, HistogramCall, RangeSource, Root, Scalar, Vector};
use crate::evaluate::column::Steps;
use crate::evaluate::range::subquery_steps;

/// A part of a plan.
#[derive(Debug, Clone, Copy)]
pub(super) enum Node<'a> {
    Vector(&'a Vector),
    Scalar(&'a Scalar),
    Range(&'a RangeSource),
}

/// Calls `visit` with all parts, their depth and their steps; parents come first. What is below a part that `visit`
/// answers with `false` is left out. Cost: no recursion, whatever the plan's depth.
pub(super) fn visit<'a>(root: &'a Root, steps: Steps, mut visit: impl FnMut(Node<'a>, usize, Steps) -> bool) {
    let root = match root {
        Root::Scalar(scalar) => Node::Scalar(scalar),
        Root::Vector(vector) => Node::Vector(vector),
        Root::Matrix(source) => Node::Range(source),
        Root::String(_) => return,
    };
    let mut pending = vec![(root, 0, steps)];
    while let Some((node, depth, steps)) = pending.pop() {
        if visit(node, depth, steps) {
            let below = steps_below(node, steps);
            pending.extend(children(node).into_iter().rev().map(|child| (child, depth + 1, below)));
        }
    }
}

/// The steps of what lies directly below a part.
fn steps_below(node: Node<'_>, steps: Steps) -> Steps {
    match node {
        Node::Vector(Vector::Invariant(_)) => Steps::single(steps.start_ms),
        Node::Range(RangeSource::Subquery(subquery)) if steps.count > 0 => subquery_steps(subquery, steps),
        _ => steps,
    }
}

fn children(node: Node<'_>) -> Vec<Node<'_>> {
    match node {
        Node::Vector(vector) => children_of_vector(vector),
        Node::Scalar(scalar) => match scalar {
            Scalar::Constant(_) | Scalar::Time => Vec::new(),
            Scalar::Negate(inner) => vec![Node::Scalar(inner)],
            Scalar::Binary { left, right, .. } | Scalar::MinOf(left, right) | Scalar::MaxOf(left, right) => {
                vec![Node::Scalar(left), Node::Scalar(right)]
            }
            Scalar::OfVector(input) => vec![Node::Vector(input)],
        },
        Node::Range(RangeSource::Selector { .. }) => Vec::new(),
        Node::Range(RangeSource::Subquery(subquery)) => vec![Node::Vector(&subquery.input)],
    }
}

fn children_of_vector(vector: &Vector) -> Vec<Node<'_>> {
    let with_scalars = |input, scalars: &mut dyn Iterator<Item = _>| {
        let mut children = vec![input];
        children.extend(scalars.map(Node::Scalar));
        children
    };
    match vector {
        Vector::Selector(_) | Vector::Part(_) => Vec::new(),
        Vector::RangeCall(call) => with_scalars(Node::Range(&call.source), &mut call.parameters.iter()),
        Vector::Map(map) => with_scalars(Node::Vector(&map.input), &mut map.parameters.iter()),
        Vector::ScalarSide(side) => vec![Node::Vector(&side.input), Node::Scalar(&side.scalar)],
        Vector::Match(matched) => vec![Node::Vector(&matched.left), Node::Vector(&matched.right)],
        Vector::Set(set) => vec![Node::Vector(&set.left), Node::Vector(&set.right)],
        Vector::Aggregate(aggregate) => {
            let Aggregate { input, parameter, .. } = &**aggregate;
            with_scalars(Node::Vector(input), &mut parameter.iter().map(|parameter| &parameter.0))
        }
        Vector::Choose(choose) => vec![Node::Vector(&choose.input), Node::Scalar(&choose.parameter)],
        Vector::Histogram(call) => {
            let HistogramCall { input, kind, .. } = &**call;
            with_scalars(Node::Vector(input), &mut kind.scalars())
        }
        Vector::CountValues(count) => vec![Node::Vector(&count.input)],
        Vector::Relabel(relabel) => vec![Node::Vector(&relabel.input)],
        Vector::Sort(sort) => vec![Node::Vector(&sort.input)],
        Vector::Info(info) => vec![Node::Vector(&info.input)],
        Vector::FromScalar(scalar) => vec![Node::Scalar(scalar)],
        Vector::AbsentOverTime { source, .. } => vec![Node::Range(source)],
        Vector::StepTime { input, .. }
        | Vector::Negate { input, .. }
        | Vector::Absent { input, .. }
        | Vector::Shared { input, .. }
        | Vector::Invariant(input)
        | Vector::Distinct(input) => vec![Node::Vector(input)],
    }
}
