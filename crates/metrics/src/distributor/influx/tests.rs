use std::ops::ControlFlow;

use norn_rpc::remote_write::{DecodedMetadata, DecodedSeries, WriteVisitor};

use norn_base::clock::ManualClock;
use norn_base::random::SeededRandom;
use norn_server::tenant::Tenancy;

use super::*;
use crate::distributor::Source;
use crate::distributor::http::tests::{Answer, bodies, distributor, send};
use crate::distributor::rules::WriteRules;

#[derive(Default)]
struct Shown(Vec<String>);

impl<'a> WriteVisitor<'a> for Shown {
    fn series(&mut self, series: &mut DecodedSeries<'a>) -> ControlFlow<()> {
        let mut labels: Vec<_> = series.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        labels.sort();
        let sample = series.samples[0];
        self.0.push(format!("{} {}@{}", labels.join(","), sample.value, sample.timestamp_ms));
        ControlFlow::Continue(())
    }

    fn metadata(&mut self, _metadata: DecodedMetadata<'a>) {}
}

fn check(body: &str, precision: &str, expected: Result<&[&str], &str>) {
    let parsed = Lines::parse(body.as_bytes(), precision, 7).map(|lines| {
        let mut shown = Shown::default();
        lines.show(&mut shown).unwrap();
        shown.0
    });
    match (parsed, expected) {
        (Ok(shown), Ok(expected)) => assert_eq!(shown, expected, "{body}"),
        (Err(error), Err(expected)) => assert_eq!(error.message(), expected, "{body}"),
        (parsed, expected) => panic!("{body}: {parsed:?}, not {expected:?}"),
    }
}

#[test]
fn each_field_is_a_sample() {
    let proxy = "__proxy_source__=influx";
    check(
        "cpu,host-name=a,zone=b\\ c usage=0.5,total=7i,up=t,note=\"x, y=z\",value=2 1793494800000999999\n\n# comment\n",
        "ns",
        Ok(&[
            &format!("__name__=cpu_usage,{proxy},host_name=a,zone=b c 0.5@1793494800000"),
            &format!("__name__=cpu_total,{proxy},host_name=a,zone=b c 7@1793494800000"),
            &format!("__name__=cpu_up,{proxy},host_name=a,zone=b c 1@1793494800000"),
            &format!("__name__=cpu,{proxy},host_name=a,zone=b c 2@1793494800000"),
        ]),
    );
    check("m\\,x f=-1e3", "", Ok(&[&format!("__name__=m_x_f,{proxy} -1000@7")]));
    check("m f=18446744073709551615u 5", "s", Ok(&[&format!("__name__=m_f,{proxy} 18446744073709552000@5000")]));
    check("m f=FALSE 1500", "us", Ok(&[&format!("__name__=m_f,{proxy} 0@1")]));
    check("", "h", Ok(&[]));
}

#[test]
fn bad_lines_are_named() {
    let bad = |line: usize, problem: &str| format!("unable to parse line {line} of the line protocol: {problem}");
    check("m f=1\nm", "", Err(&bad(2, "missing fields")));
    check(",a=b f=1", "", Err(&bad(1, "missing measurement")));
    check("m f=x", "", Err(&bad(1, "bad field value \"x\"")));
    check("m,a= f=1", "", Err(&bad(1, "\"a=\" is no name and value")));
    check("m f=1 now", "", Err(&bad(1, "bad timestamp \"now\"")));
    check("m f=1", "d", Err("precision supplied is not valid: d"));
}

#[tokio::test]
async fn writes_have_no_answer() {
    let check = async |query: &str, body: &str, status, text: &str| {
        let router = routes(
            distributor(Arc::new(Answer(|| Ok(()))), WriteRules::default()),
            bodies(),
            ManualClock::at(1_795_000_000_000),
            SeededRandom::shared(1),
            InfluxSettings { bytes_max: 100, retry_after: RetryAfter::default() },
        );
        let router = Tenancy::by_header().protect(router);
        let path = format!("/api/v1/push/influx/write?{query}");
        let answered = send(router, &path, &[], body.as_bytes().to_vec()).await;
        assert_eq!((answered.status, answered.text().as_str()), (status, text));
    };
    check("db=x&precision=s", "m f=1 1795000000", 204, "").await;
    check("", "m", 400, "unable to parse line 1 of the line protocol: missing fields\n").await;
    let future = "received a sample whose timestamp is too far in the future, timestamp: 1795000601000 series: 'm_f' \
                  (err-mimir-too-far-in-future). To adjust the related per-tenant limit, configure \
                  -validation.create-grace-period, or contact your service administrator.\n";
    check("precision=s", "m f=1 1795000601", 400, future).await;
    check(
        "precision=ms",
        &"x".repeat(101),
        400,
        "the request body of 101 bytes is larger than the allowed 100 bytes\n",
    )
    .await;
}
