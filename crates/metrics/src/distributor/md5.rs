//! MD5, of which Prometheus' `hashmod` takes the last eight bytes.
//!
//! The rule spreads series over servers, so every server has to compute the same; nothing depends on MD5's strength.
//!
//! Source: RFC 1321.

const SHIFTS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

/// The last eight bytes of the hash, in big endian.
pub(super) fn last_word(bytes: &[u8]) -> u64 {
    let mut padded = bytes.to_vec();
    padded.push(0x80);
    // Eight bytes behind the padding are for the length.
    padded.resize((padded.len() + 8).next_multiple_of(64), 0);
    let bits = (bytes.len() as u64).wrapping_mul(8);
    let end = padded.len();
    padded[end - 8..].copy_from_slice(&bits.to_le_bytes());

    let mut state = [0x6745_2301u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    for block in padded.as_chunks::<64>().0 {
        mix(&mut state, block);
    }
    u64::from(state[2].swap_bytes()) << 32 | u64::from(state[3].swap_bytes())
}

fn mix(state: &mut [u32; 4], block: &[u8; 64]) {
    let mut words = [0u32; 16];
    for (word, bytes) in words.iter_mut().zip(block.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    let [mut a, mut b, mut c, mut d] = *state;
    for step in 0..64usize {
        let (mixed, word) = match step / 16 {
            0 => ((b & c) | (!b & d), step),
            1 => ((d & b) | (!d & c), 5 * step + 1),
            2 => (b ^ c ^ d, 3 * step + 5),
            _ => (c ^ (b | !d), 7 * step),
        };
        // The constants of the standard are defined by the sine.
        let constant = (((step + 1) as f64).sin().abs() * 4_294_967_296.0) as u32;
        let sum = a.wrapping_add(mixed).wrapping_add(constant).wrapping_add(words[word % 16]);
        let rotated = sum.rotate_left(SHIFTS[step / 16][step % 4]);
        (a, d, c, b) = (d, c, b, b.wrapping_add(rotated));
    }
    for (word, mixed) in state.iter_mut().zip([a, b, c, d]) {
        *word = word.wrapping_add(mixed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_standard() {
        let check = |bytes: &[u8], expected: u64| assert_eq!(last_word(bytes), expected, "{} bytes", bytes.len());
        check(b"", 0xe980_0998_ecf8_427e);
        check(b"abc", 0xd696_3f7d_28e1_7f72);
        check(&[b'x'; 55], 0xd958_a707_38aa_8f72);
        check(&[b'x'; 56], 0x62da_bcaf_ad6d_b14b);
        check(&[b'x'; 63], 0x0356_7bdf_f99d_8981);
        check(&[b'x'; 64], 0x7947_682a_eb25_2456);
        check(&[b'x'; 200], 0xdfdd_5397_7745_8c78);
    }
}
