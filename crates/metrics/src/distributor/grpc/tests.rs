use norn_rpc::wire::{put_double_always, put_message, put_text};
use norn_server::tenant::Tenancy;

use super::*;
use crate::distributor::http::tests::{Answer, Answered, bodies, distributor, send};
use crate::distributor::rules::WriteRules;

const BYTES_MAX: usize = 1000;

/// A call whose body is one gauge, in its frame.
fn call(name: &str, value_bytes: usize) -> Vec<u8> {
    let mut message = Vec::new();
    put_message(&mut message, 1, |resource| {
        put_message(resource, 2, |scope| {
            put_message(scope, 2, |metric| {
                put_text(metric, 1, name);
                put_message(metric, 5, |gauge| {
                    put_message(gauge, 1, |point| {
                        put_double_always(point, 4, 1.0);
                        put_message(point, 7, |attribute| {
                            put_text(attribute, 1, "key");
                            put_message(attribute, 2, |value| put_text(value, 1, &"x".repeat(value_bytes)));
                        });
                    });
                });
            });
        });
    });
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0][..], &length, &message].concat()
}

async fn export(answer: fn() -> norn_base::Result<()>, rules: WriteRules, body: Vec<u8>, tenant: &str) -> Answered {
    let settings = GrpcSettings { otlp_bytes_max: BYTES_MAX, retry_after: RetryAfter::default() };
    let distributor = distributor(Arc::new(Answer(answer)), rules);
    let random = norn_base::random::SeededRandom::shared(1);
    let router = Tenancy::by_header().protect(routes(distributor, bodies(), random, settings));
    let headers = [("content-type", "application/grpc"), ("x-scope-orgid", tenant)];
    send(router, "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", &headers, body).await
}

fn stored() -> norn_base::Result<()> {
    Ok(())
}

fn refused() -> norn_base::Result<()> {
    Err(Error::bad_request("out of order").with_rest_accepted())
}

fn broken() -> norn_base::Result<()> {
    Err(Error::internal("a bug"))
}

#[tokio::test]
async fn what_is_stored_is_a_success_in_full_or_in_part() {
    let complete = export(stored, WriteRules::default(), call("m", 1), "t").await;
    assert_eq!((complete.grpc_status(), complete.body.as_slice()), (Some("0"), &[0, 0, 0, 0, 0][..]));
    let partial = export(refused, WriteRules::default(), call("m", 1), "t").await;
    let message = ExportResponse { error_message: "out of order".to_owned(), rejected_data_points: 0 }.encode();
    assert_eq!((partial.grpc_status(), &partial.body[5..]), (Some("0"), message.as_slice()));
}

#[tokio::test]
async fn failures_say_what_a_client_can_do() {
    let details = |answered: &Answered| answered.header("grpc-status-details-bin").is_some();
    let check = async |answer, rules: WriteRules, body, tenant: &str, status: &str| {
        let answered = export(answer, rules, body, tenant).await;
        assert_eq!(answered.grpc_status(), Some(status), "{}", answered.text());
        assert!(details(&answered));
        answered
    };
    check(broken, WriteRules::default(), call("m", 1), "t", "14").await;
    check(stored, WriteRules::default(), b"\0\0\0\0\x01\x01".to_vec(), "t", "3").await;
    check(stored, WriteRules::default(), call("m", BYTES_MAX), "t", "8").await;
    check(stored, WriteRules { ingestion_burst: 0, ..WriteRules::default() }, call("m", 1), "t", "8").await;
    check(stored, WriteRules::default(), call("m", 1), "t|u", "3").await;
    check(stored, WriteRules::default(), call("m", 1), "", "16").await;
}
