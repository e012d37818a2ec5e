//! Chunks of float samples.
//!
//! ```text
//! ┌───────────┬─────────────┬─────────────┬───────────────┬─────────┬────────────┬─────────┬─────┬─────────┐
//! │ count u16 │ time varint │ value 8 B   │ delta uvarint │ v xor   │ t dod      │ v xor   │ ... │ padding │
//! └───────────┴─────────────┴─────────────┴───────────────┴─────────┴────────────┴─────────┴─────┴─────────┘
//!  big endian   sample 0                    sample 1                  sample 2 and later
//! ```
//!
//! Behind the count everything is one stream of bits. `t dod` is how much the step between timestamps changed: `0` for
//! not at all, `10` + 14 bits, `110` + 17, `1110` + 20, `1111` + 64; see [`super::varbit`] for the range of a width and
//! for `v xor`. A sample at a steady interval and of an unchanged value takes two bits.
//!
//! Source: Prometheus `tsdb/chunkenc/xor.go`, after Facebook's Gorilla.

use norn_model::select::TimeRange;

use super::bits::{BitEnd, BitReader, OutOfBits};
use super::varbit::{XorReadError, XorWindow, sign_extend, signed_fits};
use super::{ChunkError, sample_count};

/// Bytes before the stream of bits.
const HEADER_BYTES: usize = 2;

/// No sample after the first needs more than 68 bits for its time and 77 for its value, nor do the bytes of the first;
/// and a write of bits reaches up to 8 bytes further for a moment.
const SAMPLE_BYTES_MAX: usize = 32;

/// One open chunk of float samples: its bytes, and what the next sample is compared with.
///
/// The bytes are complete after each append, and can be decoded while the chunk is still open.
#[derive(Debug, Clone)]
pub struct XorAppender {
    /// Header and stream. Grows by half, so that a head full of open chunks wastes little.
    bytes: Vec<u8>,
    last: LastSample,
    end: BitEnd,
    window: XorWindow,
}

#[derive(Debug, Clone, Copy)]
struct LastSample {
    timestamp_ms: i64,
    value: u64,
    /// Between the last two timestamps; modulo 2^64, as the encoding has it.
    delta_ms: u64,
}

const _: () = assert!(size_of::<XorAppender>() - size_of::<Vec<u8>>() <= 32, "a head holds one per active series");

impl Default for XorAppender {
    fn default() -> Self {
        Self::new()
    }
}

impl XorAppender {
    /// An empty chunk, which has no memory yet.
    pub fn new() -> Self {
        Self {
            bytes: Vec::new(),
            last: LastSample { timestamp_ms: 0, value: 0, delta_ms: 0 },
            end: BitEnd::default(),
            window: XorWindow::NONE,
        }
    }

    /// Opens a chunk again, to append where it ended. Cost: decodes it once.
    pub fn resume(bytes: Vec<u8>) -> Result<Self, ChunkError> {
        let mut decoder = XorDecoder::new(&bytes)?;
        while decoder.next_sample()?.is_some() {}
        let (last, window) = (decoder.last, decoder.window);
        let used_bits = (bytes.len() - HEADER_BYTES) * 8 - decoder.reader.remaining();
        let used_bytes = HEADER_BYTES + used_bits.div_ceil(8);
        let mut bytes = bytes;
        bytes.truncate(used_bytes);
        let end = BitEnd::after(used_bits);
        end.clear_free(&mut bytes);
        Ok(Self { bytes, last, end, window })
    }

    /// How many samples the chunk holds.
    #[inline]
    pub fn count(&self) -> u16 {
        sample_count(&self.bytes).unwrap_or(0)
    }

    /// The chunk's data so far: empty before the first sample.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Ends the chunk and gives back its data, without spare memory.
    pub fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.shrink_to_fit();
        self.bytes
    }

    /// Bytes of memory behind the chunk's data, used and spare.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// The time of the last sample, in milliseconds since the Unix epoch; 0 before the first.
    pub fn last_timestamp_ms(&self) -> i64 {
        self.last.timestamp_ms
    }

    /// The value of the last sample; 0 before the first.
    pub fn last_value(&self) -> f64 {
        f64::from_bits(self.last.value)
    }

    /// Appends a sample, whose time the caller knows to be after the last one's, in milliseconds since the Unix epoch.
    ///
    /// Panics when the chunk holds 65,535 samples; callers cut chunks far below.
    #[inline]
    pub fn append(&mut self, timestamp_ms: i64, value: f64) {
        if self.bytes.capacity() - self.bytes.len() < SAMPLE_BYTES_MAX {
            self.bytes.reserve_exact(SAMPLE_BYTES_MAX.max(self.bytes.len() / 2));
        }
        let count = self.count();
        let value = value.to_bits();
        let delta_ms = timestamp_ms.wrapping_sub(self.last.timestamp_ms) as u64;
        match count {
            0 => self.append_first(timestamp_ms, value),
            1 => self.push_uvarint(delta_ms),
            _ => self.push_delta_change(delta_ms.wrapping_sub(self.last.delta_ms) as i64),
        }
        if count > 0 {
            self.window.push(&mut self.bytes, &mut self.end, self.last.value, value);
        }
        self.last = LastSample { timestamp_ms, value, delta_ms: if count == 0 { 0 } else { delta_ms } };
        let count = count.checked_add(1).expect("callers cut chunks far below 65,535 samples");
        self.bytes[..HEADER_BYTES].copy_from_slice(&count.to_be_bytes());
    }

    fn append_first(&mut self, timestamp_ms: i64, value: u64) {
        self.bytes.extend_from_slice(&[0; HEADER_BYTES]);
        self.push_uvarint((timestamp_ms << 1 ^ timestamp_ms >> 63) as u64);
        self.end.push(&mut self.bytes, value, 64);
    }

    fn push_uvarint(&mut self, mut value: u64) {
        // Before the second value the stream stands at a byte's edge.
        while value >= 0x80 {
            self.bytes.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    #[inline]
    fn push_delta_change(&mut self, change_ms: i64) {
        let (bytes, end) = (&mut self.bytes, &mut self.end);
        let low = |bits: u32| change_ms as u64 & ((1 << bits) - 1);
        if change_ms == 0 {
            end.push(bytes, 0, 1);
        } else if signed_fits(change_ms, 14) {
            end.push(bytes, 0b10 << 14 | low(14), 16);
        } else if signed_fits(change_ms, 17) {
            end.push(bytes, 0b110 << 17 | low(17), 20);
        } else if signed_fits(change_ms, 20) {
            end.push(bytes, 0b1110 << 20 | low(20), 24);
        } else {
            end.push(bytes, 0b1111, 4);
            end.push(bytes, change_ms as u64, 64);
        }
    }
}

/// Reads the samples of a chunk one by one.
#[derive(Debug, Clone)]
pub struct XorDecoder<'a> {
    reader: BitReader<'a>,
    last: LastSample,
    window: XorWindow,
    bytes: usize,
    read: u16,
    count: u16,
}

impl<'a> XorDecoder<'a> {
    /// A decoder before the first sample of a chunk's data; fails where not even a header is there.
    pub fn new(data: &'a [u8]) -> Result<Self, ChunkError> {
        let count = sample_count(data)?;
        Ok(Self {
            reader: BitReader::new(&data[HEADER_BYTES..]),
            last: LastSample { timestamp_ms: 0, value: 0, delta_ms: 0 },
            window: XorWindow::NONE,
            bytes: data.len(),
            read: 0,
            count,
        })
    }

    /// The next `(milliseconds since the Unix epoch, value)`; `None` after the last.
    #[inline(always)]
    pub fn next_sample(&mut self) -> Result<Option<(i64, f64)>, ChunkError> {
        if self.read == self.count {
            return Ok(None);
        }
        let outcome = match self.read {
            0 => self.read_first(),
            1 => self.read_second(),
            _ => self.read_later(),
        };
        if let Err(error) = outcome {
            return Err(chunk_error(error, self.bytes, self.read, self.count));
        }
        self.read += 1;
        Ok(Some((self.last.timestamp_ms, f64::from_bits(self.last.value))))
    }

    fn read_first(&mut self) -> Result<(), XorReadError> {
        self.last.timestamp_ms = self.reader.read_varint()?;
        self.last.value = self.reader.read(64)?;
        Ok(())
    }

    fn read_second(&mut self) -> Result<(), XorReadError> {
        self.last.delta_ms = self.reader.read_uvarint()?;
        self.advance()
    }

    #[inline(always)]
    fn read_later(&mut self) -> Result<(), XorReadError> {
        self.reader.refill();
        let top = self.reader.peek();
        if top >> 63 == 0 {
            self.reader.skip(1)?;
        } else {
            let change_ms = self.read_delta_change(top)?;
            self.last.delta_ms = self.last.delta_ms.wrapping_add(change_ms as u64);
        }
        self.advance()
    }

    #[inline(always)]
    fn read_delta_change(&mut self, top: u64) -> Result<i64, OutOfBits> {
        let (prefix, width) = match (!top).leading_zeros() {
            1 => (2, 14),
            2 => (3, 17),
            3 => (4, 20),
            _ => {
                self.reader.skip(4)?;
                return Ok(self.reader.read(64)? as i64);
            }
        };
        self.reader.skip(prefix + width)?;
        Ok(sign_extend(top << prefix >> (64 - width), width))
    }

    #[inline(always)]
    fn advance(&mut self) -> Result<(), XorReadError> {
        self.last.timestamp_ms = self.last.timestamp_ms.wrapping_add(self.last.delta_ms as i64);
        self.last.value = self.window.read(&mut self.reader, self.last.value)?;
        Ok(())
    }
}

/// By value, so that a decoder can live in registers.
#[cold]
fn chunk_error(error: XorReadError, bytes: usize, sample: u16, samples: u16) -> ChunkError {
    match error {
        XorReadError::OutOfBits => ChunkError::Truncated { bytes, sample, samples },
        XorReadError::WindowTooWide => ChunkError::Damaged { what: "a value's window is wider than 64 bits" },
    }
}

/// Appends the samples of a chunk that lie inside `range` to two columns, which stay of one length.
///
/// - `data`: a chunk's data, without length, encoding and checksum.
/// - On an error the columns are as they were.
/// - Cost: a few nanoseconds a sample; stops behind the end of `range`.
pub fn decode_into(
    data: &[u8],
    timestamps_ms: &mut Vec<i64>,
    values: &mut Vec<f64>,
    range: TimeRange,
) -> Result<(), ChunkError> {
    let mut decoder = XorDecoder::new(data)?;
    let before = timestamps_ms.len();
    // A sample takes at least two bits, so a damaged count does not reserve more than the bytes could hold.
    let expected = usize::from(decoder.count).min(data.len() * 4);
    timestamps_ms.reserve(expected);
    values.reserve(expected);
    loop {
        match decoder.next_sample() {
            Ok(Some((timestamp_ms, value))) => {
                if timestamp_ms > range.end_ms {
                    return Ok(());
                }
                if timestamp_ms >= range.start_ms {
                    timestamps_ms.push(timestamp_ms);
                    values.push(value);
                }
            }
            Ok(None) => return Ok(()),
            Err(error) => {
                timestamps_ms.truncate(before);
                values.truncate(before);
                return Err(error);
            }
        }
    }
}

#[cfg(test)]
mod tests;
