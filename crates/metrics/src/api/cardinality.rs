//! The cardinality API: how many values a label has, and how many series a value has. Ingesters answer it from memory.

use axum::extract::State;
use norn_base::{Error, ErrorKind, Result};
use norn_model::{Matcher, TenantId};
use norn_server::tenant::{Tenant, Tenants};
use serde::Serialize;

use super::ApiState;
use super::encode::{write_labels, write_list};
use super::envelope::{ApiError, ApiResult, json_response};
use super::parameters::Parameters;
use crate::frontend::Frontend;
use crate::reader::{CountMethod, HistogramBuckets, LabelCardinality};

/// How many entries an answer has where the request does not say.
const LIMIT_DEFAULT: usize = 20;

#[derive(Serialize)]
struct LabelNamesAnswer<'a> {
    label_values_count_total: usize,
    label_names_count: usize,
    cardinality: Vec<LabelNameEntry<'a>>,
}

#[derive(Serialize)]
struct LabelNameEntry<'a> {
    label_name: &'a str,
    label_values_count: usize,
}

#[derive(Serialize)]
struct LabelValuesAnswer {
    series_count_total: u64,
    labels: Vec<LabelEntry>,
}

#[derive(Serialize)]
struct LabelEntry {
    label_name: String,
    label_values_count: usize,
    series_count: u64,
    cardinality: Vec<LabelValueEntry>,
}

#[derive(Serialize)]
struct LabelValueEntry {
    label_value: String,
    series_count: u64,
}

/// What every endpoint here is asked.
struct Question {
    matchers: Vec<Matcher>,
    method: CountMethod,
    limit: usize,
}

/// `GET|POST /api/v1/cardinality/label_names`
pub async fn label_names(
    State(frontend): State<ApiState>,
    Tenant(tenant): Tenant,
    parameters: Parameters,
) -> ApiResult {
    let question = question(&frontend, &tenant, &parameters, false)?;
    let ingesters = frontend.querier().ingesters();
    let found = ingesters.label_cardinality(&tenant, &[], &question.matchers, question.method).await?;
    check_size(&found, frontend.read_limits(&Tenants::one(tenant))?.label_names_and_values_bytes_max)?;
    let mut cardinality: Vec<_> = found
        .iter()
        .map(|label| LabelNameEntry { label_name: &label.name, label_values_count: label.series_by_value.len() })
        .collect();
    let label_values_count_total = cardinality.iter().map(|entry| entry.label_values_count).sum();
    cardinality.sort_by(|left, right| {
        right.label_values_count.cmp(&left.label_values_count).then_with(|| left.label_name.cmp(right.label_name))
    });
    let label_names_count = cardinality.len();
    cardinality.truncate(question.limit);
    Ok(json(&LabelNamesAnswer { label_values_count_total, label_names_count, cardinality }))
}

/// Refuses to count where the names and values of the labels have more bytes than they may.
fn check_size(found: &[LabelCardinality], bytes_max: u64) -> Result<()> {
    let values = |label: &LabelCardinality| label.series_by_value.iter().map(|(value, _)| value.len()).sum::<usize>();
    let bytes: usize = found.iter().map(|label| label.name.len() + values(label)).sum();
    if bytes_max == 0 || bytes as u64 <= bytes_max {
        return Ok(());
    }
    let text = format!(
        "label names and values of {bytes} bytes exceed the limit of {bytes_max} bytes; ask with a selector of fewer series"
    );
    Err(Error::new(ErrorKind::TooLarge, text))
}

/// `GET|POST /api/v1/cardinality/label_values`
pub async fn label_values(
    State(frontend): State<ApiState>,
    Tenant(tenant): Tenant,
    parameters: Parameters,
) -> ApiResult {
    let question = question(&frontend, &tenant, &parameters, false)?;
    let names: Vec<String> = parameters.all("label_names[]").map(str::to_owned).collect();
    let limits = frontend.read_limits(&Tenants::one(tenant.clone()))?;
    check_names(&names, limits.label_values_max_cardinality_label_names_per_request)?;
    let ingesters = frontend.querier().ingesters();
    let found = ingesters.label_cardinality(&tenant, &names, &question.matchers, question.method).await?;
    let series_count_total = ingesters.series_count(&tenant, &[], question.method).await?;
    let mut labels: Vec<_> = found.into_iter().map(|label| label_entry(label, question.limit)).collect();
    labels.sort_by(|left, right| {
        right.series_count.cmp(&left.series_count).then_with(|| left.label_name.cmp(&right.label_name))
    });
    Ok(json(&LabelValuesAnswer { series_count_total, labels }))
}

fn check_names(names: &[String], most: usize) -> Result<()> {
    if names.is_empty() {
        return Err(Error::bad_request("'label_names[]' param is required"));
    }
    if most > 0 && names.len() > most {
        let given = names.len();
        let text =
            format!("label values cardinality request label names limit (limit: {most} actual: {given}) exceeded");
        return Err(Error::bad_request(text));
    }
    match names.iter().find(|name| name.is_empty() || name.contains('\u{fffd}')) {
        Some(name) => Err(Error::bad_request(format!("invalid 'label_names' param '{name}'"))),
        None => Ok(()),
    }
}

fn label_entry(label: LabelCardinality, limit: usize) -> LabelEntry {
    let LabelCardinality { name, mut series_by_value } = label;
    let label_values_count = series_by_value.len();
    let series_count = series_by_value.iter().map(|(_, series)| series).sum();
    series_by_value.sort_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
    series_by_value.truncate(limit);
    let entry = |(label_value, series_count)| LabelValueEntry { label_value, series_count };
    let cardinality = series_by_value.into_iter().map(entry).collect();
    LabelEntry { label_name: name, label_values_count, series_count, cardinality }
}

/// `GET|POST /api/v1/cardinality/active_series`
pub async fn active_series(
    State(frontend): State<ApiState>,
    Tenant(tenant): Tenant,
    parameters: Parameters,
) -> ApiResult {
    let question = question(&frontend, &tenant, &parameters, true)?;
    let limits = frontend.read_limits(&Tenants::one(tenant.clone()))?;
    let series = frontend.querier().ingesters().active_series(&tenant, &question.matchers).await?;
    let mut body = br#"{"data":["#.to_vec();
    write_list(&mut body, &series, write_labels);
    body.extend_from_slice(b"]}");
    let most = limits.active_series_results_max_size_bytes;
    if most > 0 && body.len() as u64 > most {
        let text =
            format!("the answer of {} bytes exceeds the limit of {most} bytes; ask for fewer series", body.len());
        return Err(ApiError(Error::new(ErrorKind::TooLarge, text)));
    }
    Ok(json_response(200, body))
}

#[derive(Serialize)]
struct NativeHistogramsAnswer {
    data: Vec<NativeHistogramMetric>,
}

#[derive(Serialize)]
struct NativeHistogramMetric {
    metric: String,
    series_count: u64,
    bucket_count: u64,
    avg_bucket_count: f64,
    min_bucket_count: u64,
    max_bucket_count: u64,
}

/// `GET|POST /api/v1/cardinality/active_native_histogram_metrics`
pub async fn active_native_histograms(
    State(frontend): State<ApiState>,
    Tenant(tenant): Tenant,
    parameters: Parameters,
) -> ApiResult {
    let question = question(&frontend, &tenant, &parameters, true)?;
    let found = frontend.querier().ingesters().active_histograms(&tenant, &question.matchers).await?;
    let metric = |(metric, counts): (String, HistogramBuckets)| NativeHistogramMetric {
        metric,
        series_count: counts.series,
        bucket_count: counts.buckets,
        avg_bucket_count: counts.buckets as f64 / counts.series.max(1) as f64,
        min_bucket_count: counts.min_buckets,
        max_bucket_count: counts.max_buckets,
    };
    let data = found.into_iter().map(metric).collect();
    Ok(json(&NativeHistogramsAnswer { data }))
}

fn question(
    frontend: &Frontend,
    tenant: &TenantId,
    parameters: &Parameters,
    selector_needed: bool,
) -> Result<Question> {
    let tenants = Tenants::one(tenant.clone());
    let limits = frontend.read_limits(&tenants)?;
    if !limits.cardinality_analysis_enabled {
        return Err(Error::bad_request(format!("cardinality analysis is disabled for the tenant: {tenant}")));
    }
    let matchers = match parameters.get("selector") {
        Some(text) => {
            let parsed = frontend.parse_selector(text);
            parsed.map_err(|reason| Error::bad_request(format!("failed to parse selector: {reason}")))?
        }
        None if selector_needed => return Err(Error::bad_request("missing 'selector' parameter")),
        None => Vec::new(),
    };
    let method = match parameters.get("count_method") {
        None | Some("inmemory") => CountMethod::InMemory,
        Some("active") => CountMethod::Active,
        Some(other) => {
            let text = format!("invalid 'count_method' param '{other}'. valid options are: [active,inmemory]");
            return Err(Error::bad_request(text));
        }
    };
    let limit = match parameters.get("limit") {
        None => LIMIT_DEFAULT,
        Some(text) => parse_limit(text, limits.cardinality_analysis_max_results)?,
    };
    Ok(Question { matchers, method, limit })
}

fn parse_limit(text: &str, most: usize) -> Result<usize> {
    let limit: i64 = text.parse().map_err(|_| Error::bad_request("'limit' param must be a number"))?;
    let limit = usize::try_from(limit).map_err(|_| Error::bad_request("'limit' param cannot be less than '0'"))?;
    if limit > most {
        return Err(Error::bad_request(format!("'limit' param cannot be greater than '{most}'")));
    }
    Ok(limit)
}

fn json<T: Serialize>(answer: &T) -> axum::response::Response {
    json_response(200, serde_json::to_vec(answer).expect("answers can be written as JSON"))
}
