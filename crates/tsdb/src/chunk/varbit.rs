//! Numbers of varying width inside a stream of bits.
//!
//! Integers: a run of ones, ended by a zero, says how many bits follow; the shortest form that fits is used.
//!
//! ```text
//! 0          zero              1111 0       + 12 bits
//! 10         +  3 bits         1111 10      + 18 bits
//! 110        +  6 bits         1111 110     + 25 bits
//! 1110       +  9 bits         1111 1110    + 56 bits
//!                              1111 1111    + 64 bits
//! ```
//!
//! Signed integers of `n` bits reach from `-(2^(n-1) - 1)` to `2^(n-1)`: one step further up than in two's
//! complement, because a one followed by zeros stands for the positive power of two.
//!
//! Floats are written as their difference (exclusive or) to the float before: `0` for the same bits; `10` and the bits
//! inside the window of the last difference; `11`, five bits of leading zeros (at most 31), six bits of window width
//! (0 is 64), and the bits inside this new window.
//!
//! Source: Prometheus `tsdb/chunkenc/varbit.go` and `xor.go`, whose bits these are.

use super::bits::{BitEnd, BitReader, OutOfBits};

/// Bits that follow a prefix of so many ones.
const WIDTHS: [u32; 9] = [0, 3, 6, 9, 12, 18, 25, 56, 64];

/// Appends a signed integer.
pub fn push_int(bytes: &mut Vec<u8>, end: &mut BitEnd, value: i64) {
    let class = WIDTHS.iter().position(|width| signed_fits(value, *width)).unwrap_or(WIDTHS.len() - 1);
    push_class(bytes, end, class, value as u64);
}

/// Appends an unsigned integer.
pub fn push_uint(bytes: &mut Vec<u8>, end: &mut BitEnd, value: u64) {
    let bits = 64 - value.leading_zeros();
    let class = WIDTHS.iter().position(|width| bits <= *width).unwrap_or(WIDTHS.len() - 1);
    push_class(bytes, end, class, value);
}

fn push_class(bytes: &mut Vec<u8>, end: &mut BitEnd, class: usize, value: u64) {
    let width = WIDTHS[class];
    match class {
        0 => end.push(bytes, 0, 1),
        8 => {
            end.push(bytes, 0xff, 8);
            end.push(bytes, value, 64);
        }
        _ => {
            let prefix = (1u64 << (class + 1)) - 2;
            let value = value & (u64::MAX >> (64 - width));
            end.push(bytes, prefix << width | value, class as u32 + 1 + width);
        }
    }
}

/// Whether `bits` bits hold a signed value in the form described above.
#[inline]
pub(crate) fn signed_fits(value: i64, bits: u32) -> bool {
    match bits {
        0 => value == 0,
        64 => true,
        _ => {
            let most = 1i64 << (bits - 1);
            -most < value && value <= most
        }
    }
}

/// The signed value of the lowest `bits` bits of `raw`, 1 to 64 of them.
#[inline]
pub(crate) fn sign_extend(raw: u64, bits: u32) -> i64 {
    if bits < 64 && raw > 1 << (bits - 1) { raw.wrapping_sub(1 << bits) as i64 } else { raw as i64 }
}

/// Reads a signed integer.
#[inline]
pub fn read_int(reader: &mut BitReader<'_>) -> Result<i64, OutOfBits> {
    let width = read_width(reader)?;
    if width == 0 { Ok(0) } else { Ok(sign_extend(reader.read(width)?, width)) }
}

/// Reads an unsigned integer.
#[inline]
pub fn read_uint(reader: &mut BitReader<'_>) -> Result<u64, OutOfBits> {
    let width = read_width(reader)?;
    if width == 0 { Ok(0) } else { reader.read(width) }
}

#[inline]
fn read_width(reader: &mut BitReader<'_>) -> Result<u32, OutOfBits> {
    reader.refill();
    let ones = (!reader.peek()).leading_zeros().min(8);
    reader.skip((ones + 1).min(8))?;
    Ok(WIDTHS[ones as usize])
}

/// Where the bits of the last difference between two floats lay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XorWindow {
    leading: u8,
    trailing: u8,
}

impl XorWindow {
    /// No difference was written yet, so that the first one brings its window.
    pub const NONE: Self = Self { leading: 0xff, trailing: 0 };

    /// Appends the difference between two values.
    #[inline]
    pub fn push(&mut self, bytes: &mut Vec<u8>, end: &mut BitEnd, previous: u64, value: u64) {
        let difference = previous ^ value;
        if difference == 0 {
            end.push(bytes, 0, 1);
            return;
        }
        let leading = difference.leading_zeros().min(31) as u8;
        let trailing = difference.trailing_zeros() as u8;
        if self.leading <= leading && self.trailing <= trailing {
            end.push(bytes, 0b10, 2);
            end.push(bytes, difference >> self.trailing, self.width());
            return;
        }
        *self = Self { leading, trailing };
        let width = self.width();
        end.push(bytes, 0b11 << 11 | u64::from(leading) << 6 | u64::from(width % 64), 13);
        end.push(bytes, difference >> trailing, width);
    }

    /// Reads the value that follows `previous`.
    #[inline(always)]
    pub fn read(&mut self, reader: &mut BitReader<'_>, previous: u64) -> Result<u64, XorReadError> {
        reader.refill();
        let top = reader.peek();
        if top >> 63 == 0 {
            reader.skip(1)?;
            return Ok(previous);
        }
        if top >> 62 == 0b10 {
            reader.skip(2)?;
            if *self == Self::NONE {
                // Prometheus reads the whole word here, and an appender of its that was resumed writes it.
                *self = Self { leading: 0, trailing: 0 };
            }
        } else {
            reader.skip(13)?;
            let leading = (top >> 57 & 0x1f) as u8;
            let width = (top >> 51 & 0x3f) as u8;
            let width = if width == 0 { 64 } else { width };
            let trailing = 64u8.checked_sub(leading + width).ok_or(XorReadError::WindowTooWide)?;
            *self = Self { leading, trailing };
        }
        let difference = reader.read(self.width())? << self.trailing;
        Ok(previous ^ difference)
    }

    #[inline(always)]
    fn width(self) -> u32 {
        64 - u32::from(self.leading) - u32::from(self.trailing)
    }
}

/// Why a float cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XorReadError {
    /// The stream ends.
    OutOfBits,
    /// Leading zeros and window are wider than 64 bits.
    WindowTooWide,
}

impl From<OutOfBits> for XorReadError {
    #[inline]
    fn from(_: OutOfBits) -> Self {
        Self::OutOfBits
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bits_of(value: i64) -> String {
        let (mut bytes, mut end) = (Vec::new(), BitEnd::default());
        push_int(&mut bytes, &mut end, value);
        bytes.iter().map(|byte| format!("{byte:08b}")).collect()
    }

    #[test]
    fn signed_integers_take_the_shortest_form() {
        let check = |value, expected| assert_eq!(bits_of(value), expected, "{value}");
        check(0, "00000000");
        check(1, "10001000");
        check(4, "10100000");
        check(-3, "10101000");
        check(-4, "1101111000000000");
        check(32, "1101000000000000");
        check(256, "1110100000000000");
        check(131_072, "111110100000000000000000");
        check(16_777_216, "11111101000000000000000000000000");
    }

    proptest! {
        #[test]
        fn integers_read_back(values in prop::collection::vec((any::<i64>(), 0u32..64), 0..100)) {
            let (mut bytes, mut end) = (Vec::new(), BitEnd::default());
            for (value, shift) in &values {
                push_int(&mut bytes, &mut end, value >> shift);
                push_uint(&mut bytes, &mut end, *value as u64 >> shift);
            }
            let mut reader = BitReader::new(&bytes);
            for (value, shift) in &values {
                prop_assert_eq!(read_int(&mut reader), Ok(value >> shift));
                prop_assert_eq!(read_uint(&mut reader), Ok(*value as u64 >> shift));
            }
        }

        #[test]
        fn floats_read_back(values in prop::collection::vec((any::<u64>(), 0u32..64), 0..100)) {
            let (mut bytes, mut end) = (Vec::new(), BitEnd::default());
            let mut window = XorWindow::NONE;
            let mut previous = 0;
            for (value, shift) in &values {
                window.push(&mut bytes, &mut end, previous, value << shift);
                previous = value << shift;
            }
            let mut reader = BitReader::new(&bytes);
            let mut window = XorWindow::NONE;
            let mut previous = 0;
            for (value, shift) in &values {
                previous = window.read(&mut reader, previous).unwrap();
                prop_assert_eq!(previous, value << shift);
            }
        }
    }
}
