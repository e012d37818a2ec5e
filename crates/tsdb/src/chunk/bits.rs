//! Streams of bits, filled from the highest bit of each byte; what is left of the last byte is zero.
//!
//! Both directions move whole words: the writer joins at most the last byte with one shifted word, the reader keeps
//! the next bits of the stream at the top of a `u64` and refills it eight bytes at a time. Nothing loops over bits.

/// Where a stream of bits ends inside its last byte. The bytes themselves belong to the caller, so that an appender
/// can keep header and stream in one buffer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BitEnd {
    /// Bits of the last byte that are not written yet, 0 to 7.
    free: u8,
}

impl BitEnd {
    /// Appends the lowest `count` bits of `value`, 1 to 64 of them, highest first.
    #[inline]
    pub fn push(&mut self, bytes: &mut Vec<u8>, value: u64, count: u32) {
        debug_assert!((1..=64).contains(&count));
        let value = value & (u64::MAX >> (64 - count));
        let free = u32::from(self.free);
        if free > 0 {
            let last = bytes.last_mut().expect("free bits are those of a last byte");
            if count <= free {
                *last |= (value << (free - count)) as u8;
                self.free = (free - count) as u8;
                return;
            }
            *last |= (value >> (count - free)) as u8;
        }
        let rest = count - free;
        let whole = rest.div_ceil(8);
        // All eight bytes and back is one store, where as many bytes as are needed would be a call.
        let length = bytes.len() + whole as usize;
        bytes.extend_from_slice(&(value << (64 - rest)).to_be_bytes());
        bytes.truncate(length);
        self.free = (whole * 8 - rest) as u8;
    }

    /// Sets the free bits of the last byte to zero, as [`BitEnd::push`] expects them.
    pub(crate) fn clear_free(self, bytes: &mut [u8]) {
        if let Some(last) = bytes.last_mut() {
            *last &= 0xff << self.free;
        }
    }

    /// The end of a stream of `bits` bits.
    pub fn after(bits: usize) -> Self {
        Self { free: ((8 - bits % 8) % 8) as u8 }
    }
}

/// The stream has fewer bits than were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfBits;

/// As [`BitReader::refill`], for the last bytes.
#[cold]
fn refill_slowly(mut rest: &[u8], mut window: u64, mut available: u32) -> (&[u8], u64, u32) {
    while available <= 56
        && let Some((next, behind)) = rest.split_first()
    {
        window |= u64::from(*next) << (56 - available);
        available += 8;
        rest = behind;
    }
    (rest, window, available)
}

/// Reads a stream of bits from its start.
#[derive(Debug, Clone)]
pub struct BitReader<'a> {
    /// Bytes that are not in `window` yet.
    rest: &'a [u8],
    /// The next bits of the stream, from the top; bits beyond `available` may be set and belong to `rest`.
    window: u64,
    available: u32,
}

impl<'a> BitReader<'a> {
    /// A reader at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, window: 0, available: 0 }
    }

    /// How many bits are left, with the padding of the last byte.
    pub fn remaining(&self) -> usize {
        self.rest.len() * 8 + self.available as usize
    }

    /// Brings at least 56 bits into the window, or all that are left.
    #[inline(always)]
    pub(crate) fn refill(&mut self) {
        if let Some((next, _)) = self.rest.split_first_chunk() {
            self.window |= u64::from_be_bytes(*next) >> self.available;
            // Only whole bytes count as taken: the bits of a byte that is partly in the window are there again,
            // with the same value, when the next refill joins them.
            let taken = (63 - self.available) / 8;
            self.rest = &self.rest[taken as usize..];
            self.available += taken * 8;
        } else {
            // By value, so that the reader can live in registers.
            (self.rest, self.window, self.available) = refill_slowly(self.rest, self.window, self.available);
        }
    }

    /// The next bits from the top of a word. Only [`BitReader::refill`] says how many of them are real.
    #[inline(always)]
    pub(crate) fn peek(&self) -> u64 {
        self.window
    }

    /// Moves past `count` bits of the window, at most 63.
    #[inline(always)]
    pub(crate) fn skip(&mut self, count: u32) -> Result<(), OutOfBits> {
        if count > self.available {
            return Err(OutOfBits);
        }
        self.window <<= count;
        self.available -= count;
        Ok(())
    }

    /// The next `count` bits, 1 to 64, as the lowest bits of a word.
    #[inline(always)]
    pub fn read(&mut self, count: u32) -> Result<u64, OutOfBits> {
        debug_assert!((1..=64).contains(&count));
        if count <= 56 {
            return self.read_short(count);
        }
        let high = self.read_short(count - 32)?;
        Ok(high << 32 | self.read_short(32)?)
    }

    /// The next bits, at most what one refill brings.
    #[inline(always)]
    fn read_short(&mut self, count: u32) -> Result<u64, OutOfBits> {
        if count > self.available {
            self.refill();
        }
        let value = self.window >> (64 - count);
        self.skip(count)?;
        Ok(value)
    }

    /// A LEB128 number of at most 10 bytes, which need not start at a byte's edge.
    pub fn read_uvarint(&mut self) -> Result<u64, OutOfBits> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.read(8)?;
            value |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(OutOfBits)
    }

    /// A LEB128 number in zigzag form.
    pub fn read_varint(&mut self) -> Result<i64, OutOfBits> {
        let value = self.read_uvarint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bits_fill_bytes_from_the_top() {
        let mut bytes = Vec::new();
        let mut end = BitEnd::default();
        end.push(&mut bytes, 0b1, 1);
        end.push(&mut bytes, 0b0101, 4);
        assert_eq!(bytes, [0b1010_1000]);
        end.push(&mut bytes, 0xffff, 9);
        assert_eq!(bytes, [0b1010_1111, 0b1111_1100]);
        assert_eq!(end, BitEnd::after(14));
    }

    #[test]
    fn a_reader_stops_at_the_end() {
        let mut reader = BitReader::new(&[0xab, 0xcd]);
        assert_eq!(reader.read(12), Ok(0xabc));
        assert_eq!(reader.remaining(), 4);
        assert_eq!(reader.read(5), Err(OutOfBits));
        assert_eq!(reader.read(4), Ok(0xd));
        assert_eq!(reader.read(1), Err(OutOfBits));
    }

    proptest! {
        #[test]
        fn what_is_pushed_is_read(fields in prop::collection::vec((any::<u64>(), 1u32..=64), 0..200)) {
            let mut bytes = Vec::new();
            let mut end = BitEnd::default();
            for (value, count) in &fields {
                end.push(&mut bytes, *value, *count);
            }
            let total: usize = fields.iter().map(|(_, count)| *count as usize).sum();
            prop_assert_eq!(bytes.len(), total.div_ceil(8));
            prop_assert_eq!(end, BitEnd::after(total));
            let mut reader = BitReader::new(&bytes);
            for (value, count) in fields {
                prop_assert_eq!(reader.read(count), Ok(value & (u64::MAX >> (64 - count))));
            }
            prop_assert!(reader.remaining() < 8);
        }
    }
}
