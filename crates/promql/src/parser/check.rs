//! Types, numbers of arguments, and what else a grammar cannot say.
//!
//! The order of the checks is Prometheus': it decides which of several mistakes is shown.
//!
//! Source: Prometheus `promql/parser/parse.go`, `checkAST`.

use norn_gotext::quote::quote;
use norn_model::Matcher;
use norn_model::labels::METRIC_NAME;

use crate::functions::Function;
use crate::parse_error::ParseError;
use crate::tree::{
    Aggregate, AggregateOp, Binary, Call, Cardinality, Expr, ExprKind, Position, ValueType, VectorSelector,
};

/// Checks a tree, and sets in it what only the types decide: how the sides of operators are matched.
pub(super) fn check(text: &str, expr: &mut Expr) -> Result<ValueType, ParseError> {
    Checker { text }.check(expr)
}

struct Checker<'a> {
    text: &'a str,
}

impl Checker<'_> {
    fn check(&self, expr: &mut Expr) -> Result<ValueType, ParseError> {
        let position = expr.position;
        match &mut expr.kind {
            ExprKind::Number(_) | ExprKind::Duration(_) => Ok(ValueType::Scalar),
            ExprKind::String(_) => Ok(ValueType::String),
            ExprKind::Vector(selector) => {
                self.selector(selector, position)?;
                Ok(ValueType::Vector)
            }
            ExprKind::Matrix(matrix) => {
                self.selector(&matrix.selector, matrix.selector_position)?;
                Ok(ValueType::Matrix)
            }
            ExprKind::Subquery(subquery) => match self.check(&mut subquery.expr)? {
                ValueType::Vector => Ok(ValueType::Matrix),
                other => {
                    let found = other.name();
                    Err(self
                        .error(position, format!("subquery is only allowed on instant vector, got {found} instead")))
                }
            },
            ExprKind::Paren(inner) => self.check(inner),
            ExprKind::Unary { expr: inner, .. } => match self.check(inner)? {
                value_type @ (ValueType::Scalar | ValueType::Vector) => Ok(value_type),
                other => Err(self.error(
                    position,
                    format!(
                        "unary expression only allowed on expressions of type scalar or instant vector, got {}",
                        quote(other.documented())
                    ),
                )),
            },
            ExprKind::Call(call) => self.call(call, position),
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate),
            ExprKind::Binary(binary) => self.binary(binary, position),
        }
    }

    fn selector(&self, selector: &VectorSelector, position: Position) -> Result<(), ParseError> {
        for matchers in std::iter::once(&selector.matchers).chain(&selector.alternatives) {
            self.matchers(&selector.name, matchers, position)?;
        }
        Ok(())
    }

    fn matchers(&self, name: &str, matchers: &[Matcher], position: Position) -> Result<(), ParseError> {
        if name.is_empty() {
            if matchers.iter().any(|matcher| !matcher.matches_empty()) {
                return Ok(());
            }
            return Err(self.error(position, "vector selector must contain at least one non-empty matcher"));
        }
        // The last matcher is the one for the name before the braces.
        let inside = matchers.split_last().map_or(&[][..], |(_, inside)| inside);
        match inside.iter().find(|matcher| matcher.name() == METRIC_NAME) {
            None => Ok(()),
            Some(second) => {
                let (first, second) = (quote(name), quote(second.value()));
                Err(self.error(position, format!("metric name must not be set twice: {first} or {second}")))
            }
        }
    }

    fn aggregate(&self, aggregate: &mut Aggregate) -> Result<ValueType, ParseError> {
        self.expect_type(&mut aggregate.expr, ValueType::Vector, "aggregation expression")?;
        if let Some(parameter) = &mut aggregate.parameter {
            let wanted = if aggregate.op == AggregateOp::CountValues { ValueType::String } else { ValueType::Scalar };
            self.expect_type(parameter, wanted, "aggregation parameter")?;
        }
        Ok(ValueType::Vector)
    }

    fn expect_type(&self, expr: &mut Expr, wanted: ValueType, context: &str) -> Result<(), ParseError> {
        let found = self.check(expr)?;
        if found == wanted {
            return Ok(());
        }
        let (wanted, found) = (wanted.documented(), found.documented());
        Err(self.error(expr.position, format!("expected type {wanted} in {context}, got {found}")))
    }

    fn call(&self, call: &mut Call, position: Position) -> Result<ValueType, ParseError> {
        let function = call.function;
        self.argument_count(function, call.arguments.len(), position)?;
        let is_info = function.name == "info";
        if let Some(labels) = call.arguments.get(1).filter(|_| is_info) {
            self.info_labels(labels, position)?;
        }
        for (index, argument) in call.arguments.iter_mut().enumerate() {
            let declared = function.arguments.get(index).or(function.arguments.last());
            let Some(wanted) = declared else { break };
            // `info` may be asked for all labels: its second argument need not be selective.
            let found = match &argument.kind {
                ExprKind::Vector(_) if is_info && index == 1 => ValueType::Vector,
                _ => self.check(argument)?,
            };
            if found != *wanted {
                let (wanted, found, name) = (wanted.documented(), found.documented(), function.name);
                let message = format!("expected type {wanted} in call to function {}, got {found}", quote(name));
                return Err(self.error(argument.position, message));
            }
        }
        Ok(function.returns)
    }

    fn argument_count(&self, function: &Function, count: usize, position: Position) -> Result<(), ParseError> {
        let declared = function.arguments.len();
        let (least, most) = match usize::try_from(function.variadic) {
            Ok(0) => (declared, Some(declared)),
            Ok(extra) => (declared - 1, Some(declared - 1 + extra)),
            Err(_) => (declared - 1, None),
        };
        let (bound, expected) = if count < least {
            ("at least ", least)
        } else if let Some(most) = most.filter(|most| count > *most) {
            ("at most ", most)
        } else {
            return Ok(());
        };
        let bound = if function.variadic == 0 { "" } else { bound };
        let name = quote(function.name);
        Err(self.error(position, format!("expected {bound}{expected} argument(s) in call to {name}, got {count}")))
    }

    fn info_labels(&self, labels: &Expr, position: Position) -> Result<(), ParseError> {
        let found = labels.value_type();
        if found != ValueType::Vector {
            let (wanted, found) = (ValueType::Vector.documented(), found.documented());
            let message = format!("expected type {wanted} in call to function \"info\", got {found}");
            return Err(self.error(position, message));
        }
        match &labels.kind {
            ExprKind::Vector(selector) if selector.name.is_empty() => Ok(()),
            ExprKind::Vector(_) => {
                Err(self.error(labels.position, "expected label selectors only, got vector selector instead"))
            }
            _ => Err(self.error(labels.position, "expected label selectors only")),
        }
    }

    fn binary(&self, binary: &mut Binary, position: Position) -> Result<ValueType, ParseError> {
        let left = self.check(&mut binary.left)?;
        let right = self.check(&mut binary.right)?;
        let types = (left, right);
        self.comparison(binary, types)?;
        self.no_label_twice(binary)?;
        for (side, found) in [(&binary.left, left), (&binary.right, right)] {
            if !matches!(found, ValueType::Scalar | ValueType::Vector) {
                let message = "binary expression must contain only scalar and instant vector types";
                return Err(self.error(side.position, message));
            }
        }
        if types == (ValueType::Vector, ValueType::Vector) {
            self.set_operator(binary, position)?;
        } else {
            self.no_matching(binary, position)?;
        }
        let is_scalar = types == (ValueType::Scalar, ValueType::Scalar);
        Ok(if is_scalar { ValueType::Scalar } else { ValueType::Vector })
    }

    fn comparison(&self, binary: &Binary, types: (ValueType, ValueType)) -> Result<(), ParseError> {
        let is_comparison = binary.op.is_comparison();
        if binary.returns_bool && !is_comparison {
            let message = "bool modifier can only be used on comparison operators";
            return Err(self.error(binary.op_position, message));
        }
        if is_comparison && !binary.returns_bool && types == (ValueType::Scalar, ValueType::Scalar) {
            let message = "comparisons between scalars must use BOOL modifier";
            return Err(self.error(binary.op_position, message));
        }
        Ok(())
    }

    fn no_label_twice(&self, binary: &Binary) -> Result<(), ParseError> {
        let Some(matching) = binary.matching.as_ref().filter(|matching| matching.on) else { return Ok(()) };
        match matching.labels.iter().find(|label| matching.include.contains(label)) {
            None => Ok(()),
            Some(label) => {
                let message = format!("label {} must not occur in ON and GROUP clause at once", quote(label));
                Err(self.error(binary.op_position, message))
            }
        }
    }

    /// Both sides are vectors.
    fn set_operator(&self, binary: &mut Binary, position: Position) -> Result<(), ParseError> {
        let Some(matching) = binary.matching.as_mut().filter(|_| binary.op.is_set()) else { return Ok(()) };
        if matching.cardinality != Cardinality::OneToOne {
            let name = quote(binary.op.symbol());
            return Err(self.error(position, format!("no grouping allowed for {name} operation")));
        }
        if matching.fill_left.is_some() || matching.fill_right.is_some() {
            return Err(self.error(position, "filling in missing series not allowed for set operators"));
        }
        matching.cardinality = Cardinality::ManyToMany;
        Ok(())
    }

    /// At least one side is a scalar.
    fn no_matching(&self, binary: &mut Binary, position: Position) -> Result<(), ParseError> {
        if let Some(matching) = binary.matching.take() {
            if !matching.labels.is_empty() {
                return Err(self.error(position, "vector matching only allowed between instant vectors"));
            }
            if matching.fill_left.is_some() || matching.fill_right.is_some() {
                let message = "filling in missing series only allowed between instant vectors";
                return Err(self.error(position, message));
            }
        }
        if binary.op.is_set() {
            let name = quote(binary.op.symbol());
            let message = format!("set operator {name} not allowed in binary scalar expression");
            return Err(self.error(position, message));
        }
        Ok(())
    }

    fn error(&self, position: Position, message: impl Into<String>) -> ParseError {
        ParseError::new(self.text, position, message)
    }
}
