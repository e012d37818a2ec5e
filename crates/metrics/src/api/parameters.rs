//! Parameters of the Prometheus API: from the URL, or from a form in the body, with Prometheus' rules and texts.

use norn_base::{Error, Result};
use norn_model::select::TimeRange;

/// What a request asks, decoded: pairs in the order in which they came, those of the body before those of the URL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parameters {
    pairs: Vec<(String, String)>,
}

impl Parameters {
    /// Decodes a URL's query and a form. Names and values are percent-encoded, `+` is a blank.
    pub fn parse(url_query: &str, form: &[u8]) -> Result<Self> {
        let mut pairs = Vec::new();
        decode_form(form, &mut pairs)?;
        decode_form(url_query.as_bytes(), &mut pairs)?;
        Ok(Self { pairs })
    }

    /// The first value of a parameter; `None` where it is absent or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.as_str());
        value.filter(|value| !value.is_empty())
    }

    /// All values of a parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |pair| pair.0 == name).map(|pair| pair.1.as_str())
    }

    /// All pairs.
    pub fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }

    /// A time in milliseconds since the Unix epoch; `None` where the parameter is absent.
    pub fn time_ms(&self, name: &str) -> Result<Option<i64>> {
        let Some(text) = self.get(name) else { return Ok(None) };
        match parse_time_ms(text) {
            Some(time_ms) => Ok(Some(time_ms)),
            None => Err(invalid(name, &format!("cannot parse {} to a valid timestamp", quote(text)))),
        }
    }

    /// A time that has to be given.
    pub fn required_time_ms(&self, name: &str) -> Result<i64> {
        self.time_ms(name)?.ok_or_else(|| missing(name))
    }

    /// `start` and `end`, both optional; the whole of time by default.
    pub fn time_range(&self) -> Result<TimeRange> {
        let start_ms = self.time_ms("start")?.unwrap_or(TimeRange::ALL.start_ms);
        let end_ms = self.time_ms("end")?.unwrap_or(TimeRange::ALL.end_ms);
        if end_ms < start_ms {
            return Err(end_before_start());
        }
        Ok(TimeRange { start_ms, end_ms })
    }

    /// `step` in milliseconds, at least 1.
    pub fn step_ms(&self) -> Result<i64> {
        let text = self.get("step").ok_or_else(|| missing("step"))?;
        let step_ms = parse_duration_ms(text);
        let step_ms =
            step_ms.ok_or_else(|| invalid("step", &format!("cannot parse {} to a valid duration", quote(text))))?;
        if step_ms <= 0 {
            let text = "zero or negative query resolution step widths are not accepted. Try a positive integer";
            return Err(invalid("step", text));
        }
        Ok(step_ms)
    }

    /// `limit`: 0 where it is absent.
    pub fn limit(&self) -> Result<usize> {
        let Some(text) = self.get("limit") else { return Ok(0) };
        text.parse()
            .map_err(|_| Error::bad_request(format!("limit parameter must be greater than or equal to 0, got {text}")))
    }
}

/// `invalid parameter "name": reason`, 400.
pub fn invalid(name: &str, reason: &str) -> Error {
    Error::bad_request(format!("invalid parameter \"{name}\": {reason}"))
}

/// The answer to a parameter that is not there.
pub fn missing(name: &str) -> Error {
    Error::bad_request(format!("missing required parameter \"{name}\""))
}

/// The answer to a range that ends before it starts.
pub fn end_before_start() -> Error {
    invalid("end", "end timestamp must not be before start time")
}

/// Seconds since the Unix epoch with a fraction, or RFC 3339; the result in milliseconds. What is not finite lies before
/// all samples, as it does after the original's conversion to an integer.
pub fn parse_time_ms(text: &str) -> Option<i64> {
    match parse_special(text) {
        Some(_) => Some(i64::MIN),
        None => norn_gotext::time::parse_time(text).ok(),
    }
}

/// Seconds with a fraction, or a Prometheus duration; the result in milliseconds.
pub fn parse_duration_ms(text: &str) -> Option<i64> {
    match parse_special(text) {
        Some(value) if value.is_nan() => Some(0),
        Some(_) => None,
        None => norn_gotext::time::parse_duration(text).ok(),
    }
}

/// A float that is not finite, by one of its names.
fn parse_special(text: &str) -> Option<f64> {
    norn_gotext::number::parse_float(text).ok().filter(|value| !value.is_finite())
}

/// Go's `%q`.
pub fn quote(text: &str) -> String {
    norn_gotext::quote::quote(text)
}

fn decode_form(form: &[u8], pairs: &mut Vec<(String, String)>) -> Result<()> {
    for pair in form.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        let middle = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        let value = pair.get(middle + 1..).unwrap_or(b"");
        pairs.push((decode_component(&pair[..middle])?, decode_component(value)?));
    }
    Ok(())
}

/// Undoes percent-encoding; bytes that are not UTF-8 become U+FFFD.
fn decode_component(component: &[u8]) -> Result<String> {
    let mut decoded = Vec::with_capacity(component.len());
    let mut rest = component.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => decoded.push(b' '),
            b'%' => {
                let digits = rest.as_slice().get(..2);
                let value = digits.and_then(|digits| std::str::from_utf8(digits).ok());
                let value = value.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                let Some(value) = value else {
                    let rest = rest.as_slice();
                    let escape = String::from_utf8_lossy(&rest[..rest.len().min(2)]);
                    return Err(Error::bad_request(format!("invalid URL escape {}", quote(&format!("%{escape}")))));
                };
                decoded.push(value);
                rest = rest.as_slice()[2..].iter();
            }
            byte => decoded.push(*byte),
        }
    }
    Ok(String::from_utf8_lossy(&decoded).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_and_the_body_comes_first() {
        let parameters = Parameters::parse("query=a%2Bb+c&match[]=x&empty=", b"query=body&match%5B%5D=y").unwrap();
        assert_eq!(parameters.get("query"), Some("body"));
        assert_eq!(parameters.all("match[]").collect::<Vec<_>>(), ["y", "x"]);
        assert_eq!(parameters.get("empty"), None);
        assert_eq!(Parameters::parse("a=b+c%20d", b"").unwrap().get("a"), Some("b c d"));
        assert!(Parameters::parse("a=%zz", b"").is_err());
    }

    #[test]
    fn times_are_seconds_or_rfc_3339() {
        let check = |text: &str, expected: Option<i64>| assert_eq!(parse_time_ms(text), expected, "{text}");
        check("1793491200", Some(1_793_491_200_000));
        check("1793491200.123", Some(1_793_491_200_123));
        check("-1.5", Some(-1500));
        check("1e3", Some(1_000_000));
        check("Inf", Some(i64::MIN));
        check("-Inf", Some(i64::MIN));
        check("1e400", None);
        check("--1", None);
        check("0x10", None);
        check("1h", None);
        check("2026-11-01T00:00:00Z", Some(1_793_491_200_000));
        check("2026-11-01T01:00:00.5+01:00", Some(1_793_491_200_500));
        check("2026-11-01", None);
    }

    #[test]
    fn steps_are_seconds_or_durations() {
        let step = |text: &str| Parameters::parse(&format!("step={text}"), b"").unwrap().step_ms();
        assert_eq!(step("15").unwrap(), 15_000);
        assert_eq!(step("0.005").unwrap(), 5);
        assert_eq!(step("1m30s").unwrap(), 90_000);
        for text in ["0", "-1", "NaN", "0.0001", "0s"] {
            assert!(step(text).unwrap_err().message().contains("zero or negative"), "{text}");
        }
        for text in ["abc", "1x", "5m5", "1e400"] {
            assert!(step(text).unwrap_err().message().contains("to a valid duration"), "{text}");
        }
    }
}
