//! OTLP metrics from JSON, as lenient as the clients of the field need it.
//!
//! Keys are in camel case or snake case; enums are names or numbers; 64-bit integers are strings or numbers; floats
//! may be the strings `NaN`, `Infinity` and `-Infinity`; ids are hexadecimal, bytes base64; `null` is what is not
//! there; unknown keys are ignored.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

use super::{AnyValue, KeyValue, MetricsRequest, Temporality};

/// Decodes a whole request. The error says what is wrong, and where.
pub fn decode(body: &[u8]) -> Result<MetricsRequest<'_>, serde_json::Error> {
    serde_json::from_slice(body)
}

pub(super) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// A list, or `null`; elements that are `null` are their default.
pub(super) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<Vec<T>, D::Error> {
    let elements: Option<Vec<Option<T>>> = Option::deserialize(from)?;
    Ok(elements.unwrap_or_default().into_iter().map(Option::unwrap_or_default).collect())
}

pub(super) fn text<'de, 'a, D: Deserializer<'de>>(from: D) -> Result<Cow<'a, str>, D::Error> {
    Ok(Cow::Owned(Option::<String>::deserialize(from)?.unwrap_or_default()))
}

pub(super) fn uint64<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    unsigned(number(from)?)
}

pub(super) fn uint32<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    unsigned(number::<D>(from)?)?.try_into().map_err(Error::custom)
}

pub(super) fn int32<'de, D: Deserializer<'de>>(from: D) -> Result<i32, D::Error> {
    signed(number::<D>(from)?)?.unwrap_or(0).try_into().map_err(Error::custom)
}

pub(super) fn optional_int64<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    signed(number(from)?)
}

pub(super) fn double<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(float(number::<D>(from)?)?.unwrap_or(0.0))
}

pub(super) fn optional_double<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    float(number(from)?)
}

pub(super) fn uint64_list<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u64>, D::Error> {
    list::<D, Number>(from)?.into_iter().map(unsigned).collect()
}

pub(super) fn double_list<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
    list::<D, Number>(from)?.into_iter().map(|number| Ok(float(number)?.unwrap_or(0.0))).collect()
}

pub(super) fn temporality<'de, D: Deserializer<'de>>(from: D) -> Result<Temporality, D::Error> {
    Ok(match number(from)? {
        Number::Text(name) => match name.strip_prefix("AGGREGATION_TEMPORALITY_").unwrap_or(&name) {
            "DELTA" | "1" => Temporality::Delta,
            "CUMULATIVE" | "2" => Temporality::Cumulative,
            "UNSPECIFIED" | "0" => Temporality::Unspecified,
            _ => return Err(Error::custom(format_args!("unknown aggregation temporality {name:?}"))),
        },
        number => Temporality::from_number(unsigned(number)?),
    })
}

pub(super) fn hex<'de, 'a, D: Deserializer<'de>>(from: D) -> Result<Cow<'a, [u8]>, D::Error> {
    let text = text(from)?;
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    let byte = |pair: &[u8; 2]| Some(digit(pair[0])? << 4 | digit(pair[1])?);
    let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
    match bytes {
        Some(bytes) if rest.is_empty() => Ok(Cow::Owned(bytes)),
        _ => Err(Error::custom(format_args!("{text:?} is no hexadecimal id"))),
    }
}

pub(super) fn any_value<'de, 'a, D: Deserializer<'de>>(from: D) -> Result<AnyValue<'a>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

impl<'de, 'a> Deserialize<'de> for AnyValue<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        /// The members of the `oneof`, of which the first that is there counts.
        #[derive(serde::Deserialize, Default)]
        #[serde(default, rename_all = "camelCase")]
        struct Members<'a> {
            #[serde(alias = "string_value")]
            string_value: Option<String>,
            #[serde(alias = "bool_value")]
            bool_value: Option<bool>,
            #[serde(alias = "int_value", deserialize_with = "optional_int64")]
            int_value: Option<i64>,
            #[serde(alias = "double_value", deserialize_with = "optional_double")]
            double_value: Option<f64>,
            #[serde(alias = "array_value")]
            array_value: Option<Values<AnyValue<'a>>>,
            #[serde(alias = "kvlist_value")]
            kvlist_value: Option<Values<KeyValue<'a>>>,
            #[serde(alias = "bytes_value")]
            bytes_value: Option<String>,
        }

        let members = Members::deserialize(from)?;
        Ok(if let Some(text) = members.string_value {
            Self::Text(Cow::Owned(text))
        } else if let Some(value) = members.bool_value {
            Self::Bool(value)
        } else if let Some(value) = members.int_value {
            Self::Int(value)
        } else if let Some(value) = members.double_value {
            Self::Double(value)
        } else if let Some(list) = members.array_value {
            Self::List(list.values)
        } else if let Some(map) = members.kvlist_value {
            Self::Map(map.values)
        } else if let Some(text) = members.bytes_value {
            let bytes = base64(&text).ok_or_else(|| D::Error::custom(format_args!("{text:?} is no base64")))?;
            Self::Bytes(Cow::Owned(bytes))
        } else {
            Self::Empty
        })
    }
}

/// `ArrayValue` and `KeyValueList`.
#[derive(serde::Deserialize)]
struct Values<T: Default> {
    #[serde(default = "Vec::new", deserialize_with = "list", bound(deserialize = "T: Deserialize<'de> + Default"))]
    values: Vec<T>,
}

/// A number in any of the forms that clients write.
#[derive(Debug, Default)]
enum Number {
    #[default]
    Missing,
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
}

fn number<'de, D: Deserializer<'de>>(from: D) -> Result<Number, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

fn unsigned<E: Error>(number: Number) -> Result<u64, E> {
    match number {
        Number::Missing => Ok(0),
        Number::Unsigned(value) => Ok(value),
        Number::Signed(value) => u64::try_from(value).map_err(E::custom),
        Number::Text(text) => text.trim().parse().map_err(E::custom),
        // A client in JavaScript has only floats; a cast saturates, and what is no integer is refused.
        Number::Float(value) if value >= 0.0 && value.fract() == 0.0 => Ok(value as u64),
        Number::Float(value) => Err(E::custom(format_args!("{value} is no unsigned integer"))),
    }
}

fn signed<E: Error>(number: Number) -> Result<Option<i64>, E> {
    match number {
        Number::Missing => Ok(None),
        Number::Unsigned(value) => i64::try_from(value).map(Some).map_err(E::custom),
        Number::Signed(value) => Ok(Some(value)),
        Number::Text(text) => text.trim().parse().map(Some).map_err(E::custom),
        Number::Float(value) if value.fract() == 0.0 => Ok(Some(value as i64)),
        Number::Float(value) => Err(E::custom(format_args!("{value} is no integer"))),
    }
}

fn float<E: Error>(number: Number) -> Result<Option<f64>, E> {
    match number {
        Number::Missing => Ok(None),
        Number::Unsigned(value) => Ok(Some(value as f64)),
        Number::Signed(value) => Ok(Some(value as f64)),
        Number::Float(value) => Ok(Some(value)),
        // Rust reads `NaN`, `Infinity`, `-Infinity` as JSON writes them.
        Number::Text(text) => text.trim().parse().map(Some).map_err(E::custom),
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct NumberVisitor;

        impl Visitor<'_> for NumberVisitor {
            type Value = Number;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a number, or a string that holds one")
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Number, E> {
                Ok(Number::Unsigned(value))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Number, E> {
                Ok(Number::Signed(value))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Number, E> {
                Ok(Number::Float(value))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Number, E> {
                Ok(Number::Text(text.to_owned()))
            }
        }

        from.deserialize_any(NumberVisitor)
    }
}

/// Decodes standard or URL-safe base64, padded or not.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let (mut bits, mut bit_count) = (0u32, 0);
    for digit in text.trim_end_matches('=').bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        bit_count += 6;
        if bit_count >= 8 {
            bit_count -= 8;
            bytes.push((bits >> bit_count) as u8);
            bits &= (1 << bit_count) - 1;
        }
    }
    Some(bytes)
}
