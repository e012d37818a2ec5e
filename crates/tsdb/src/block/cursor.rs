//! Reads numbers and strings one after the other; every read says `None` at the end of the bytes.

/// A place inside some bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// A cursor that stands at `at`, or at the end where the bytes are shorter.
    pub(crate) fn starting_at(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at: at.min(bytes.len()) }
    }

    /// Bytes before the cursor.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    #[inline]
    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(*self.take(4)?.first_chunk()?))
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(*self.take(8)?.first_chunk()?))
    }

    /// LEB128, at most ten bytes.
    #[inline]
    pub(crate) fn uvarint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// LEB128 in zigzag form.
    #[inline]
    pub(crate) fn varint(&mut self) -> Option<i64> {
        let value = self.uvarint()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A LEB128 number that fits 32 bits.
    #[inline]
    pub(crate) fn uvarint32(&mut self) -> Option<u32> {
        u32::try_from(self.uvarint()?).ok()
    }

    /// Bytes behind their length.
    #[inline]
    pub(crate) fn prefixed(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.uvarint()?).ok()?;
        self.take(length)
    }
}

/// Appends a number as LEB128.
#[inline]
pub(crate) fn push_uvarint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// Appends a number as LEB128 in zigzag form.
#[inline]
pub(crate) fn push_varint(bytes: &mut Vec<u8>, value: i64) {
    push_uvarint(bytes, (value << 1 ^ value >> 63) as u64);
}

/// Appends bytes behind their length.
pub(crate) fn push_prefixed(bytes: &mut Vec<u8>, content: &[u8]) {
    push_uvarint(bytes, content.len() as u64);
    bytes.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back_and_end_with_the_bytes() {
        let mut bytes = Vec::new();
        for value in [0i64, 1, -1, 63, -64, 1 << 40, i64::MIN, i64::MAX] {
            bytes.clear();
            push_varint(&mut bytes, value);
            assert_eq!(Cursor::new(&bytes).varint(), Some(value));
            assert_eq!(Cursor::new(&bytes[..bytes.len() - 1]).varint(), None);
        }
        assert_eq!(Cursor::new(&[0xff; 11]).uvarint(), None);
        assert_eq!(Cursor::new(&[5, b'a']).prefixed(), None);
    }
}
