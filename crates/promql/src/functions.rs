//! The table of functions: names, signatures, switches. What they compute stands in the evaluation.

use crate::tree::ValueType;

/// A function's name and signature.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// The name in a query.
    pub name: &'static str,
    /// Types of the arguments.
    pub arguments: &'static [ValueType],
    /// 0: exactly the arguments; n > 0: the last argument may be left out, or be given up to n times; -1: any number of times.
    pub variadic: i8,
    /// The result's type.
    pub returns: ValueType,
    /// Whether it needs experimental functions to be on.
    pub experimental: bool,
}
