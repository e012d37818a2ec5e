//! Points in time as Prometheus' API writes and reads them. All are milliseconds since the Unix epoch.
//!
//! Source: `web/api/v1` of Prometheus (`parseTime`, `parseDuration`), `util/jsonutil`, Go's `time.RFC3339Nano`.

use jiff::Timestamp;

use crate::duration::parse_prometheus;
use crate::number::parse_float;
use crate::quote::quote;

/// A parameter that says no point in time, or no duration, in the API's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Neither seconds nor RFC 3339.
    #[error("cannot parse {} to a valid timestamp", quote(.0))]
    Timestamp(String),
    /// Neither seconds nor a duration of Prometheus'.
    #[error("cannot parse {} to a valid duration", quote(.0))]
    Duration(String),
    /// More than 292 years.
    #[error("cannot parse {} to a valid duration. It overflows int64", quote(.0))]
    DurationOverflow(String),
}

/// The names under which Go's API accepts its first and last representable times.
const EXTREMES: [(&str, i64); 2] =
    [("-292273086-05-16T16:47:06Z", MS_MIN), ("292277025-08-18T07:12:54.999999999Z", MS_MAX)];

/// `math.MinInt64/1000 + 62135596801` seconds, as the API has it.
const MS_MIN: i64 = (i64::MIN / 1000 + 62_135_596_801) * 1000;
/// `math.MaxInt64/1000 - 62135596801` seconds and all but a nanosecond of the next.
const MS_MAX: i64 = (i64::MAX / 1000 - 62_135_596_801) * 1000 + 999;

/// Reads seconds (`1435781430.781`) or RFC 3339 (`2015-07-01T20:10:51.781Z`); what is finer than a millisecond is
/// rounded in seconds, and cut in RFC 3339.
pub fn parse_time(text: &str) -> Result<i64, TimeError> {
    let error = || TimeError::Timestamp(text.to_owned());
    if let Ok(seconds) = parse_float(text) {
        let ms = (seconds.trunc() * 1000.0) + (seconds.fract() * 1000.0).round();
        let fits = (MS_MIN as f64..=MS_MAX as f64).contains(&ms);
        return if fits { Ok(ms as i64) } else { Err(error()) };
    }
    if let Some((_, ms)) = EXTREMES.iter().find(|(name, _)| *name == text) {
        return Ok(*ms);
    }
    if !has_rfc3339_form(text) {
        return Err(error());
    }
    let timestamp: Timestamp = text.parse().map_err(|_| error())?;
    Ok(timestamp.as_nanosecond().div_euclid(1_000_000) as i64)
}

/// Whether the text is what Go's layout asks for. The library below is more generous: it takes a blank for the `T`,
/// leaves out parts, and reads names of time zones.
fn has_rfc3339_form(text: &str) -> bool {
    let bytes = text.as_bytes();
    let shape = b"dddd-dd-ddTdd:dd:dd";
    let Some((head, rest)) = bytes.split_at_checked(shape.len()) else { return false };
    let fits = |(byte, shape): (&u8, &u8)| if *shape == b'd' { byte.is_ascii_digit() } else { byte == shape };
    let fraction = match rest {
        [b'.' | b',', fraction @ ..] => fraction.iter().take_while(|byte| byte.is_ascii_digit()).count() + 1,
        _ => 0,
    };
    let zone = &rest[fraction..];
    let zone_fits = match zone {
        b"Z" => true,
        [b'+' | b'-', clock @ ..] => clock.len() == 5 && clock.iter().zip(b"dd:dd").all(fits),
        _ => false,
    };
    fraction != 1 && zone_fits && head.iter().zip(shape).all(fits)
}

/// Reads seconds (`15.5`) or a duration of Prometheus' (`15s500ms`). Result: milliseconds, of any sign.
pub fn parse_duration(text: &str) -> Result<i64, TimeError> {
    if let Ok(seconds) = parse_float(text) {
        let ms = seconds * 1000.0;
        let ms_max = (i64::MAX / 1_000_000) as f64;
        return if ms.abs() <= ms_max { Ok(ms as i64) } else { Err(TimeError::DurationOverflow(text.to_owned())) };
    }
    parse_prometheus(text).map_err(|_| TimeError::Duration(text.to_owned()))
}

/// Prints `2015-07-01T20:10:51.781Z`: UTC, without zeros at the end of the fraction.
///
/// Years beyond 9999, which no clock will show, are printed as seconds.
pub fn format_rfc3339(timestamp_ms: i64) -> String {
    match Timestamp::from_millisecond(timestamp_ms) {
        Ok(timestamp) => timestamp.to_string(),
        Err(_) => {
            let mut out = Vec::new();
            write_seconds(&mut out, timestamp_ms);
            String::from_utf8(out).expect("numbers are printed in ASCII")
        }
    }
}

/// Appends a timestamp as the API prints it beside a sample: `1435781430.781`, `1435781430`, `-0.005`.
///
/// Cost: nothing is allocated beyond the growth of `out`.
pub fn write_seconds(out: &mut Vec<u8>, timestamp_ms: i64) {
    if timestamp_ms < 0 {
        out.push(b'-');
    }
    let ms = timestamp_ms.unsigned_abs();
    out.extend_from_slice(itoa::Buffer::new().format(ms / 1000).as_bytes());
    let fraction = ms % 1000;
    if fraction != 0 {
        let digit = |value: u64| b'0' + (value % 10) as u8;
        out.extend_from_slice(&[b'.', digit(fraction / 100), digit(fraction / 10), digit(fraction)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        let check = |text: &str, expected: Option<i64>| assert_eq!(parse_time(text).ok(), expected, "{text}");
        check("1435781430.781", Some(1_435_781_430_781));
        check("1435781430", Some(1_435_781_430_000));
        check("-1.5", Some(-1500));
        check("1e9", Some(1_000_000_000_000));
        check("2015-07-01T20:10:51.781Z", Some(1_435_781_451_781));
        check("2015-07-01T20:10:51+02:00", Some(1_435_774_251_000));
        check("1969-12-31T23:59:59.9999Z", Some(-1));
        check("-292273086-05-16T16:47:06Z", Some(MS_MIN));
        for wrong in
            ["", "x", "NaN", "Inf", "2015-07-01", "2015-07-01 20:10:51Z", "2015-07-01T20:10:51", "2015-13-01T20:10:51Z"]
        {
            check(wrong, None);
        }
        let error = parse_time("x").unwrap_err();
        assert_eq!(error.to_string(), r#"cannot parse "x" to a valid timestamp"#);
    }

    #[test]
    fn durations_are_read() {
        assert_eq!(parse_duration("15.5"), Ok(15_500));
        assert_eq!(parse_duration("5m"), Ok(300_000));
        assert_eq!(parse_duration("-1"), Ok(-1000));
        assert_eq!(parse_duration("x").unwrap_err().to_string(), r#"cannot parse "x" to a valid duration"#);
        assert!(matches!(parse_duration("1e30"), Err(TimeError::DurationOverflow(_))));
        assert!(matches!(parse_duration("NaN"), Err(TimeError::DurationOverflow(_))));
    }

    #[test]
    fn times_are_printed() {
        assert_eq!(format_rfc3339(1_435_781_451_781), "2015-07-01T20:10:51.781Z");
        assert_eq!(format_rfc3339(1_435_781_451_700), "2015-07-01T20:10:51.7Z");
        assert_eq!(format_rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(format_rfc3339(i64::MAX), "9223372036854775.807");
        let check = |ms: i64, expected: &str| {
            let mut out = Vec::new();
            write_seconds(&mut out, ms);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        check(1_435_781_430_781, "1435781430.781");
        check(1_435_781_430_500, "1435781430.500");
        check(-5, "-0.005");
        check(2000, "2");
    }
}
