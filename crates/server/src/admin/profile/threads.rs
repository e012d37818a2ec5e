//! The threads of the process and the CPU time that each has used.

use axum::response::{IntoResponse, Response};
use http::header;

/// Ticks a second of the times in `/proc`: fixed in the interface between kernel and programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// Threads by CPU time, most first: `seconds  id  name`.
pub(super) async fn threads() -> Response {
    let mut threads = read_threads();
    threads.sort_by(|left, right| right.cpu_seconds.total_cmp(&left.cpu_seconds));
    let mut text = String::from("CPU seconds  thread id  name\n");
    for thread in threads {
        text.push_str(&format!("{:11.2}  {:9}  {}\n", thread.cpu_seconds, thread.id, thread.name));
    }
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

struct Thread {
    id: String,
    name: String,
    cpu_seconds: f64,
}

/// Source: Linux `proc(5)`, `/proc/self/task/*/stat`. A thread that ends meanwhile is left out.
fn read_threads() -> Vec<Thread> {
    let Ok(folder) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
    let mut threads = Vec::new();
    for entry in folder.flatten() {
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        if let Some((name, cpu_seconds)) = parse_stat(&stat) {
            threads.push(Thread { id: entry.file_name().to_string_lossy().into_owned(), name, cpu_seconds });
        }
    }
    threads
}

/// The name, and user and system time, the 14th and 15th field.
fn parse_stat(stat: &str) -> Option<(String, f64)> {
    let (before, after) = stat.rsplit_once(") ")?;
    let name = before.split_once('(')?.1.to_owned();
    let mut fields = after.split(' ').skip(14 - 3);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((name, (user + system) / TICKS_PER_SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let stat = "7 (a) (b) S 1 7 7 0 -1 4194368 0 0 0 0 150 50 0 0 20 0 1";
        assert_eq!(parse_stat(stat), Some(("a) (b".to_owned(), 2.0)));
        assert_eq!(parse_stat("7 (cut) S 1"), None);
        assert!(!read_threads().is_empty());
    }
}
