//! A disk that fills up: writes are refused and say why, reads go on, and with room again everything goes on by itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use norn_base::clock::SystemClock;

use crate::harness::Norn;
use crate::write_and_query::{HEADERS, remote_write, values};

const SERIES: usize = 1_000;
const STEP_MS: i64 = 15_000;
/// The disk, and what lies on it beside norn's data.
const DISK_MIB: usize = 40;
const BALLAST_MIB: usize = 24;
/// Far more requests than fit.
const REQUESTS_MAX: i64 = 20_000;

/// A small file system; unmounted when it is dropped.
struct Disk {
    path: PathBuf,
}

impl Disk {
    fn mount(path: PathBuf) -> Self {
        std::fs::create_dir(&path).unwrap();
        let options = format!("size={DISK_MIB}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&path).status().unwrap();
        assert!(mounted.success(), "a file system can be mounted only by root");
        Self { path }
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.path).status().ok();
    }
}

struct Writer {
    start_ms: i64,
    /// All steps below this one are acknowledged, and no others.
    acknowledged: i64,
}

impl Writer {
    /// Writes the next step. The error is the answer's status and text.
    fn write(&mut self, norn: &Norn) -> Result<(), (u16, String)> {
        let step = self.acknowledged;
        let body = remote_write(0..SERIES, self.time_ms(step), |series| (series as i64 * 100_000 + step) as f64);
        let answer = norn.request("POST", "/api/v1/push", HEADERS, &body);
        if answer.status != 200 {
            return Err((answer.status, answer.text()));
        }
        self.acknowledged += 1;
        Ok(())
    }

    fn time_ms(&self, step: i64) -> i64 {
        self.start_ms + step * STEP_MS
    }

    /// Every series has each acknowledged sample.
    fn check(&self, norn: &Norn, what: &str) {
        let last = self.acknowledged - 1;
        let expected = vec![self.acknowledged as f64; SERIES];
        let counts = values(norn, "count_over_time(system_test_total[30d])", self.time_ms(last));
        assert_eq!(counts, expected, "{what}");
        let newest = values(norn, "system_test_total", self.time_ms(last));
        let expected: Vec<f64> = (0..SERIES as i64).map(|series| (series * 100_000 + last) as f64).collect();
        assert_eq!(newest, expected, "{what}");
    }
}

fn fill(path: &Path) {
    std::fs::write(path, vec![1; BALLAST_MIB << 20]).unwrap();
}

#[test]
#[ignore = "needs root, to mount a small file system"]
fn conformance_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::mount(folder.path().join("disk"));
    let data = format!("-data-dir={}", disk.path.join("norn-data").display());
    let arguments = [
        data.as_str(),
        "-auth.multitenancy-enabled=true",
        "-querier.query-ingesters-within=0s",
        "-querier.max-samples=1000000000",
    ];
    fill(&disk.ballast());

    let mut norn = Norn::start(folder.path(), &arguments);
    let start_ms = SystemClock::shared().now_ms() / STEP_MS * STEP_MS - 10 * 86_400_000;
    let mut writer = Writer { start_ms, acknowledged: 0 };
    let (status, text) = (0..REQUESTS_MAX).find_map(|_| writer.write(&norn).err()).expect("the disk is small");
    assert_eq!(status, 503, "{text}");
    assert!(text.contains("no space left") && text.contains("free some"), "{text}");
    assert!(writer.acknowledged > 10, "{text}");
    for _ in 0..20 {
        writer.write(&norn).err();
    }
    writer.check(&norn, "while the disk is full");
    let flushed = norn.request("POST", "/ingester/flush?wait=true", &[], b"");
    assert!(flushed.status >= 500, "a block cannot be cut: {}", flushed.text());
    writer.check(&norn, "after a flush that failed");

    std::fs::remove_file(disk.ballast()).unwrap();
    let before = writer.acknowledged;
    for _ in 0..20 {
        writer.write(&norn).unwrap();
    }
    assert_eq!(writer.acknowledged, before + 20);
    writer.check(&norn, "with room again");
    norn.kill();
    let mut norn = Norn::start(folder.path(), &arguments);
    writer.check(&norn, "after a kill");
    let flushed = norn.request("POST", "/ingester/flush?wait=true", &[], b"");
    assert_eq!(flushed.status, 204, "{}", flushed.text());
    norn.kill();
    let norn = Norn::start(folder.path(), &arguments);
    writer.check(&norn, "after a flush");
}
