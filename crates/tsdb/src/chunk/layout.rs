//! What all histograms of one chunk share: resolution, zero bucket, which buckets there are, custom bounds.
//!
//! ```text
//! ┌──────────────────┬──────────────┬────────────────┬────────────────┬───────────────────────────┐
//! │ zero threshold   │ schema int   │ positive spans │ negative spans │ custom bounds, schema -53 │
//! └──────────────────┴──────────────┴────────────────┴────────────────┴───────────────────────────┘
//! spans:  count uint, (length uint, offset int)*        bounds:  count uint, bound*
//! zero threshold:  byte 0: 0;  1 to 254: 2^(byte - 244);  255: 8 bytes of a float follow
//! bound:  uint of 1 + 1000 times the bound, where that is whole and at most 33,554,430;  else uint 0 and 8 bytes
//! ```
//!
//! The widths of `int` and `uint` are those of [`super::varbit`].
//!
//! Source: Prometheus `tsdb/chunkenc/histogram_meta.go`.

use std::sync::Arc;

use norn_model::histogram::{CUSTOM_BUCKETS_SCHEMA, Span};

use super::bits::{BitEnd, BitReader, OutOfBits};
use super::varbit::{push_int, push_uint, read_int, read_uint};

/// Exponential resolutions; newer ones could come, and are refused by name.
const SCHEMAS: std::ops::RangeInclusive<i64> = -4..=8;

/// The largest bound, times 1000, that takes at most 4 bytes.
const SHORT_BOUND_MAX: f64 = 33_554_430.0;

/// What all histograms of one chunk share.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layout {
    pub(super) schema: i32,
    pub(super) zero_threshold: f64,
    pub(super) positive_spans: Vec<Span>,
    pub(super) negative_spans: Vec<Span>,
    pub(super) custom_values: Arc<[f64]>,
}

/// Why a layout cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LayoutError {
    OutOfBits,
    Damaged(&'static str),
}

impl From<OutOfBits> for LayoutError {
    fn from(_: OutOfBits) -> Self {
        Self::OutOfBits
    }
}

impl Default for Layout {
    /// The layout that a stale marker has, which says nothing about buckets.
    fn default() -> Self {
        Self {
            schema: 0,
            zero_threshold: 0.0,
            positive_spans: Vec::new(),
            negative_spans: Vec::new(),
            custom_values: Arc::default(),
        }
    }
}

impl Layout {
    pub(super) fn push(&self, bytes: &mut Vec<u8>, end: &mut BitEnd) {
        push_zero_threshold(bytes, end, self.zero_threshold);
        push_int(bytes, end, i64::from(self.schema));
        for spans in [&self.positive_spans, &self.negative_spans] {
            push_uint(bytes, end, spans.len() as u64);
            for span in spans {
                push_uint(bytes, end, u64::from(span.length));
                push_int(bytes, end, i64::from(span.offset));
            }
        }
        if self.schema == CUSTOM_BUCKETS_SCHEMA {
            push_uint(bytes, end, self.custom_values.len() as u64);
            for bound in self.custom_values.iter() {
                push_bound(bytes, end, *bound);
            }
        }
    }

    pub(super) fn read(reader: &mut BitReader<'_>) -> Result<Self, LayoutError> {
        let zero_threshold = read_zero_threshold(reader)?;
        let schema = read_int(reader)?;
        if schema != i64::from(CUSTOM_BUCKETS_SCHEMA) && !SCHEMAS.contains(&schema) {
            return Err(LayoutError::Damaged("the schema is neither -4 to 8 nor -53"));
        }
        let mut layout = Self {
            schema: schema as i32,
            zero_threshold,
            positive_spans: read_spans(reader)?,
            negative_spans: read_spans(reader)?,
            custom_values: Arc::default(),
        };
        if layout.schema == CUSTOM_BUCKETS_SCHEMA {
            layout.custom_values = read_bounds(reader)?.into();
        }
        Ok(layout)
    }
}

fn push_zero_threshold(bytes: &mut Vec<u8>, end: &mut BitEnd, threshold: f64) {
    // A power of two has no bits below its exponent.
    let bits = threshold.to_bits();
    let exponent = (bits >> 52) as i64 - 1023;
    if threshold == 0.0 {
        end.push(bytes, 0, 8);
    } else if bits.trailing_zeros() >= 52 && (-243..=10).contains(&exponent) {
        end.push(bytes, (exponent + 244) as u64, 8);
    } else {
        end.push(bytes, 255, 8);
        end.push(bytes, bits, 64);
    }
}

fn read_zero_threshold(reader: &mut BitReader<'_>) -> Result<f64, OutOfBits> {
    Ok(match reader.read(8)? {
        0 => 0.0,
        255 => f64::from_bits(reader.read(64)?),
        // The exponent's own bits: 2^(code - 244).
        code => f64::from_bits((code + 1023 - 244) << 52),
    })
}

fn read_spans(reader: &mut BitReader<'_>) -> Result<Vec<Span>, LayoutError> {
    let count = read_uint(reader)?;
    // Each takes at least two bits, so a damaged count ends here and not in an allocation.
    if count > reader.remaining() as u64 {
        return Err(LayoutError::OutOfBits);
    }
    let mut spans = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let length = u32::try_from(read_uint(reader)?).map_err(|_| LayoutError::Damaged("a span is too long"))?;
        let offset = i32::try_from(read_int(reader)?).map_err(|_| LayoutError::Damaged("a span is too far away"))?;
        spans.push(Span { offset, length });
    }
    Ok(spans)
}

fn push_bound(bytes: &mut Vec<u8>, end: &mut BitEnd, bound: f64) {
    let thousandfold = bound * 1000.0;
    let whole = thousandfold.round();
    if (0.0..=SHORT_BOUND_MAX).contains(&thousandfold) && whole / 1000.0 == bound {
        push_uint(bytes, end, whole as u64 + 1);
    } else {
        end.push(bytes, 0, 1);
        end.push(bytes, bound.to_bits(), 64);
    }
}

fn read_bounds(reader: &mut BitReader<'_>) -> Result<Vec<f64>, LayoutError> {
    let count = read_uint(reader)?;
    if count > reader.remaining() as u64 {
        return Err(LayoutError::OutOfBits);
    }
    let mut bounds = Vec::with_capacity(count as usize);
    for _ in 0..count {
        bounds.push(match read_uint(reader)? {
            0 => f64::from_bits(reader.read(64)?),
            above => (above - 1) as f64 / 1000.0,
        });
    }
    Ok(bounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_thresholds_take_a_byte_where_they_are_powers_of_two() {
        let check = |threshold: f64, expected: &[u8]| {
            let (mut bytes, mut end) = (Vec::new(), BitEnd::default());
            push_zero_threshold(&mut bytes, &mut end, threshold);
            assert_eq!(bytes[..1], expected[..1], "{threshold:e}");
            assert_eq!(bytes.len(), expected.len(), "{threshold:e}");
            assert_eq!(read_zero_threshold(&mut BitReader::new(&bytes)), Ok(threshold));
        };
        check(0.0, &[0]);
        check(2f64.powi(-128), &[116]);
        check(2f64.powi(-243), &[1]);
        check(2f64.powi(10), &[254]);
        check(2f64.powi(11), &[255; 9]);
        check(2f64.powi(-244), &[255; 9]);
        check(0.001, &[255; 9]);
        check(f64::MIN_POSITIVE / 4.0, &[255; 9]);
    }

    #[test]
    fn short_bounds_are_short() {
        let check = |bound: f64, bytes_expected: usize| {
            let (mut bytes, mut end) = (Vec::new(), BitEnd::default());
            push_uint(&mut bytes, &mut end, 1);
            push_bound(&mut bytes, &mut end, bound);
            assert_eq!(bytes.len(), bytes_expected, "{bound}");
            assert_eq!(read_bounds(&mut BitReader::new(&bytes)), Ok(vec![bound]), "{bound}");
        };
        check(0.0, 2);
        check(0.005, 2);
        check(2.5, 3);
        check(33_554.43, 5);
        check(33_554.431, 9);
        check(0.0005, 9);
        check(-1.0, 9);
        check(f64::INFINITY, 9);
    }

    #[test]
    fn layouts_read_back() {
        let layout = Layout {
            schema: CUSTOM_BUCKETS_SCHEMA,
            zero_threshold: 0.0,
            positive_spans: vec![Span { offset: 0, length: 3 }, Span { offset: 2, length: 70_000 }],
            negative_spans: vec![],
            custom_values: [0.1, 0.25, 1e9].into(),
        };
        let (mut bytes, mut end) = (Vec::new(), BitEnd::default());
        layout.push(&mut bytes, &mut end);
        assert_eq!(Layout::read(&mut BitReader::new(&bytes)), Ok(layout));
        assert_eq!(Layout::read(&mut BitReader::new(&bytes[..10])), Err(LayoutError::OutOfBits));
    }
}
