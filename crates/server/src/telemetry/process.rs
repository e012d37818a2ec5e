//! What the operating system knows of this process, read at each scrape.
//!
//! Source: Linux `proc(5)`. On other systems nothing is reported.

use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Ticks a second of the times in `/proc/self/stat`: fixed in the interface between kernel and programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// Reports `process_*`.
#[derive(Debug, Default)]
pub struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        if let Some(seconds) = cpu_seconds() {
            let counter = ConstCounter::new(seconds);
            let help = "Total user and system CPU time spent in seconds";
            let metric = encoder.encode_descriptor("process_cpu_seconds", help, None, counter.metric_type())?;
            counter.encode(metric)?;
        }
        let gauges: [(&str, &str, Option<f64>); 8] = [
            ("process_resident_memory_bytes", "Resident memory size in bytes", status_bytes("VmRSS:")),
            ("process_virtual_memory_bytes", "Virtual memory size in bytes", status_bytes("VmSize:")),
            ("process_open_fds", "Number of open file descriptors", count_entries("/proc/self/fd")),
            ("process_max_fds", "Maximum number of open file descriptors", open_files_limit()),
            ("process_start_time_seconds", "Start time of the process since unix epoch in seconds", start_seconds()),
            ("process_threads", "Number of threads", status_number("Threads:")),
            ("process_memory_map_areas", "Number of memory map areas of the process", memory_map_areas()),
            (
                "process_memory_map_areas_limit",
                "Limit on the number of memory map areas of a process",
                read_number("/proc/sys/vm/max_map_count"),
            ),
        ];
        for (name, help, value) in gauges {
            let Some(value) = value else { continue };
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

/// The fields of `/proc/self/stat` from the third on: what stands before may hold spaces.
fn stat_field(number: usize) -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split_whitespace().nth(number - 3)?.parse().ok()
}

fn cpu_seconds() -> Option<f64> {
    Some((stat_field(14)? + stat_field(15)?) / TICKS_PER_SECOND)
}

fn start_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let boot: f64 = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(boot + stat_field(22)? / TICKS_PER_SECOND)
}

fn status_number(key: &str) -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(key))?;
    value.split_whitespace().next()?.parse().ok()
}

/// Sizes in that file are given in KiB.
fn status_bytes(key: &str) -> Option<f64> {
    Some(status_number(key)? * 1024.0)
}

fn open_files_limit() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn memory_map_areas() -> Option<f64> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    Some(maps.lines().count() as f64)
}

fn count_entries(folder: &str) -> Option<f64> {
    Some(fs::read_dir(folder).ok()?.count() as f64)
}

fn read_number(file: &str) -> Option<f64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}
