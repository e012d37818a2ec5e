//! Running numbers of a histogram: one state each, the same for writing and reading.

use std::fmt::Debug;

use super::super::bits::{BitEnd, BitReader};
use super::super::varbit::{XorReadError, XorWindow, push_int, push_uint, read_int, read_uint};

/// A count, or a bucket, that runs through the samples of a chunk.
pub trait Field: Clone + Default + Debug {
    /// What it counts with.
    type Value: Copy + Default + PartialOrd + Debug;

    /// The least number of bits that a bucket of a chunk's first sample takes.
    const FIRST_BUCKET_BITS: usize;

    /// Writes the first value of a count.
    fn push_total(bytes: &mut Vec<u8>, end: &mut BitEnd, value: Self::Value) -> Self;
    /// Writes the first value of a bucket.
    fn push_bucket(bytes: &mut Vec<u8>, end: &mut BitEnd, value: Self::Value) -> Self;
    /// Writes the next value.
    fn push(&mut self, bytes: &mut Vec<u8>, end: &mut BitEnd, value: Self::Value);
    /// Writes what a count has in a stale marker.
    fn push_stale(&mut self, bytes: &mut Vec<u8>, end: &mut BitEnd);

    /// Reads what [`Field::push_total`] wrote.
    fn read_total(reader: &mut BitReader<'_>) -> Result<Self, XorReadError>;
    /// Reads what [`Field::push_bucket`] wrote.
    fn read_bucket(reader: &mut BitReader<'_>) -> Result<Self, XorReadError>;
    /// Reads what [`Field::push`] or [`Field::push_stale`] wrote.
    fn read(&mut self, reader: &mut BitReader<'_>) -> Result<(), XorReadError>;

    /// The last value.
    fn value(&self) -> Self::Value;
    /// Whether a count that was the last value and is now `next` has fallen.
    fn total_falls(&self, next: Self::Value) -> bool;
    /// Turns buckets as they are stored into counts.
    fn counts_of(stored: impl Iterator<Item = Self::Value>) -> Vec<Self::Value>;
    /// Turns counts into buckets as they are stored.
    fn stored_of(counts: Vec<Self::Value>) -> Vec<Self::Value>;
}

/// An integer, written by how much its step changes.
#[derive(Debug, Clone, Copy, Default)]
pub struct IntField {
    value: i64,
    step: i64,
}

impl IntField {
    /// A value whose first writing is done by the caller.
    pub fn starting_at(value: i64) -> Self {
        Self { value, step: 0 }
    }
}

impl Field for IntField {
    type Value = i64;

    const FIRST_BUCKET_BITS: usize = 1;

    fn push_total(bytes: &mut Vec<u8>, end: &mut BitEnd, value: i64) -> Self {
        push_uint(bytes, end, value as u64);
        Self::starting_at(value)
    }

    fn push_bucket(bytes: &mut Vec<u8>, end: &mut BitEnd, value: i64) -> Self {
        push_int(bytes, end, value);
        Self::starting_at(value)
    }

    fn push(&mut self, bytes: &mut Vec<u8>, end: &mut BitEnd, value: i64) {
        let step = value.wrapping_sub(self.value);
        push_int(bytes, end, step.wrapping_sub(self.step));
        *self = Self { value, step };
    }

    fn push_stale(&mut self, bytes: &mut Vec<u8>, end: &mut BitEnd) {
        push_int(bytes, end, 0);
    }

    fn read_total(reader: &mut BitReader<'_>) -> Result<Self, XorReadError> {
        Ok(Self::starting_at(read_uint(reader)? as i64))
    }

    fn read_bucket(reader: &mut BitReader<'_>) -> Result<Self, XorReadError> {
        Ok(Self::starting_at(read_int(reader)?))
    }

    #[inline]
    fn read(&mut self, reader: &mut BitReader<'_>) -> Result<(), XorReadError> {
        self.step = self.step.wrapping_add(read_int(reader)?);
        self.value = self.value.wrapping_add(self.step);
        Ok(())
    }

    fn value(&self) -> i64 {
        self.value
    }

    fn total_falls(&self, next: i64) -> bool {
        // Totals are unsigned, and only travel as signed ones.
        (next as u64) < self.value as u64
    }

    fn counts_of(stored: impl Iterator<Item = i64>) -> Vec<i64> {
        let sum = |count: &mut i64, difference: i64| {
            *count = count.wrapping_add(difference);
            Some(*count)
        };
        stored.scan(0, sum).collect()
    }

    fn stored_of(mut counts: Vec<i64>) -> Vec<i64> {
        let mut before = 0i64;
        for count in &mut counts {
            let difference = count.wrapping_sub(before);
            before = std::mem::replace(count, difference);
        }
        counts
    }
}

/// A float, written as its difference to the one before.
#[derive(Debug, Clone, Copy)]
pub struct FloatField {
    bits: u64,
    window: XorWindow,
}

impl Default for FloatField {
    fn default() -> Self {
        Self { bits: 0, window: XorWindow::NONE }
    }
}

impl Field for FloatField {
    type Value = f64;

    const FIRST_BUCKET_BITS: usize = 64;

    fn push_total(bytes: &mut Vec<u8>, end: &mut BitEnd, value: f64) -> Self {
        end.push(bytes, value.to_bits(), 64);
        Self { bits: value.to_bits(), window: XorWindow::NONE }
    }

    fn push_bucket(bytes: &mut Vec<u8>, end: &mut BitEnd, value: f64) -> Self {
        Self::push_total(bytes, end, value)
    }

    fn push(&mut self, bytes: &mut Vec<u8>, end: &mut BitEnd, value: f64) {
        self.window.push(bytes, end, self.bits, value.to_bits());
        self.bits = value.to_bits();
    }

    fn push_stale(&mut self, bytes: &mut Vec<u8>, end: &mut BitEnd) {
        self.push(bytes, end, 0.0);
    }

    fn read_total(reader: &mut BitReader<'_>) -> Result<Self, XorReadError> {
        Ok(Self { bits: reader.read(64)?, window: XorWindow::NONE })
    }

    fn read_bucket(reader: &mut BitReader<'_>) -> Result<Self, XorReadError> {
        Self::read_total(reader)
    }

    #[inline]
    fn read(&mut self, reader: &mut BitReader<'_>) -> Result<(), XorReadError> {
        self.bits = self.window.read(reader, self.bits)?;
        Ok(())
    }

    fn value(&self) -> f64 {
        f64::from_bits(self.bits)
    }

    fn total_falls(&self, next: f64) -> bool {
        next < self.value()
    }

    fn counts_of(stored: impl Iterator<Item = f64>) -> Vec<f64> {
        stored.collect()
    }

    fn stored_of(counts: Vec<f64>) -> Vec<f64> {
        counts
    }
}

/// All running numbers of a chunk.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields<F: Field> {
    pub(super) time: IntField,
    pub(super) count: F,
    pub(super) zero_count: F,
    pub(super) sum: FloatField,
    pub(super) positive: Vec<F>,
    pub(super) negative: Vec<F>,
}
