//! Decompression of request bodies, with the size known or limited before memory is taken for it.

use std::io::{ErrorKind, Read};

use super::BodyError;
use super::buffer::Buffer;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// RFC 1952, one member or several.
    Gzip,
    /// RFC 1950, or RFC 1951 from clients that took the name literally.
    Deflate,
    /// RFC 8878.
    Zstd,
    /// The LZ4 frame format.
    Lz4,
    /// One raw Snappy block, as remote write sends it; not the framed format.
    Snappy,
}

/// What a client may write in `Content-Encoding`, for messages.
pub(super) const ENCODING_NAMES: &str = "identity, gzip, deflate, zstd, lz4, snappy";

/// The back-reference window of a zstd frame: 8 MiB, what RFC 8878 asks every decoder to support. A frame that wants
/// more would take that memory before the first byte comes out.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

impl Encoding {
    /// Reads the value of `Content-Encoding`; `None` where it names another one, or several.
    pub fn parse(value: &str) -> Option<Self> {
        let is = |name: &str| value.eq_ignore_ascii_case(name);
        Some(match () {
            () if value.is_empty() || is("identity") => Self::Identity,
            () if is("gzip") || is("x-gzip") => Self::Gzip,
            () if is("deflate") => Self::Deflate,
            () if is("zstd") => Self::Zstd,
            () if is("lz4") => Self::Lz4,
            () if is("snappy") => Self::Snappy,
            () => return None,
        })
    }

    /// The name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
            Self::Snappy => "snappy",
        }
    }

    /// About how many bytes come out of `input`: what the format declares, else a guess.
    pub(super) fn estimate(self, input: &[u8]) -> usize {
        match self {
            Self::Snappy => snap::raw::decompress_len(input).unwrap_or(0),
            Self::Identity => input.len(),
            _ => input.len().saturating_mul(4),
        }
    }
}

/// Decompresses `input` into the empty `output`. At most `limit_bytes` come out, else [`BodyError::TooLarge`].
pub(super) fn decode(
    encoding: Encoding,
    input: &[u8],
    limit_bytes: usize,
    output: &mut Buffer,
) -> Result<(), BodyError> {
    match encoding {
        Encoding::Identity => Ok(output.extend(input)?),
        Encoding::Snappy => decode_snappy(input, limit_bytes, output),
        Encoding::Gzip => decode_stream(encoding, flate2::bufread::MultiGzDecoder::new(input), limit_bytes, output),
        Encoding::Deflate if is_zlib(input) => {
            decode_stream(encoding, flate2::bufread::ZlibDecoder::new(input), limit_bytes, output)
        }
        Encoding::Deflate => decode_stream(encoding, flate2::bufread::DeflateDecoder::new(input), limit_bytes, output),
        Encoding::Zstd => {
            let corrupt = |error: std::io::Error| BodyError::Corrupt { encoding, reason: error.to_string() };
            let mut decoder = zstd::Decoder::with_buffer(input).map_err(corrupt)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(corrupt)?;
            decode_stream(encoding, decoder, limit_bytes, output)
        }
        Encoding::Lz4 if !ends_lz4_frame(input) => {
            Err(BodyError::Corrupt { encoding, reason: "unexpected end of the frame".to_owned() })
        }
        Encoding::Lz4 => decode_stream(encoding, lz4_flex::frame::FrameDecoder::new(input), limit_bytes, output),
    }
}

/// Whether a frame ends with its end mark, four zero bytes, which the library does not insist on. A checksum of the
/// content follows the mark where bit 2 of the flags, the fifth byte, says so.
fn ends_lz4_frame(input: &[u8]) -> bool {
    let has_checksum = input.get(4).is_some_and(|flags| flags & 0b100 != 0);
    let end = input.len().saturating_sub(if has_checksum { 4 } else { 0 });
    input.is_empty() || input[..end].ends_with(&[0; 4])
}

fn decode_snappy(input: &[u8], limit_bytes: usize, output: &mut Buffer) -> Result<(), BodyError> {
    // The words of the original: its clients' alerts look for them.
    let corrupt = || BodyError::Corrupt { encoding: Encoding::Snappy, reason: "snappy: corrupt input".to_owned() };
    let declared = declared_snappy_len(input).ok_or_else(corrupt)?;
    if declared > limit_bytes as u64 {
        return Err(BodyError::TooLarge { size_bytes: Some(declared), limit_bytes, decompressed: true });
    }
    // An element of a block is at least two bytes and yields at most 64: a length that no input of this size can
    // have is a lie, and no memory is taken for it.
    if declared / 32 > input.len() as u64 {
        return Err(corrupt());
    }
    let len = usize::try_from(declared).map_err(|_| corrupt())?;
    let written = snap::raw::Decoder::new().decompress(input, output.room(len)?).map_err(|_| corrupt())?;
    output.advance(written);
    Ok(())
}

/// The varint in front of a block: the decompressed length, below 2^32. The library's own function refuses the upper
/// part of that range as corrupt, which would hide from a client that the message is too large.
fn declared_snappy_len(input: &[u8]) -> Option<u64> {
    let mut len = 0u64;
    for (index, byte) in input.iter().take(5).enumerate() {
        len |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return (len <= u64::from(u32::MAX)).then_some(len);
        }
    }
    None
}

fn decode_stream(
    encoding: Encoding,
    mut source: impl Read,
    limit_bytes: usize,
    output: &mut Buffer,
) -> Result<(), BodyError> {
    // One byte more than allowed tells a body that is too large from one that just fits.
    let len_max = limit_bytes.saturating_add(1);
    loop {
        match source.read(output.some_room(len_max)?) {
            Ok(0) => return Ok(()),
            Ok(count) => output.advance(count),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(BodyError::Corrupt { encoding, reason: error.to_string() }),
        }
        if output.as_ref().len() > limit_bytes {
            return Err(BodyError::TooLarge { size_bytes: None, limit_bytes, decompressed: true });
        }
    }
}

/// Whether the bytes start with a zlib header: method 8 and a check value, RFC 1950 section 2.2.
fn is_zlib(input: &[u8]) -> bool {
    match input {
        [method, flags, ..] => method & 0x0f == 8 && (u16::from(*method) << 8 | u16::from(*flags)) % 31 == 0,
        _ => false,
    }
}
