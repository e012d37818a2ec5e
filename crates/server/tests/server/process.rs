//! The life of a process, with a real signal.

use std::time::Duration;

use norn_server::services::{Part, Running, Services, State, on_shutdown_signal};

#[tokio::test]
async fn a_signal_ends_the_process_in_order() {
    let signal = on_shutdown_signal().unwrap();
    let part = Part::new("api", &[], |_| async { Ok(Running::passive()) });
    let services = Services::new(vec![part]).unwrap();
    let view = services.view();
    let kill = async {
        let mut changes = view.changes();
        while view.readiness().is_err() {
            changes.changed().await.unwrap();
        }
        let process = std::process::id().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &process]).status().unwrap().success());
    };
    let (result, ()) = tokio::join!(services.run(signal, Duration::ZERO, Duration::from_secs(5)), kill);
    result.unwrap();
    assert_eq!(view.states(), [("api", State::Terminated)]);
}
