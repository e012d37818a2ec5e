//! One record's bytes: a head of fixed size, the tenant, the payload, a checksum. Drawn in `docs/format/wal.md`.

use crc_fast::{CrcAlgorithm, Digest, crc32_iscsi};

/// Bytes before the tenant.
pub(crate) const HEAD_BYTES: usize = 40;
/// Bytes behind the payload.
const BODY_CHECKSUM_BYTES: usize = 4;
/// The first bytes of every record.
pub(crate) const RECORD_MAGIC: [u8; 4] = *b"nRec";
/// The longest payload. A batch comes from one request, whose size is limited far below.
pub const PAYLOAD_BYTES_MAX: usize = 256 << 20;

/// Names the batch that a record came from: a retry of it has the same name. Zeros where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct BatchName {
    /// Who sent it.
    pub distributor: u64,
    /// In which of its lives.
    pub incarnation: u64,
    /// Counts up within one life.
    pub sequence: u64,
}

/// What is appended.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// What the payload is; belongs to the signal.
    pub kind: u8,
    /// Whose it is: 1 to 255 bytes.
    pub tenant: &'a str,
    /// The batch that it came from.
    pub batch: BatchName,
    /// Opaque to the log; at most [`PAYLOAD_BYTES_MAX`].
    pub payload: &'a [u8],
}

/// What was read back. The bytes belong to the reader and live until it moves on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// See [`Record::kind`].
    pub kind: u8,
    /// See [`Record::tenant`].
    pub tenant: &'a str,
    /// See [`Record::batch`].
    pub batch: BatchName,
    /// See [`Record::payload`].
    pub payload: &'a [u8],
}

/// Where a record lies and what makes its head valid there alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// The file's salt.
    pub(crate) salt: u64,
    /// The record's offset in its file.
    pub(crate) offset: u64,
}

impl Record<'_> {
    /// Bytes that the record takes in a file.
    pub(crate) fn encoded_len(&self) -> usize {
        HEAD_BYTES + self.tenant.len() + self.payload.len() + BODY_CHECKSUM_BYTES
    }

    /// Whether the record's parts fit their length fields.
    pub(crate) fn fits(&self) -> bool {
        (1..=255).contains(&self.tenant.len()) && self.payload.len() <= PAYLOAD_BYTES_MAX
    }

    /// The checksum of tenant and payload. Cost: one pass over the payload, so it is taken before any lock is.
    pub(crate) fn body_checksum(&self) -> u32 {
        let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
        digest.update(self.tenant.as_bytes());
        digest.update(self.payload);
        checksum_of(&digest)
    }

    /// Appends the record to `bytes`, which will be written so that it lies at `place`.
    pub(crate) fn encode(&self, bytes: &mut Vec<u8>, place: Place, body_checksum: u32) {
        debug_assert!(self.fits());
        let start = bytes.len();
        bytes.reserve(self.encoded_len());
        bytes.extend_from_slice(&RECORD_MAGIC);
        bytes.extend_from_slice(&[self.kind, self.tenant.len() as u8, 0, 0]);
        bytes.extend_from_slice(&(self.payload.len() as u32).to_le_bytes());
        for part in [self.batch.distributor, self.batch.incarnation, self.batch.sequence] {
            bytes.extend_from_slice(&part.to_le_bytes());
        }
        let checksum = head_checksum(place, &bytes[start..]);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes.extend_from_slice(self.tenant.as_bytes());
        bytes.extend_from_slice(self.payload);
        bytes.extend_from_slice(&body_checksum.to_le_bytes());
    }
}

fn checksum_of(digest: &Digest) -> u32 {
    u32::try_from(digest.finalize()).expect("a CRC-32 has 32 bits")
}

fn head_checksum(place: Place, head: &[u8]) -> u32 {
    let mut bytes = [0; 16 + HEAD_BYTES - 4];
    bytes[..8].copy_from_slice(&place.salt.to_le_bytes());
    bytes[8..16].copy_from_slice(&place.offset.to_le_bytes());
    bytes[16..].copy_from_slice(&head[..HEAD_BYTES - 4]);
    crc32_iscsi(&bytes)
}

/// A record's head, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: u8,
    pub(crate) batch: BatchName,
    tenant_len: usize,
    payload_len: usize,
}

impl Head {
    /// Reads a head; `None` where the bytes are not one that belongs in this place.
    pub(crate) fn decode(bytes: &[u8], place: Place) -> Option<Self> {
        let bytes: &[u8; HEAD_BYTES] = bytes.first_chunk()?;
        if bytes[..4] != RECORD_MAGIC || u32_at(bytes, 36) != head_checksum(place, bytes) {
            return None;
        }
        let batch =
            BatchName { distributor: u64_at(bytes, 12), incarnation: u64_at(bytes, 20), sequence: u64_at(bytes, 28) };
        let tenant_len = usize::from(bytes[5]);
        let payload_len = usize::try_from(u32_at(bytes, 8)).ok()?;
        Some(Self { kind: bytes[4], batch, tenant_len, payload_len })
    }

    /// Bytes of the whole record.
    pub(crate) fn record_len(&self) -> usize {
        HEAD_BYTES + self.tenant_len + self.payload_len + BODY_CHECKSUM_BYTES
    }

    /// The record whose bytes these are, [`Head::record_len`] of them; `None` where its body is damaged.
    pub(crate) fn record<'a>(&self, bytes: &'a [u8]) -> Option<RecordView<'a>> {
        let (body, checksum) = bytes.get(HEAD_BYTES..self.record_len())?.split_last_chunk()?;
        if u32::from_le_bytes(*checksum) != crc32_iscsi(body) {
            return None;
        }
        let (tenant, payload) = body.split_at_checked(self.tenant_len)?;
        let tenant = std::str::from_utf8(tenant).ok()?;
        Some(RecordView { kind: self.kind, tenant, batch: self.batch, payload })
    }
}

pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(*bytes[offset..].first_chunk().expect("heads and headers have a fixed size"))
}

pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(*bytes[offset..].first_chunk().expect("heads and headers have a fixed size"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(payload: &[u8]) -> Record<'_> {
        let batch = BatchName { distributor: 1, incarnation: 2, sequence: 3 };
        Record { kind: 7, tenant: "team-a", batch, payload }
    }

    fn encoded(payload: &[u8], place: Place) -> Vec<u8> {
        let mut bytes = Vec::new();
        let record = record(payload);
        record.encode(&mut bytes, place, record.body_checksum());
        bytes
    }

    #[test]
    fn the_bytes_are_pinned() {
        let bytes = encoded(b"hi", Place { salt: 0x0102_0304_0506_0708, offset: 40 });
        let expected = "6e5265630706000002000000010000000000000002000000000000000300000000000000345f6715\
                        7465616d2d616869a872dce1";
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
    }

    #[test]
    fn a_record_is_valid_in_its_place_only() {
        let place = Place { salt: 5, offset: 40 };
        let bytes = encoded(b"payload", place);
        let head = Head::decode(&bytes, place).unwrap();
        assert_eq!(head.record(&bytes).unwrap().payload, b"payload");
        assert_eq!(Head::decode(&bytes, Place { salt: 5, offset: 41 }), None);
        assert_eq!(Head::decode(&bytes, Place { salt: 6, offset: 40 }), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), fix in any::<bool>()) {
            let place = Place { salt: 1, offset: 40 };
            let mut bytes = bytes;
            if fix && bytes.len() >= HEAD_BYTES {
                // Give random lengths a valid checksum, so that what follows is reached.
                bytes[..4].copy_from_slice(&RECORD_MAGIC);
                let checksum = head_checksum(place, &bytes);
                bytes[36..40].copy_from_slice(&checksum.to_le_bytes());
            }
            if let Some(head) = Head::decode(&bytes, place) {
                prop_assert!(head.record(&bytes).is_none_or(|record| record.payload.len() <= bytes.len()));
            }
        }
    }
}
