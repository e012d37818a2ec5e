//! The wire format of protocol buffers.
//!
//! A [`Reader`] walks the fields of one message and hands out borrowed values; the caller matches on their numbers
//! and ignores what it does not know. Groups are refused: no message that norn reads has ever had one, and skipping
//! them needs a stack that a hostile body could grow.
//!
//! Source: the encoding guide of protocol buffers, <https://protobuf.dev/programming-guides/encoding/>.

/// Bytes that are no message, or not the expected one. The texts are those that Go's decoders have, so that a
/// client's logs stay the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The message ends inside a field.
    #[error("unexpected EOF")]
    Truncated,
    /// A varint of more than 64 bits.
    #[error("proto: integer overflow")]
    VarintOverflow,
    /// A field with the number 0, or one above 2^29 - 1.
    #[error("proto: illegal tag {0}")]
    IllegalTag(u64),
    /// A wire type that does not exist, or a group.
    #[error("proto: illegal wireType {0}")]
    IllegalWireType(u8),
    /// A known field that does not have its type.
    #[error("proto: wrong wireType = {found} for field {number}")]
    WrongWireType {
        /// The field.
        number: u32,
        /// The wire type it came with.
        found: u8,
    },
    /// Messages in messages beyond what any client has a use for.
    #[error("proto: message nests too deep")]
    TooDeep,
    /// A string that is not UTF-8, where nothing else makes sense.
    #[error("proto: field {number} contains invalid UTF-8")]
    InvalidUtf8 {
        /// The field.
        number: u32,
    },
}

/// A field's value as it stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// Integers, booleans and enums.
    Varint(u64),
    /// Doubles and fixed integers of 8 bytes.
    Fixed64(u64),
    /// Strings, bytes, messages and packed lists.
    Bytes(&'a [u8]),
    /// Floats and fixed integers of 4 bytes.
    Fixed32(u32),
}

/// One field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The field's number in its message.
    pub number: u32,
    /// Its value.
    pub value: Value<'a>,
}

/// Walks the fields of one message.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    message: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first field of `message`.
    #[inline]
    pub fn new(message: &'a [u8]) -> Self {
        Self { message, offset: 0 }
    }

    /// How many bytes have been read.
    #[inline]
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Goes on at `offset`, which is within the message: the caller has read what lies before.
    #[inline]
    pub(crate) fn skip_to(&mut self, offset: usize) {
        debug_assert!((self.offset..=self.message.len()).contains(&offset));
        self.offset = offset;
    }

    /// The next field; `None` at the end of the message.
    #[inline]
    pub fn next_field(&mut self) -> Result<Option<Field<'a>>, WireError> {
        if self.offset == self.message.len() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| (1..1 << 29).contains(number));
        let number = number.ok_or(WireError::IllegalTag(tag >> 3))?;
        let value = match (tag & 7) as u8 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => Value::Bytes(self.bytes()?),
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            other => return Err(WireError::IllegalWireType(other)),
        };
        Ok(Some(Field { number, value }))
    }

    /// A bare varint, as in packed lists.
    #[inline]
    pub fn varint(&mut self) -> Result<u64, WireError> {
        // Tags and lengths nearly always fit one byte.
        match self.message.get(self.offset) {
            Some(&byte) if byte < 0x80 => {
                self.offset += 1;
                Ok(u64::from(byte))
            }
            Some(_) => self.long_varint(),
            None => Err(WireError::Truncated),
        }
    }

    fn long_varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0u64;
        for index in 0..10 {
            let byte = *self.message.get(self.offset + index).ok_or(WireError::Truncated)?;
            // The tenth byte has room for one bit.
            if index == 9 && byte > 1 {
                return Err(WireError::VarintOverflow);
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.offset += index + 1;
                return Ok(value);
            }
        }
        Err(WireError::VarintOverflow)
    }

    #[inline]
    fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let len = usize::try_from(self.varint()?).map_err(|_| WireError::Truncated)?;
        let end = self.offset.checked_add(len).ok_or(WireError::Truncated)?;
        let bytes = self.message.get(self.offset..end).ok_or(WireError::Truncated)?;
        self.offset = end;
        Ok(bytes)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (array, _) = self.message[self.offset..].split_first_chunk().ok_or(WireError::Truncated)?;
        self.offset += N;
        Ok(*array)
    }
}

impl<'a> Field<'a> {
    fn wrong(self) -> WireError {
        let found = match self.value {
            Value::Varint(_) => 0,
            Value::Fixed64(_) => 1,
            Value::Bytes(_) => 2,
            Value::Fixed32(_) => 5,
        };
        WireError::WrongWireType { number: self.number, found }
    }

    /// A message, a string or bytes.
    #[inline]
    pub fn bytes(self) -> Result<&'a [u8], WireError> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(self.wrong()),
        }
    }

    /// A string; fails where it is not UTF-8.
    pub fn text(self) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| WireError::InvalidUtf8 { number: self.number })
    }

    /// An unsigned integer.
    #[inline]
    pub fn uint64(self) -> Result<u64, WireError> {
        match self.value {
            Value::Varint(value) => Ok(value),
            _ => Err(self.wrong()),
        }
    }

    /// A signed integer in two's complement (`int64`).
    #[inline]
    pub fn int64(self) -> Result<i64, WireError> {
        self.uint64().map(u64::cast_signed)
    }

    /// An enum, a `uint32` or an `int32`: what is above 32 bits is cut, as all decoders do.
    #[inline]
    pub fn uint32(self) -> Result<u32, WireError> {
        self.uint64().map(|value| value as u32)
    }

    /// A signed integer in zigzag form (`sint32`).
    #[inline]
    pub fn sint32(self) -> Result<i32, WireError> {
        self.uint32().map(|value| (value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
    }

    /// A boolean.
    pub fn boolean(self) -> Result<bool, WireError> {
        self.uint64().map(|value| value != 0)
    }

    /// A fixed integer of 8 bytes.
    #[inline]
    pub fn fixed64(self) -> Result<u64, WireError> {
        match self.value {
            Value::Fixed64(bits) => Ok(bits),
            _ => Err(self.wrong()),
        }
    }

    /// A double.
    #[inline]
    pub fn double(self) -> Result<f64, WireError> {
        self.fixed64().map(f64::from_bits)
    }

    /// Appends the elements of a repeated varint field, packed or not, each after `convert`.
    pub fn extend_varints<T>(self, into: &mut Vec<T>, convert: impl Fn(u64) -> T) -> Result<(), WireError> {
        match self.value {
            Value::Varint(value) => into.push(convert(value)),
            Value::Bytes(packed) => {
                let mut reader = Reader::new(packed);
                while reader.offset < packed.len() {
                    into.push(convert(reader.varint()?));
                }
            }
            _ => return Err(self.wrong()),
        }
        Ok(())
    }

    /// Appends the elements of a repeated field of 8 bytes each, packed or not, each after `convert`.
    pub fn extend_fixed64<T>(self, into: &mut Vec<T>, convert: impl Fn(u64) -> T) -> Result<(), WireError> {
        match self.value {
            Value::Fixed64(bits) => into.push(convert(bits)),
            Value::Bytes(packed) => {
                let (chunks, rest) = packed.as_chunks::<8>();
                if !rest.is_empty() {
                    return Err(WireError::Truncated);
                }
                into.extend(chunks.iter().map(|chunk| convert(u64::from_le_bytes(*chunk))));
            }
            _ => return Err(self.wrong()),
        }
        Ok(())
    }
}

/// The number that zigzag form stands for (`sint64`).
pub fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// Zigzag form (`sint32`, `sint64`).
pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// Appends a bare varint.
pub fn put_varint(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

/// Appends an integer, boolean or enum, unless it is 0, the default that is not written.
pub fn put_uint(into: &mut Vec<u8>, number: u32, value: u64) {
    if value != 0 {
        put_varint(into, u64::from(number) << 3);
        put_varint(into, value);
    }
}

/// Appends an integer even where it is 0: a member of a `oneof`.
pub fn put_uint_always(into: &mut Vec<u8>, number: u32, value: u64) {
    put_varint(into, u64::from(number) << 3);
    put_varint(into, value);
}

/// Appends a double, unless it is positive zero.
pub fn put_double(into: &mut Vec<u8>, number: u32, value: f64) {
    if value.to_bits() != 0 {
        put_double_always(into, number, value);
    }
}

/// Appends a double even where it is zero: a member of a `oneof`.
pub fn put_double_always(into: &mut Vec<u8>, number: u32, value: f64) {
    put_varint(into, u64::from(number) << 3 | 1);
    into.extend_from_slice(&value.to_le_bytes());
}

/// Appends a string, bytes or an encoded message, also where it is empty.
pub fn put_bytes(into: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_varint(into, u64::from(number) << 3 | 2);
    put_varint(into, bytes.len() as u64);
    into.extend_from_slice(bytes);
}

/// Appends a string, unless it is empty.
pub fn put_text(into: &mut Vec<u8>, number: u32, text: &str) {
    if !text.is_empty() {
        put_bytes(into, number, text.as_bytes());
    }
}

/// Appends a message that `write` fills.
pub fn put_message(into: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>)) {
    let mut message = Vec::new();
    write(&mut message);
    put_bytes(into, number, &message);
}

/// Appends a packed list of varints, unless it is empty.
pub fn put_packed_varints(into: &mut Vec<u8>, number: u32, values: impl ExactSizeIterator<Item = u64>) {
    if values.len() > 0 {
        put_message(into, number, |packed| values.for_each(|value| put_varint(packed, value)));
    }
}

/// Appends a packed list of doubles, unless it is empty.
pub fn put_packed_doubles(into: &mut Vec<u8>, number: u32, values: &[f64]) {
    if !values.is_empty() {
        put_message(into, number, |packed| values.iter().for_each(|value| packed.extend(value.to_le_bytes())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(message: &[u8]) -> Result<Vec<Field<'_>>, WireError> {
        let mut reader = Reader::new(message);
        let mut fields = Vec::new();
        while let Some(field) = reader.next_field()? {
            fields.push(field);
        }
        Ok(fields)
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut message = Vec::new();
        put_uint(&mut message, 1, 300);
        put_double(&mut message, 2, -0.0);
        put_text(&mut message, 3, "text");
        put_packed_varints(&mut message, 1000, [zigzag(-5), zigzag(i64::MIN)].into_iter());
        let fields = fields(&message).unwrap();
        assert_eq!(fields[0].uint64(), Ok(300));
        assert_eq!(fields[1].double().map(f64::to_bits), Ok((-0.0f64).to_bits()));
        assert_eq!(fields[2].text(), Ok("text"));
        let mut values = Vec::new();
        fields[3].extend_varints(&mut values, unzigzag).unwrap();
        assert_eq!((fields[3].number, values), (1000, vec![-5, i64::MIN]));
    }

    #[test]
    fn damaged_messages_are_errors() {
        let check = |message: &[u8], expected| assert_eq!(fields(message), Err(expected), "{message:?}");
        check(b"\x08", WireError::Truncated);
        check(b"\x08\x80", WireError::Truncated);
        check(b"\x09\x01\x02", WireError::Truncated);
        check(b"\x0a\x05abc", WireError::Truncated);
        check(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", WireError::Truncated);
        check(b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", WireError::VarintOverflow);
        check(b"\x00\x01", WireError::IllegalTag(0));
        check(b"\x0b\x0c", WireError::IllegalWireType(3));
        check(b"\x0f", WireError::IllegalWireType(7));
    }

    #[test]
    fn a_known_field_of_another_type_is_an_error() {
        let field = fields(b"\x08\x01").unwrap()[0];
        assert_eq!(field.bytes(), Err(WireError::WrongWireType { number: 1, found: 0 }));
    }
}
