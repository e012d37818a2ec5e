//! BLAKE2b with 256 bits: the hash that stands for label values which are too long.
//!
//! Other processes write the same series only if they hash alike, so the function is given. It runs on a value per
//! thousands of requests; a crate with its five dependencies would weigh more than these lines.
//!
//! Source: RFC 7693.

const INITIAL: [u64; 8] = [
    0x6a09_e667_f3bc_c908,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
    0x5be0_cd19_137e_2179,
];

/// The order in which each round takes the words of a block; rounds 10 and 11 repeat 0 and 1.
const SCHEDULE: [[usize; 16]; 10] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
    [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
    [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
    [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
    [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
    [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
    [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
    [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
];

/// The four columns, then the four diagonals, of the state.
const MIXES: [[usize; 4]; 8] = [
    [0, 4, 8, 12],
    [1, 5, 9, 13],
    [2, 6, 10, 14],
    [3, 7, 11, 15],
    [0, 5, 10, 15],
    [1, 6, 11, 12],
    [2, 7, 8, 13],
    [3, 4, 9, 14],
];

const BLOCK_BYTES: usize = 128;

/// The hash of `bytes` as 64 hexadecimal digits.
pub(super) fn hex256(bytes: &[u8]) -> String {
    let mut state = INITIAL;
    // Parameters: 32 bytes of output, no key, one leaf.
    state[0] ^= 0x0101_0020;
    let mut rest = bytes;
    let mut hashed_bytes = 0u64;
    while rest.len() > BLOCK_BYTES {
        let (block, tail) = rest.split_at(BLOCK_BYTES);
        hashed_bytes += BLOCK_BYTES as u64;
        compress(&mut state, block, hashed_bytes, false);
        rest = tail;
    }
    compress(&mut state, rest, hashed_bytes + rest.len() as u64, true);
    state[..4].iter().flat_map(|word| word.to_le_bytes()).map(|byte| format!("{byte:02x}")).collect()
}

/// Mixes in a block, which is filled with zeros where it is short.
fn compress(state: &mut [u64; 8], block: &[u8], hashed_bytes: u64, is_last: bool) {
    let mut padded = [0; BLOCK_BYTES];
    padded[..block.len()].copy_from_slice(block);
    let mut words = [0u64; 16];
    for (word, bytes) in words.iter_mut().zip(padded.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    let mut mixed = [0u64; 16];
    mixed[..8].copy_from_slice(state);
    mixed[8..].copy_from_slice(&INITIAL);
    mixed[12] ^= hashed_bytes;
    mixed[14] ^= if is_last { u64::MAX } else { 0 };
    for round in 0..12 {
        let order = &SCHEDULE[round % 10];
        for (step, [a, b, c, d]) in MIXES.into_iter().enumerate() {
            let (first, second) = (words[order[2 * step]], words[order[2 * step + 1]]);
            mixed[a] = mixed[a].wrapping_add(mixed[b]).wrapping_add(first);
            mixed[d] = (mixed[d] ^ mixed[a]).rotate_right(32);
            mixed[c] = mixed[c].wrapping_add(mixed[d]);
            mixed[b] = (mixed[b] ^ mixed[c]).rotate_right(24);
            mixed[a] = mixed[a].wrapping_add(mixed[b]).wrapping_add(second);
            mixed[d] = (mixed[d] ^ mixed[a]).rotate_right(16);
            mixed[c] = mixed[c].wrapping_add(mixed[d]);
            mixed[b] = (mixed[b] ^ mixed[c]).rotate_right(63);
        }
    }
    for (index, word) in state.iter_mut().enumerate() {
        *word ^= mixed[index] ^ mixed[index + 8];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_standard() {
        let check = |bytes: &[u8], expected| assert_eq!(hex256(bytes), expected);
        check(b"", "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
        check(b"abc", "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
        check(&[b'x'; 100], "58f49f86224fc9467549c0954fb0b9dc706e6728023bb7bd88b7958cf2115ac8");
        check(&[b'x'; 128], "164ffb7089bae6f5a62fb0795e751dc9e88eac92e1a5b2fafe93a25abf2d9c3b");
        check(&[b'x'; 300], "5aa7fbbf37986bb2a5d547c0d3c4d4326a24d786e7d57bf93fc784176e38b33d");
    }
}
