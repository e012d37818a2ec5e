//! Raw Snappy blocks, as remote write and remote read use them.
//!
//! A block opens with the length of what it holds. That number comes from outside: it is checked before memory is
//! taken, so that four bytes cannot ask for four gigabytes.

/// A block that cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SnappyError {
    /// The bytes are no Snappy block.
    #[error("snappy: corrupt input")]
    Corrupt,
    /// The block says that it holds more than is allowed.
    #[error("snappy: block of {declared_bytes} bytes exceeds {limit_bytes}")]
    TooLarge {
        /// What the block says.
        declared_bytes: u64,
        /// What is allowed.
        limit_bytes: usize,
    },
}

/// Decodes `block` into `into`, whose memory is reused and whose content is replaced.
///
/// Cost: memory of the declared length, at most `limit_bytes`, and never more than 32 times the block, since no
/// valid block expands further than that.
pub fn decode(block: &[u8], into: &mut Vec<u8>, limit_bytes: usize) -> Result<(), SnappyError> {
    let declared_bytes = declared_length(block).ok_or(SnappyError::Corrupt)?;
    let declared = usize::try_from(declared_bytes).ok().filter(|declared| *declared <= limit_bytes);
    let declared = declared.ok_or(SnappyError::TooLarge { declared_bytes, limit_bytes })?;
    // The densest element is a copy of 64 bytes that takes 3.
    if declared / EXPANSION_MAX > block.len() {
        return Err(SnappyError::Corrupt);
    }
    into.resize(declared, 0);
    let written = snap::raw::Decoder::new().decompress(block, into).map_err(|_| SnappyError::Corrupt)?;
    into.truncate(written);
    Ok(())
}

/// Encodes `bytes` as one block.
pub fn encode(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).expect("what fits norn's buffers is below Snappy's limit of 4 GiB")
}

const EXPANSION_MAX: usize = 32;

fn declared_length(block: &[u8]) -> Option<u64> {
    let mut length = 0u64;
    for (index, byte) in block.iter().take(5).enumerate() {
        length |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return u32::try_from(length).ok().map(u64::from);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_read_back_into_a_used_buffer() {
        let mut buffer = b"left over".to_vec();
        decode(&encode(b"abcabcabcabc"), &mut buffer, 100).unwrap();
        assert_eq!(buffer, b"abcabcabcabc");
        decode(&encode(b""), &mut buffer, 100).unwrap();
        assert_eq!(buffer, b"");
        let dense = vec![b'x'; 1 << 20];
        decode(&encode(&dense), &mut buffer, 1 << 20).unwrap();
        assert_eq!(buffer, dense);
    }

    #[test]
    fn a_declared_length_is_not_believed() {
        let check = |block: &[u8], expected| assert_eq!(decode(block, &mut Vec::new(), 1000), Err(expected));
        check(b"this is not snappy", SnappyError::Corrupt);
        check(b"", SnappyError::Corrupt);
        let too_large = SnappyError::TooLarge { declared_bytes: u64::from(u32::MAX), limit_bytes: 1000 };
        check(b"\xff\xff\xff\xff\x0fxx", too_large);
        check(b"\xff\xff\xff\xff\xffxx", SnappyError::Corrupt);
        check(b"\xe8\x07xx", SnappyError::Corrupt);
    }
}
