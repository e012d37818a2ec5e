//! What the world outside tells a process about its life, and what it tells back.

use norn_base::tasks::Tasks;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits for SIGTERM or SIGINT. From then on another one ends the process at once, with exit code 1.
///
/// Fails where the operating system refuses to hand signals over. Must be called on the async runtime.
pub fn on_shutdown_signal() -> std::io::Result<impl Future<Output = ()> + Send> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let name = either(&mut terminate, &mut interrupt).await;
        tracing::info!(signal = name, "received a signal, shutting down; another one ends the process at once");
        // Nobody stops this group: its task waits for as long as the runtime lives.
        Tasks::new().spawn("second signal", async move {
            let name = either(&mut terminate, &mut interrupt).await;
            tracing::warn!(signal = name, "received a second signal, leaving work behind");
            std::process::exit(1);
        });
    })
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

/// Tells systemd, where it waits for that, that the process takes requests.
pub fn notify_ready() {
    notify("READY=1");
}

/// Tells systemd that the process is about to end.
pub fn notify_stopping() {
    notify("STOPPING=1");
}

/// Source: `sd_notify(3)`: a datagram to the socket that the environment names, `@` standing for an abstract one.
fn notify(state: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(&socket, state) {
        tracing::warn!(%error, state, "failed to notify systemd");
    }
}

fn send(socket: &std::ffi::OsStr, state: &str) -> std::io::Result<()> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_is_told_over_its_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str(), "READY=1").unwrap();
        let mut buffer = [0; 32];
        let len = socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], b"READY=1");
    }
}
