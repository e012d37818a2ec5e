use super::*;

type Log = Arc<Mutex<Vec<String>>>;

fn part(name: &'static str, needs: &[&'static str], log: &Log) -> Part {
    let log = log.clone();
    Part::new(name, needs, move |_| async move {
        log.lock().push(format!("start {name}"));
        Ok(Running::new(move || async move {
            log.lock().push(format!("stop {name}"));
            Ok(())
        }))
    })
}

fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// Waits until all parts run.
async fn running(view: &ServicesView) {
    let mut changes = view.changes();
    while view.states().iter().any(|(_, state)| *state != State::Running) {
        changes.changed().await.unwrap();
    }
}

const SOON: Duration = Duration::from_millis(20);

#[test]
fn parts_start_after_their_needs_and_stop_before_them() {
    let log = Log::default();
    let parts = vec![
        part("api", &["querier", "distributor"], &log),
        part("distributor", &["ring"], &log),
        part("querier", &["store", "ring"], &log),
        part("ring", &[], &log),
        part("store", &[], &log),
    ];
    let services = Services::new(parts).unwrap();
    let view = services.view();
    assert!(view.readiness().unwrap_err().starts_with("Some services are not Running:\napi: New\n"));
    let stop = Stop::new();
    run(async {
        let watcher = async {
            running(&view).await;
            assert_eq!(view.readiness(), Ok(()));
            stop.request();
        };
        let (result, ()) = tokio::join!(services.run(stop.requested(), Duration::ZERO, SOON), watcher);
        result.unwrap();
    });
    let order = ["start ring", "start distributor", "start store", "start querier", "start api"];
    let mut expected: Vec<String> = order.map(str::to_owned).to_vec();
    expected.extend(order.iter().rev().map(|line| line.replace("start", "stop")));
    assert_eq!(*log.lock(), expected);
    assert!(view.states().iter().all(|(_, state)| *state == State::Terminated));
    assert_eq!(view.readiness().unwrap_err(), "Application is stopping");
}

#[test]
fn rows_that_make_no_sense_are_refused() {
    fn check(rows: &[(&'static str, &[&'static str])], expected: &str) {
        let log = Log::default();
        let parts = rows.iter().map(|(name, needs)| part(name, needs, &log)).collect();
        assert_eq!(Services::new(parts).unwrap_err().message(), expected);
    }
    check(&[("a", &["b"]), ("b", &["a"])], "modules need each other in a circle: a, b");
    check(&[("a", &["b"])], "module a needs b, which is not there");
    check(&[("a", &[]), ("a", &[])], "two modules are named a");
}

#[test]
fn a_part_that_cannot_start_stops_the_others() {
    let log = Log::default();
    let broken = Part::new("broken", &["ring"], |_| async { Err(Error::unavailable("no disk")) });
    let services = Services::new(vec![part("ring", &[], &log), broken, part("late", &["broken"], &log)]).unwrap();
    let view = services.view();
    let error = run(services.run(std::future::pending(), Duration::ZERO, SOON)).unwrap_err();
    assert_eq!(error.chain(), "module broken failed to start: no disk");
    assert_eq!(*log.lock(), ["start ring", "stop ring"]);
    assert_eq!(view.states(), [("broken", State::Failed), ("late", State::New), ("ring", State::Terminated)]);
}

#[test]
fn a_part_that_fails_later_ends_the_process() {
    let log = Log::default();
    let failing = Part::new("failing", &["ring"], |context: PartContext| async move {
        context.failures.report(Error::internal("lost the log"));
        Ok(Running::passive())
    });
    let services = Services::new(vec![part("ring", &[], &log), failing]).unwrap();
    let error = run(services.run(std::future::pending(), Duration::ZERO, SOON)).unwrap_err();
    assert_eq!(error.chain(), "failed services: module failing failed: lost the log");
    assert_eq!(*log.lock(), ["start ring", "stop ring"]);
}

#[test]
fn a_part_that_does_not_stop_keeps_no_other_from_stopping() {
    let log = Log::default();
    let stuck = Part::new("stuck", &["ring"], |_| async { Ok(Running::new(std::future::pending)) });
    let services = Services::new(vec![part("ring", &[], &log), stuck]).unwrap();
    let (view, stop) = (services.view(), Stop::new());
    let result = run(async {
        let (result, ()) = tokio::join!(services.run(stop.requested(), Duration::ZERO, SOON), async {
            running(&view).await;
            stop.request();
        });
        result
    });
    assert_eq!(result.unwrap_err().message(), "module stuck did not stop within 20ms");
    assert_eq!(*log.lock(), ["start ring", "stop ring"]);
    assert_eq!(view.states(), [("ring", State::Terminated), ("stuck", State::Failed)]);
}

#[test]
fn a_running_part_may_not_be_ready() {
    let waiting = Arc::new(Mutex::new(Err("Ingester not ready: replaying".to_owned())));
    let of_part = waiting.clone();
    let part = Part::new("ingester", &[], move |_| async move {
        Ok(Running::passive().with_readiness(move || of_part.lock().clone()))
    });
    let services = Services::new(vec![part]).unwrap();
    let view = services.view();
    run(async {
        let stop = Stop::new();
        let watcher = async {
            running(&view).await;
            assert_eq!(view.readiness().unwrap_err(), "Ingester not ready: replaying");
            *waiting.lock() = Ok(());
            assert_eq!(view.readiness(), Ok(()));
            stop.request();
        };
        let (result, ()) = tokio::join!(services.run(stop.requested(), Duration::ZERO, SOON), watcher);
        result.unwrap();
    });
}
