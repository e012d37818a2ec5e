//! ULIDs: the names of blocks, sorted by the time at which they were made.
//!
//! 48 bits of milliseconds since the Unix epoch and 80 random bits, as 26 characters of Crockford's base 32.

use std::fmt;
use std::str::FromStr;

use norn_base::clock::Clock;
use norn_base::random::Random;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The name of a block.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ulid(u128);

/// Text that is no ULID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a ULID: 26 characters of 0-9 and A-Z without I, L, O, U, at most 7ZZZZZZZZZZZZZZZZZZZZZZZZZ")]
pub struct UlidError {
    text: String,
}

impl Ulid {
    /// The all-zero ULID, the parent of blocks that come from samples out of order.
    pub const ZERO: Self = Self(0);

    /// A new one.
    pub fn new(clock: &dyn Clock, random: &dyn Random) -> Self {
        let time = u128::from(u64::try_from(clock.now_ms()).unwrap_or(0) & 0xffff_ffff_ffff);
        let high = u128::from(random.next_u64() & 0xffff);
        Self(time << 80 | high << 64 | u128::from(random.next_u64()))
    }

    /// When it was made, in milliseconds since the Unix epoch.
    pub fn timestamp_ms(self) -> i64 {
        (self.0 >> 80) as i64
    }

    /// Its 16 bytes, highest first.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The FNV-1 hash of its bytes, with 32 bits: how blocks are dealt out to groups and owners.
    pub fn fnv1(self) -> u32 {
        let step = |hash: u32, byte: u8| hash.wrapping_mul(16_777_619) ^ u32::from(byte);
        self.to_bytes().into_iter().fold(2_166_136_261, step)
    }
}

impl FromStr for Ulid {
    type Err = UlidError;

    fn from_str(text: &str) -> Result<Self, UlidError> {
        let error = || UlidError { text: text.chars().take(64).collect() };
        let bytes = text.as_bytes();
        // 26 characters hold 130 bits, so the first one has two bits less.
        if bytes.len() != 26 || bytes[0] > b'7' {
            return Err(error());
        }
        let mut value = 0u128;
        for byte in bytes {
            let digit = ALPHABET.iter().position(|letter| *letter == byte.to_ascii_uppercase()).ok_or_else(error)?;
            value = value << 5 | digit as u128;
        }
        Ok(Self(value))
    }
}

impl fmt::Display for Ulid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 26];
        for (place, letter) in text.iter_mut().enumerate() {
            *letter = ALPHABET[(self.0 >> (5 * (25 - place)) & 31) as usize];
        }
        formatter.write_str(std::str::from_utf8(&text).expect("the alphabet is ASCII"))
    }
}

impl fmt::Debug for Ulid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl serde::Serialize for Ulid {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Ulid {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use norn_base::clock::ManualClock;
    use norn_base::random::SeededRandom;

    use super::*;

    #[test]
    fn text_and_bytes_say_the_same() {
        let ulid: Ulid = "01M7XS6MTCEHJ17S00JMWAXX5D".parse().unwrap();
        assert_eq!(ulid.to_string(), "01M7XS6MTCEHJ17S00JMWAXX5D");
        assert_eq!("01m7xs6mtcehj17s00jmwaxx5d".parse(), Ok(ulid));
        assert_eq!(Ulid::ZERO.to_string(), "00000000000000000000000000");
        assert_eq!("7ZZZZZZZZZZZZZZZZZZZZZZZZZ".parse::<Ulid>().unwrap().to_bytes(), [0xff; 16]);
        for wrong in ["", "8ZZZZZZZZZZZZZZZZZZZZZZZZZ", "01M7XS6MTCEHJ17S00JMWAXX5U", "01M7XS6MTCEHJ17S00JMWAXX5"] {
            assert!(wrong.parse::<Ulid>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn later_ones_sort_after() {
        let clock = ManualClock::at(1_793_512_800_000);
        let random = SeededRandom::shared(1);
        let first = Ulid::new(&*clock, &*random);
        clock.advance(std::time::Duration::from_millis(1));
        let second = Ulid::new(&*clock, &*random);
        assert!(first < second);
        assert!(first.to_string() < second.to_string());
        assert_eq!(second.timestamp_ms(), 1_793_512_800_001);
    }
}
