//! Compares what a process has with what it acknowledged: every sample and every exemplar, by value.

use std::ops::ControlFlow;

use norn_rpc::remote_write::{DecodedMetadata, DecodedSeries, WriteVisitor, v1};
use norn_rpc::{snappy, wire};

use super::writer::{PARTS, SERIES_PER_PART, STEP_MS, Writer, trace_id, value};
use crate::harness::Norn;

const ANSWER_BYTES_MAX: usize = 4 << 30;

/// All samples of all series, read by remote read.
pub(super) fn all_is_there(norn: &Norn, writer: &Writer) -> Result<(), String> {
    for part in 0..PARTS {
        let steps = writer.parts[part].acknowledged;
        let mut check = PartCheck { writer, part, steps, found: vec![false; SERIES_PER_PART], problem: None };
        let answer = read(norn, writer, part);
        let mut reader = wire::Reader::new(&answer);
        while let Some(result) = reader.next_field().map_err(|error| error.to_string())? {
            // A result has the form of a write request of version 1: series with labels and samples.
            let result = result.bytes().map_err(|error| error.to_string())?;
            v1::decode(result, &mut check).map_err(|error| error.to_string())?;
        }
        if steps > 0 && check.problem.is_none() {
            let missing = check.found.iter().filter(|found| !**found).count();
            check.problem = (missing > 0).then(|| format!("{missing} series are missing"));
        }
        if let Some(problem) = check.problem {
            return Err(format!("tenant {}, part {part}, {steps} steps acknowledged: {problem}", writer.tenant));
        }
    }
    Ok(())
}

/// One query of remote read for a part's samples of all times.
fn read(norn: &Norn, writer: &Writer, part: usize) -> Vec<u8> {
    let mut request = Vec::new();
    wire::put_message(&mut request, 1, |query| {
        wire::put_uint(query, 1, (writer.start_ms - 86_400_000).cast_unsigned());
        wire::put_uint(query, 2, (writer.time_ms(writer.parts[part].acknowledged) + 86_400_000).cast_unsigned());
        for (name, value) in [("__name__", "kill_total"), ("part", part.to_string().as_str())] {
            wire::put_message(query, 3, |matcher| {
                wire::put_text(matcher, 2, name);
                wire::put_text(matcher, 3, value);
            });
        }
    });
    let headers = [("X-Scope-OrgID", writer.tenant)];
    let answer = norn.request("POST", "/prometheus/api/v1/read", &headers, &snappy::encode(&request));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mut message = Vec::new();
    snappy::decode(&answer.body, &mut message, ANSWER_BYTES_MAX).unwrap();
    message
}

struct PartCheck<'a> {
    writer: &'a Writer,
    part: usize,
    steps: i64,
    found: Vec<bool>,
    problem: Option<String>,
}

impl PartCheck<'_> {
    fn check(&mut self, series: &DecodedSeries<'_>) -> Result<(), String> {
        let number = series.labels.iter().find(|(name, _)| *name == "series").ok_or("a series without its label")?;
        let number: usize = number.1.parse().map_err(|_| "a label that nobody wrote")?;
        let found = self.found.get_mut(number).ok_or("a series that nobody wrote")?;
        if std::mem::replace(found, true) {
            return Err(format!("series {number} is there twice"));
        }
        for (step, sample) in (0..).zip(&series.samples) {
            let expected = (self.writer.time_ms(step), value(self.part, number, step));
            if (sample.timestamp_ms, sample.value) != expected {
                let at = (sample.timestamp_ms - self.writer.start_ms) / STEP_MS;
                return Err(format!(
                    "series {number}, step {step}: found step {at}: {sample:?}, expected {expected:?}"
                ));
            }
        }
        let count = i64::try_from(series.samples.len()).unwrap();
        // One more may have been in flight.
        if count < self.steps || count > self.steps + 1 {
            return Err(format!("series {number} has {count} samples"));
        }
        Ok(())
    }
}

impl<'a> WriteVisitor<'a> for PartCheck<'_> {
    fn series(&mut self, series: &mut DecodedSeries<'a>) -> ControlFlow<()> {
        match self.check(series) {
            Ok(()) => ControlFlow::Continue(()),
            Err(problem) => {
                self.problem = Some(problem);
                ControlFlow::Break(())
            }
        }
    }

    fn metadata(&mut self, _: DecodedMetadata<'a>) {}
}

/// All exemplars of a writer, in order and once.
pub(super) fn exemplars_are_there(norn: &Norn, writer: &Writer) -> Result<(), String> {
    for part in 0..PARTS {
        let steps = writer.parts[part].acknowledged;
        let path = format!(
            "/prometheus/api/v1/query_exemplars?query=kill_total%7Bpart%3D%22{part}%22%7D&start={}&end={}",
            writer.start_ms / 1000,
            writer.time_ms(steps + 1) / 1000
        );
        let answer = norn.request("GET", &path, &[("X-Scope-OrgID", writer.tenant)], b"");
        let answer = answer.json();
        let found = answer["data"][0]["exemplars"].as_array().cloned().unwrap_or_default();
        let place = format!("tenant {}, part {part}, {steps} steps acknowledged", writer.tenant);
        for (step, exemplar) in (0..).zip(&found) {
            let id = exemplar["labels"]["trace_id"].as_str();
            let stored: Option<f64> = exemplar["value"].as_str().and_then(|text| text.parse().ok());
            if (id, stored) != (Some(trace_id(part, step).as_str()), Some(value(part, 0, step))) {
                return Err(format!("{place}: exemplar {step} of {} is {exemplar}", found.len()));
            }
        }
        let count = i64::try_from(found.len()).unwrap();
        if count < steps || count > steps + 1 {
            return Err(format!("{place}: {count} exemplars"));
        }
    }
    Ok(())
}
