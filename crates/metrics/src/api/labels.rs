//! Labels, label values, series and metadata.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::Uri;
use norn_base::{Error, Result};
use norn_model::Matcher;
use norn_model::write::MetricType;
use norn_server::tenant::Tenants;
use serde::Serialize;

use super::ApiState;
use super::encode::{write_labels, write_list};
use super::envelope::{ApiResult, finish, success};
use super::parameters::{Parameters, end_before_start, invalid, quote};
use crate::frontend::Frontend;
use crate::reader::LabelRequest;

/// `GET|POST /api/v1/labels`
pub async fn names(State(frontend): State<ApiState>, tenants: Tenants, parameters: Parameters) -> ApiResult {
    let limits = frontend.read_limits(&tenants)?;
    let mut request = label_request(&frontend, &parameters)?;
    let clamped = clamp(&mut request.limit, limits.max_label_names_limit, "querier.max-label-names-limit");
    let Some(request) = frontend.within_lookback(&limits, request) else { return Ok(success(&[(); 0], &[])) };
    let mut found = frontend.querier().label_names(&frontend.scope(&tenants)?, request).await?;
    found.warnings.extend(clamped);
    Ok(success(&found.names, &found.warnings))
}

/// `GET /api/v1/label/{name}/values`
pub async fn values(State(frontend): State<ApiState>, uri: Uri, tenants: Tenants, parameters: Parameters) -> ApiResult {
    let limits = frontend.read_limits(&tenants)?;
    let name = label_in_path(uri.path())?;
    let mut request = label_request(&frontend, &parameters)?;
    let clamped = clamp(&mut request.limit, limits.max_label_values_limit, "querier.max-label-values-limit");
    let Some(request) = frontend.within_lookback(&limits, request) else { return Ok(success(&[(); 0], &[])) };
    let mut found = frontend.querier().label_values(&frontend.scope(&tenants)?, &name, request).await?;
    found.warnings.extend(clamped);
    Ok(success(&found.names, &found.warnings))
}

/// The label in `…/label/{name}/values`. The router would refuse what is no UTF-8 in words of its own.
fn label_in_path(path: &str) -> Result<String> {
    let name = path.strip_suffix("/values").and_then(|path| path.rsplit_once('/')).map_or("", |(_, name)| name);
    let bytes: Vec<u8> = percent_encoding::percent_decode_str(name).collect();
    let invalid = |quoted: String| Error::bad_request(format!("invalid label name: {quoted}"));
    match String::from_utf8(bytes) {
        Ok(name) => match unescape_name(&name) {
            name if name.is_empty() => Err(invalid(quote(&name))),
            name => Ok(name),
        },
        Err(error) => Err(invalid(quote_bytes(error.as_bytes()))),
    }
}

/// Go's `%q` of bytes that are no UTF-8.
fn quote_bytes(bytes: &[u8]) -> String {
    let mut quoted = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        quoted.push_str(quote(chunk.valid()).trim_matches('"'));
        chunk.invalid().iter().for_each(|byte| quoted.push_str(&format!("\\x{byte:02x}")));
    }
    quoted + "\""
}

/// `GET|POST /api/v1/series`
pub async fn series(State(frontend): State<ApiState>, tenants: Tenants, parameters: Parameters) -> ApiResult {
    let limits = frontend.read_limits(&tenants)?;
    if parameters.all("match[]").next().is_none() {
        return Err(Error::bad_request("no match[] parameter provided").into());
    }
    let mut request = label_request(&frontend, &parameters)?;
    let clamped = clamp(&mut request.limit, limits.max_series_query_limit, "querier.max-series-query-limit");
    let Some(request) = frontend.within_lookback(&limits, request) else { return Ok(success(&[(); 0], &[])) };
    let (series, mut warnings) = frontend.querier().series(&frontend.scope(&tenants)?, request).await?;
    warnings.extend(clamped);
    let mut body = br#"{"status":"success","data":["#.to_vec();
    write_list(&mut body, &series, write_labels);
    body.push(b']');
    Ok(finish(body, &warnings, &[]))
}

#[derive(Serialize)]
struct MetadataEntry<'a> {
    #[serde(rename = "type")]
    metric_type: &'static str,
    help: &'a str,
    unit: &'a str,
}

/// `GET /api/v1/metadata`
pub async fn metadata(State(frontend): State<ApiState>, tenants: Tenants, parameters: Parameters) -> ApiResult {
    let limit = count_parameter(&parameters, "limit")?;
    let limit_per_metric = count_parameter(&parameters, "limit_per_metric")?;
    let found = frontend.querier().metadata(&frontend.scope(&tenants)?, parameters.get("metric")).await?;
    let mut families: BTreeMap<&str, Vec<MetadataEntry<'_>>> = BTreeMap::new();
    for metadata in &found {
        if limit.is_some_and(|limit| families.len() >= limit) && !families.contains_key(metadata.family.as_str()) {
            continue;
        }
        let entries = families.entry(&metadata.family).or_default();
        if limit_per_metric.is_none_or(|limit| limit == 0 || entries.len() < limit) {
            let metric_type = type_name(metadata.metric_type);
            entries.push(MetadataEntry { metric_type, help: &metadata.help, unit: &metadata.unit });
        }
    }
    Ok(success(&families, &[]))
}

/// A count that may be left out; `None` is no limit, as is a negative one.
fn count_parameter(parameters: &Parameters, name: &str) -> Result<Option<usize>> {
    let Some(text) = parameters.get(name) else { return Ok(None) };
    let count: i64 = text.parse().map_err(|_| Error::bad_request(format!("{name} must be a number")))?;
    Ok(usize::try_from(count).ok())
}

fn type_name(metric_type: MetricType) -> &'static str {
    match metric_type {
        MetricType::Unknown => "unknown",
        MetricType::Counter => "counter",
        MetricType::Gauge => "gauge",
        MetricType::Histogram => "histogram",
        MetricType::GaugeHistogram => "gaugehistogram",
        MetricType::Summary => "summary",
        MetricType::Info => "info",
        MetricType::StateSet => "stateset",
    }
}

fn label_request(frontend: &Frontend, parameters: &Parameters) -> Result<LabelRequest> {
    let range = parameters.time_range()?;
    if range.end_ms < range.start_ms {
        return Err(end_before_start());
    }
    let selectors = parse_selectors(frontend, parameters.all("match[]"))?;
    Ok(LabelRequest { selectors, range, limit: parameters.limit()? })
}

/// Parses series selectors; each has to exclude the empty value somewhere.
pub fn parse_selectors<'a>(frontend: &Frontend, texts: impl Iterator<Item = &'a str>) -> Result<Vec<Vec<Matcher>>> {
    let mut selectors = Vec::new();
    for text in texts {
        let matchers = frontend.parse_selector(text).map_err(|reason| invalid("match[]", &reason))?;
        if matchers.iter().all(Matcher::matches_empty) {
            return Err(Error::bad_request("match[] must contain at least one non-empty matcher"));
        }
        selectors.push(matchers);
    }
    Ok(selectors)
}

/// Lowers a limit to what the tenant may ask for, with a warning where that changes it.
fn clamp(limit: &mut usize, most: usize, flag: &str) -> Option<String> {
    if most == 0 || (*limit > 0 && *limit <= most) {
        return None;
    }
    let requested = std::mem::replace(limit, most);
    Some(format!("results may be truncated due to {flag} (requested limit: {requested}, enforced: {most})"))
}

/// Undoes the escaping of UTF-8 names in paths: `U__label_2e_name` is `label.name`.
///
/// Source: Prometheus' naming proposal, "value encoding": `__` is an underscore, `_hex_` a code point.
pub fn unescape_name(name: &str) -> String {
    let Some(escaped) = name.strip_prefix("U__") else { return name.to_owned() };
    let mut unescaped = String::new();
    let mut rest = escaped;
    while let Some(start) = rest.find('_') {
        unescaped.push_str(&rest[..start]);
        rest = &rest[start + 1..];
        if let Some(after) = rest.strip_prefix('_') {
            unescaped.push('_');
            rest = after;
            continue;
        }
        let decoded = rest.split_once('_').and_then(|(hex, after)| {
            let character = (hex.len() <= 6).then(|| u32::from_str_radix(hex, 16).ok().and_then(char::from_u32))??;
            Some((character, after))
        });
        // What is no escape sequence after all is taken as it stands.
        let Some((character, after)) = decoded else { return name.to_owned() };
        unescaped.push(character);
        rest = after;
    }
    unescaped.push_str(rest);
    unescaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unescaped() {
        let check = |name: &str, expected: &str| assert_eq!(unescape_name(name), expected);
        check("job", "job");
        check("U__label_2e_with_2e_dots", "label.with.dots");
        check("U__a__b", "a_b");
        check("U___6807__7b7e_", "标签");
        check("U__broken_zz_", "U__broken_zz_");
        check("U__", "");
    }

    #[test]
    fn limits_are_lowered_with_a_warning() {
        let check = |limit: usize, most: usize, expected: usize, warned: bool| {
            let mut lowered = limit;
            assert_eq!((clamp(&mut lowered, most, "flag").is_some(), lowered), (warned, expected));
        };
        check(0, 0, 0, false);
        check(5, 0, 5, false);
        check(5, 10, 5, false);
        check(20, 10, 10, true);
        check(0, 10, 10, true);
    }
}
