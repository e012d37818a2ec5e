//! Starts norn as a process of its own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::client::{Answer, Client, Headers};

/// How long a process may take to get ready, on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running norn. Killed when it is dropped.
pub(crate) struct Norn {
    process: Child,
    pub(crate) address: String,
    log: Arc<Log>,
}

/// What a process has said so far.
#[derive(Default)]
struct Log {
    lines: Mutex<Said>,
    more: Condvar,
}

#[derive(Default)]
struct Said {
    lines: Vec<String>,
    ended: bool,
}

impl Log {
    fn change(&self, change: impl FnOnce(&mut Said)) {
        // A test that failed while it looked at the log has poisoned the lock, and nobody looks any more.
        if let Ok(mut said) = self.lines.lock() {
            change(&mut said);
            self.more.notify_all();
        }
    }
}

/// The program under test: the one that was built with the tests, or the one that `NORN_BINARY` names.
pub(crate) fn program() -> Command {
    match std::env::var_os("NORN_BINARY") {
        Some(path) => Command::new(path),
        None => Command::new(env!("CARGO_BIN_EXE_norn")),
    }
}

impl Norn {
    /// Starts norn on a free port, in `folder`, and waits until it is ready.
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut norn = Self::spawn(folder, arguments);
        norn.wait_until_ready();
        norn
    }

    /// Starts norn as [`Self::start`] does, and waits for nothing.
    pub(crate) fn spawn(folder: &Path, arguments: &[&str]) -> Self {
        let mut process = program()
            .args(["-server.http-listen-address=127.0.0.1", "-server.http-listen-port=0"])
            .args(["-server.grpc-listen-address=127.0.0.1", "-server.grpc-listen-port=0"])
            .args(["-server.http-listen-extra-ports="])
            .args(arguments)
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program was built before its tests");
        let stderr = process.stderr.take().expect("standard error is piped");
        let log = Arc::new(Log::default());
        let writer = log.clone();
        std::thread::spawn(move || {
            // The log is read to its end, so that the process never waits for its reader.
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                writer.change(|said| said.lines.push(line));
            }
            writer.change(|said| said.ended = true);
        });
        Self { process, address: String::new(), log }
    }

    /// Waits until the process serves.
    #[expect(clippy::disallowed_methods, reason = "another process is waited for, with a limit")]
    pub(crate) fn wait_until_ready(&mut self) {
        let line = self.wait_for_log("where it listens", |line| bound_address(line).is_some());
        self.address = bound_address(&line).expect("the line was chosen by it");
        let begin = Instant::now();
        while self.try_get("/ready").is_none_or(|answer| answer.status != 200) {
            assert!(begin.elapsed() < PATIENCE, "norn did not get ready: {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for a line of the log and returns it.
    pub(crate) fn wait_for_log(&self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        let mut said = self.log.lines.lock().unwrap();
        loop {
            if let Some(line) = said.lines.iter().find(|line| is_it(line)) {
                return line.clone();
            }
            assert!(!said.ended, "norn ended and did not say {what}: {}", said.lines.join("\n"));
            let (next, waited) = self.log.more.wait_timeout(said, PATIENCE).unwrap();
            assert!(!waited.timed_out(), "norn did not say {what}: {}", next.lines.join("\n"));
            said = next;
        }
    }

    /// What the process has said so far.
    pub(crate) fn log(&self) -> String {
        self.log.lines.lock().unwrap().lines.join("\n")
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], b"")
    }

    fn try_get(&self, path: &str) -> Option<Answer> {
        Client::new(&self.address).request("GET", path, &[], b"")
    }

    /// One request on a connection of its own.
    pub(crate) fn request(&self, method: &str, path: &str, headers: Headers<'_>, body: &[u8]) -> Answer {
        let answer = Client::new(&self.address).request(method, path, headers, body);
        answer.unwrap_or_else(|| panic!("{method} {path} got no answer: {}", self.log()))
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

    /// The most memory that the process had so far, in kibibytes; 0 where it is gone.
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
