//! Starts norn as a process of its own and talks HTTP to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a process may take to get ready, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running norn. Killed when it is dropped.
pub(crate) struct Norn {
    process: Child,
    pub(crate) address: String,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// The program under test.
pub(crate) fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_norn"))
}

impl Norn {
    /// Starts norn on a free port, in `folder`, and waits until it is ready.
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut process = program()
            .args(arguments)
            .args(["-server.http-listen-address=127.0.0.1", "-server.http-listen-port=0"])
            .args(["-server.grpc-listen-address=127.0.0.1", "-server.grpc-listen-port=0"])
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program was built before its tests");
        let stderr = process.stderr.take().expect("standard error is piped");
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            // The log is read to its end, so that the process never waits for its reader.
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if let Some(address) = bound_address(&line) {
                    sender.send(address).ok();
                }
            }
        });
        let address = receiver.recv_timeout(PATIENCE);
        let mut norn = Self { process, address: address.unwrap_or_default() };
        assert!(!norn.address.is_empty(), "norn did not say where it listens: {:?}", norn.process.try_wait());
        norn.wait_until_ready();
        norn
    }

    #[expect(clippy::disallowed_methods, reason = "another process is waited for, with a limit")]
    fn wait_until_ready(&mut self) {
        let begin = Instant::now();
        while self.try_request("GET", "/ready", &[], b"").is_none_or(|answer| answer.status != 200) {
            assert!(begin.elapsed() < PATIENCE, "norn did not get ready: {:?}", self.process.try_wait());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], b"")
    }

    pub(crate) fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.try_request(method, path, headers, body).unwrap_or_else(|| panic!("{method} {path} got no answer"))
    }

    /// `None` where the connection failed or broke before the whole answer was there.
    pub(crate) fn try_request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<Answer> {
        request(&self.address, method, path, headers, body)
    }

    /// Ends the process at once, as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("the process is ours");
        self.process.wait().expect("the process is ours");
    }

    /// Asks the process to end, and waits for it. Returns its exit code.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        let id = self.process.id().to_string();
        let done = Command::new("kill").args(["-TERM", &id]).status().expect("kill is on every machine");
        assert!(done.success());
        self.process.wait().expect("the process is ours").code()
    }

    /// The most memory that the process had so far, in kibibytes.
    pub(crate) fn peak_memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }
}

impl Drop for Norn {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Finds the address in the log line that says where the HTTP listener is.
fn bound_address(line: &str) -> Option<String> {
    if !line.contains("server listening") || !line.contains("protocol=http") {
        return None;
    }
    let rest = line.split_once("address=")?.1;
    Some(rest.split([' ', '"']).next()?.to_owned())
}

/// One request on a connection of its own.
pub(crate) fn request(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Option<Answer> {
    let mut connection = TcpStream::connect(address).ok()?;
    connection.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    connection.write_all(head.as_bytes()).ok()?;
    connection.write_all(body).ok()?;
    let mut received = Vec::new();
    connection.read_to_end(&mut received).ok()?;
    parse_answer(&received)
}

fn parse_answer(received: &[u8]) -> Option<Answer> {
    let end = received.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&received[..end]).ok()?.to_ascii_lowercase();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let rest = &received[end + 4..];
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")).and_then(|length| length.parse().ok());
    let body = match length {
        Some(length) => rest.get(..length)?.to_vec(),
        None if head.contains("transfer-encoding: chunked") => join_chunks(rest)?,
        None => rest.to_vec(),
    };
    Some(Answer { status, body })
}

fn join_chunks(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(end + 2..end + 2 + size)?);
        rest = rest.get(end + 4 + size..)?;
    }
}
