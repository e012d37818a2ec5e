//! OTLP metrics from their wire format; strings are borrowed from the body.

use std::borrow::Cow;

use super::{
    AnyValue, Buckets, Exemplar, ExplicitHistogram, ExplicitPoint, ExponentialHistogram, ExponentialPoint, Gauge,
    KeyValue, Metric, MetricsRequest, NumberPoint, QuantileValue, Resource, ResourceMetrics, Scope, ScopeMetrics, Sum,
    Summary, SummaryPoint, Temporality,
};
use crate::wire::{Field, Reader, WireError};

/// Values nest at most this deep; deeper ones are refused, so that a body cannot exhaust the stack.
const VALUE_DEPTH_MAX: usize = 64;

/// Decodes a whole request.
pub fn decode(body: &[u8]) -> Result<MetricsRequest<'_>, WireError> {
    let mut request = MetricsRequest::default();
    each_field(body, |field| {
        if field.number == 1 {
            request.resource_metrics.push(resource_metrics(field.bytes()?)?);
        }
        Ok(())
    })?;
    Ok(request)
}

fn each_field<'a>(
    message: &'a [u8],
    mut visit: impl FnMut(Field<'a>) -> Result<(), WireError>,
) -> Result<(), WireError> {
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next_field()? {
        visit(field)?;
    }
    Ok(())
}

fn text<'a>(field: Field<'a>) -> Result<Cow<'a, str>, WireError> {
    field.text().map(Cow::Borrowed)
}

fn resource_metrics(message: &[u8]) -> Result<ResourceMetrics<'_>, WireError> {
    let mut metrics = ResourceMetrics::default();
    each_field(message, |field| {
        match field.number {
            1 => metrics.resource = resource(field.bytes()?)?,
            2 => metrics.scope_metrics.push(scope_metrics(field.bytes()?)?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(metrics)
}

fn resource(message: &[u8]) -> Result<Resource<'_>, WireError> {
    let mut resource = Resource::default();
    each_field(message, |field| {
        if field.number == 1 {
            resource.attributes.push(key_value(field.bytes()?, 0)?);
        }
        Ok(())
    })?;
    Ok(resource)
}

fn scope_metrics(message: &[u8]) -> Result<ScopeMetrics<'_>, WireError> {
    let mut metrics = ScopeMetrics::default();
    each_field(message, |field| {
        match field.number {
            1 => metrics.scope = scope(field.bytes()?)?,
            2 => metrics.metrics.push(metric(field.bytes()?)?),
            3 => metrics.schema_url = text(field)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(metrics)
}

fn scope(message: &[u8]) -> Result<Scope<'_>, WireError> {
    let mut scope = Scope::default();
    each_field(message, |field| {
        match field.number {
            1 => scope.name = text(field)?,
            2 => scope.version = text(field)?,
            3 => scope.attributes.push(key_value(field.bytes()?, 0)?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(scope)
}

fn metric(message: &[u8]) -> Result<Metric<'_>, WireError> {
    let mut metric = Metric::default();
    each_field(message, |field| {
        match field.number {
            1 => metric.name = text(field)?,
            2 => metric.description = text(field)?,
            3 => metric.unit = text(field)?,
            5 => metric.gauge = Some(gauge(field.bytes()?)?),
            7 => metric.sum = Some(sum(field.bytes()?)?),
            9 => metric.histogram = Some(explicit_histogram(field.bytes()?)?),
            10 => metric.exponential_histogram = Some(exponential_histogram(field.bytes()?)?),
            11 => metric.summary = Some(summary(field.bytes()?)?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(metric)
}

fn gauge(message: &[u8]) -> Result<Gauge<'_>, WireError> {
    let mut gauge = Gauge::default();
    each_field(message, |field| {
        if field.number == 1 {
            gauge.data_points.push(number_point(field.bytes()?)?);
        }
        Ok(())
    })?;
    Ok(gauge)
}

fn sum(message: &[u8]) -> Result<Sum<'_>, WireError> {
    let mut sum = Sum::default();
    each_field(message, |field| {
        match field.number {
            1 => sum.data_points.push(number_point(field.bytes()?)?),
            2 => sum.temporality = Temporality::from_number(field.uint64()?),
            3 => sum.is_monotonic = field.boolean()?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(sum)
}

fn explicit_histogram(message: &[u8]) -> Result<ExplicitHistogram<'_>, WireError> {
    let mut histogram = ExplicitHistogram::default();
    each_field(message, |field| {
        match field.number {
            1 => histogram.data_points.push(explicit_point(field.bytes()?)?),
            2 => histogram.temporality = Temporality::from_number(field.uint64()?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(histogram)
}

fn exponential_histogram(message: &[u8]) -> Result<ExponentialHistogram<'_>, WireError> {
    let mut histogram = ExponentialHistogram::default();
    each_field(message, |field| {
        match field.number {
            1 => histogram.data_points.push(exponential_point(field.bytes()?)?),
            2 => histogram.temporality = Temporality::from_number(field.uint64()?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(histogram)
}

fn summary(message: &[u8]) -> Result<Summary<'_>, WireError> {
    let mut summary = Summary::default();
    each_field(message, |field| {
        if field.number == 1 {
            summary.data_points.push(summary_point(field.bytes()?)?);
        }
        Ok(())
    })?;
    Ok(summary)
}

fn number_point(message: &[u8]) -> Result<NumberPoint<'_>, WireError> {
    let mut point = NumberPoint::default();
    each_field(message, |field| {
        match field.number {
            2 => point.start_time_unix_nano = field.fixed64()?,
            3 => point.time_unix_nano = field.fixed64()?,
            4 => (point.as_double, point.as_int) = (Some(field.double()?), None),
            5 => point.exemplars.push(exemplar(field.bytes()?)?),
            6 => (point.as_double, point.as_int) = (None, Some(field.fixed64()?.cast_signed())),
            7 => point.attributes.push(key_value(field.bytes()?, 0)?),
            8 => point.flags = field.uint32()?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(point)
}

fn explicit_point(message: &[u8]) -> Result<ExplicitPoint<'_>, WireError> {
    let mut point = ExplicitPoint::default();
    each_field(message, |field| {
        match field.number {
            2 => point.start_time_unix_nano = field.fixed64()?,
            3 => point.time_unix_nano = field.fixed64()?,
            4 => point.count = field.fixed64()?,
            5 => point.sum = Some(field.double()?),
            6 => field.extend_fixed64(&mut point.bucket_counts, |count| count)?,
            7 => field.extend_fixed64(&mut point.explicit_bounds, f64::from_bits)?,
            8 => point.exemplars.push(exemplar(field.bytes()?)?),
            9 => point.attributes.push(key_value(field.bytes()?, 0)?),
            10 => point.flags = field.uint32()?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(point)
}

fn exponential_point(message: &[u8]) -> Result<ExponentialPoint<'_>, WireError> {
    let mut point = ExponentialPoint::default();
    each_field(message, |field| {
        match field.number {
            1 => point.attributes.push(key_value(field.bytes()?, 0)?),
            2 => point.start_time_unix_nano = field.fixed64()?,
            3 => point.time_unix_nano = field.fixed64()?,
            4 => point.count = field.fixed64()?,
            5 => point.sum = Some(field.double()?),
            6 => point.scale = field.sint32()?,
            7 => point.zero_count = field.fixed64()?,
            8 => point.positive = buckets(field.bytes()?)?,
            9 => point.negative = buckets(field.bytes()?)?,
            10 => point.flags = field.uint32()?,
            11 => point.exemplars.push(exemplar(field.bytes()?)?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(point)
}

fn buckets(message: &[u8]) -> Result<Buckets, WireError> {
    let mut buckets = Buckets::default();
    each_field(message, |field| {
        match field.number {
            1 => buckets.offset = field.sint32()?,
            2 => field.extend_varints(&mut buckets.bucket_counts, |count| count)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(buckets)
}

fn summary_point(message: &[u8]) -> Result<SummaryPoint<'_>, WireError> {
    let mut point = SummaryPoint::default();
    each_field(message, |field| {
        match field.number {
            2 => point.start_time_unix_nano = field.fixed64()?,
            3 => point.time_unix_nano = field.fixed64()?,
            4 => point.count = field.fixed64()?,
            5 => point.sum = field.double()?,
            6 => point.quantile_values.push(quantile_value(field.bytes()?)?),
            7 => point.attributes.push(key_value(field.bytes()?, 0)?),
            8 => point.flags = field.uint32()?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(point)
}

fn quantile_value(message: &[u8]) -> Result<QuantileValue, WireError> {
    let mut value = QuantileValue::default();
    each_field(message, |field| {
        match field.number {
            1 => value.quantile = field.double()?,
            2 => value.value = field.double()?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(value)
}

fn exemplar(message: &[u8]) -> Result<Exemplar<'_>, WireError> {
    let mut exemplar = Exemplar::default();
    each_field(message, |field| {
        match field.number {
            2 => exemplar.time_unix_nano = field.fixed64()?,
            3 => (exemplar.as_double, exemplar.as_int) = (Some(field.double()?), None),
            4 => exemplar.span_id = Cow::Borrowed(field.bytes()?),
            5 => exemplar.trace_id = Cow::Borrowed(field.bytes()?),
            6 => (exemplar.as_double, exemplar.as_int) = (None, Some(field.fixed64()?.cast_signed())),
            7 => exemplar.filtered_attributes.push(key_value(field.bytes()?, 0)?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(exemplar)
}

fn key_value(message: &[u8], depth: usize) -> Result<KeyValue<'_>, WireError> {
    let mut pair = KeyValue::default();
    each_field(message, |field| {
        match field.number {
            1 => pair.key = text(field)?,
            2 => pair.value = any_value(field.bytes()?, depth)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(pair)
}

fn any_value(message: &[u8], depth: usize) -> Result<AnyValue<'_>, WireError> {
    if depth > VALUE_DEPTH_MAX {
        return Err(WireError::TooDeep);
    }
    let mut value = AnyValue::Empty;
    each_field(message, |field| {
        match field.number {
            1 => value = AnyValue::Text(text(field)?),
            2 => value = AnyValue::Bool(field.boolean()?),
            3 => value = AnyValue::Int(field.int64()?),
            4 => value = AnyValue::Double(field.double()?),
            5 => value = list_value(field.bytes()?, depth + 1)?,
            6 => value = map_value(field.bytes()?, depth + 1)?,
            7 => value = AnyValue::Bytes(Cow::Borrowed(field.bytes()?)),
            _ => {}
        }
        Ok(())
    })?;
    Ok(value)
}

fn list_value(message: &[u8], depth: usize) -> Result<AnyValue<'_>, WireError> {
    let mut values = Vec::new();
    each_field(message, |field| {
        if field.number == 1 {
            values.push(any_value(field.bytes()?, depth)?);
        }
        Ok(())
    })?;
    Ok(AnyValue::List(values))
}

fn map_value(message: &[u8], depth: usize) -> Result<AnyValue<'_>, WireError> {
    let mut pairs = Vec::new();
    each_field(message, |field| {
        if field.number == 1 {
            pairs.push(key_value(field.bytes()?, depth)?);
        }
        Ok(())
    })?;
    Ok(AnyValue::Map(pairs))
}
