//! Damage, as it happens: bits, bytes, numbers at their bounds, pieces that are lost, repeated or come from elsewhere.

use norn_base::random::Random;

/// Inputs do not grow beyond this.
const BYTES_MAX: usize = 64 << 10;

/// Bytes that mean something to many formats: varints without an end, bounds, quotes, braces.
const TELLING_BYTES: [u8; 12] = [0x00, 0x01, 0x7f, 0x80, 0xff, b'"', b'\\', b'{', b'(', b'[', b'\n', b'%'];

/// A number below `bound`, which is above zero.
pub(crate) fn below(random: &dyn Random, bound: usize) -> usize {
    usize::try_from(random.next_u64() % bound as u64).expect("it is below a usize")
}

/// Damages an input in one to eight places. `other` is another input of the same kind.
pub(crate) fn mutate(input: &mut Vec<u8>, other: &[u8], random: &dyn Random) {
    for _ in 0..1 + below(random, 8) {
        mutate_once(input, other, random);
    }
    input.truncate(BYTES_MAX);
}

fn mutate_once(input: &mut Vec<u8>, other: &[u8], random: &dyn Random) {
    if input.is_empty() {
        input.extend_from_slice(&random.next_u64().to_le_bytes());
    }
    let at = below(random, input.len());
    let until = at + 1 + below(random, (input.len() - at).min(64));
    match below(random, 9) {
        0 => input[at] ^= 1 << below(random, 8),
        1 => input[at] = TELLING_BYTES[below(random, TELLING_BYTES.len())],
        2 => input[at] = input[at].wrapping_add(1),
        3 => input.truncate(at),
        4 => drop(input.drain(at..until.min(input.len()))),
        5 => {
            let piece = input[at..until.min(input.len())].to_vec();
            input.splice(at..at, piece);
        }
        6 => input.insert(at, TELLING_BYTES[below(random, TELLING_BYTES.len())]),
        7 => {
            let bytes = random.next_u64().to_le_bytes();
            let count = (input.len() - at).min(1 + below(random, 8));
            input[at..at + count].copy_from_slice(&bytes[..count]);
        }
        _ if !other.is_empty() => {
            let from = below(random, other.len());
            let piece = &other[from..from + 1 + below(random, (other.len() - from).min(256))];
            input.splice(at..at, piece.iter().copied());
        }
        _ => {}
    }
}
