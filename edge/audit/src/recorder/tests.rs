//! The request path never waits, and nothing is lost in silence.

use std::fs;
use std::path::Path;

use super::*;
use crate::record::tests::exchange;
use crate::spec::{AccessLogSpec, AuditSpec};

fn logs(record: &str, access: &str, queue: usize) -> Logs {
    let audit = AuditSpec {
        output: record.to_owned().into(),
        queue,
        ..AuditSpec::default()
    };
    let access = AccessLogSpec {
        output: access.to_owned().into(),
        ..AccessLogSpec::default()
    };
    Logs::try_from((audit, access)).unwrap()
}

fn start(logs: &Logs) -> (Recorder, RecordCounters) {
    let counters = RecordCounters::unregistered();
    (Recorder::start(logs, counters.clone()).unwrap(), counters)
}

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).unwrap().lines().count()
}

fn path(folder: &tempfile::TempDir, name: &str) -> String {
    folder.path().join(name).display().to_string()
}

fn wait_for(path: &Path, count: usize) -> Duration {
    let start = Instant::now();
    while lines(path) < count {
        assert!(start.elapsed() < Duration::from_secs(5), "no line came");
        thread::sleep(Duration::from_micros(200));
    }
    start.elapsed()
}

#[test]
fn a_single_record_is_on_disk_within_ten_milliseconds_when_idle() {
    let folder = tempfile::tempdir().unwrap();
    let file = path(&folder, "r");
    let (recorder, _) = start(&logs(&file, "off", 16));
    let mut took: Vec<_> = (1..=9)
        .map(|count| {
            thread::sleep(Duration::from_millis(3));
            recorder.record(Box::new(exchange()));
            wait_for(Path::new(&file), count)
        })
        .collect();
    took.sort();
    // The median, since a busy machine may delay one.
    assert!(took[4] < Duration::from_millis(10), "{took:?}");
}

#[test]
fn both_logs_get_a_line_for_every_exchange_and_shutdown_writes_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let (record, access) = (path(&folder, "r"), path(&folder, "a"));
    let (recorder, counters) = start(&logs(&record, &access, 5000));
    for _ in 0..3000 {
        recorder.record(Box::new(exchange()));
    }
    assert!(recorder.shutdown(Duration::from_secs(10)));
    assert_eq!(lines(Path::new(&record)), 3000);
    assert_eq!(lines(Path::new(&access)), 3000);
    assert_eq!(counters.record.written.get(), 3000);
    for line in fs::read_to_string(record).unwrap().lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

#[test]
fn many_threads_never_mix_their_lines() {
    let folder = tempfile::tempdir().unwrap();
    let file = path(&folder, "r");
    let (recorder, counters) = start(&logs(&file, "off", 100));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    recorder.record(Box::new(exchange()));
                }
            });
        }
    });
    assert!(recorder.shutdown(Duration::from_secs(10)));
    let written = lines(Path::new(&file)) as u64;
    assert_eq!(written + counters.queue_full.get(), 2000);
    for line in fs::read_to_string(file).unwrap().lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

/// A pipe nobody reads: once it is full, a write to it blocks.
#[test]
fn a_reader_that_stopped_reading_blocks_neither_requests_nor_shutdown_for_long() {
    let (reader, writer) = io::pipe().unwrap();
    let file = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&writer));
    let (recorder, counters) = start(&logs(&file, "off", 8));
    let mut worst = Duration::ZERO;
    for _ in 0..300 {
        for _ in 0..8 {
            let begin = Instant::now();
            recorder.record(Box::new(exchange()));
            worst = worst.max(begin.elapsed());
        }
        // Lets the writer fill the pipe.
        thread::sleep(Duration::from_micros(500));
    }
    assert!(worst < Duration::from_secs(2), "{worst:?}");
    assert!(counters.queue_full.get() > 0);
    assert!(!recorder.shutdown(Duration::from_millis(50)));
    drop(reader);
}

#[test]
fn reopen_follows_a_rotation() {
    let folder = tempfile::tempdir().unwrap();
    let (file, old) = (path(&folder, "r"), path(&folder, "r.1"));
    let (recorder, _) = start(&logs(&file, "off", 16));
    recorder.record(Box::new(exchange()));
    wait_for(Path::new(&file), 1);
    fs::rename(&file, &old).unwrap();
    recorder.reopen();
    while !Path::new(&file).exists() {
        thread::sleep(Duration::from_millis(1));
    }
    recorder.record(Box::new(exchange()));
    wait_for(Path::new(&file), 1);
    assert_eq!(lines(Path::new(&old)), 1);
}

#[test]
fn a_reload_moves_to_another_file_and_a_bad_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (path(&folder, "1"), path(&folder, "2"));
    let (recorder, _) = start(&logs(&first, "off", 16));
    recorder.record(Box::new(exchange()));
    recorder.configure(&logs(&second, "off", 16)).unwrap();
    assert_eq!(wait_for(Path::new(&first), 1).as_secs(), 0);
    let bad = logs(&path(&folder, "no/such/folder"), "off", 16);
    recorder.configure(&bad).unwrap_err();
    thread::sleep(Duration::from_millis(20));
    recorder.record(Box::new(exchange()));
    wait_for(Path::new(&second), 1);
    assert!(recorder.shutdown(Duration::from_secs(5)));
    assert_eq!(lines(Path::new(&first)), 1);
}

#[test]
fn a_gateway_that_cannot_record_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let bad = logs(&path(&folder, "no/such/folder"), "off", 16);
    let error = Recorder::start(&bad, RecordCounters::unregistered()).unwrap_err();
    assert!(matches!(error, AuditError::Open { .. }), "{error}");
    assert!(error.to_string().contains("no/such/folder"), "{error}");
}

#[test]
fn a_probe_finds_what_cannot_be_opened_and_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let (new, old) = (path(&folder, "new"), path(&folder, "old"));
    fs::write(&old, "a line\n").unwrap();
    Recorder::probe(&logs(&new, &old, 16)).unwrap();
    Recorder::probe(&logs("stdout", "off", 16)).unwrap();
    assert!(!Path::new(&new).exists());
    assert_eq!(fs::read_to_string(&old).unwrap(), "a line\n");
    let within = path(&folder, "old/file");
    let none = path(&folder, "no/such/folder");
    for bad in [folder.path().to_str().unwrap(), &within, &none] {
        let errors = Recorder::probe(&logs(bad, &new, 16)).unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].to_string().contains(bad), "{errors:?}");
    }
}

#[test]
fn with_both_logs_off_nothing_is_queued_or_counted() {
    let (recorder, counters) = start(&logs("off", "off", 1));
    for _ in 0..100 {
        recorder.record(Box::new(exchange()));
    }
    assert_eq!(counters.queue_full.get(), 0);
    assert!(recorder.shutdown(Duration::from_secs(5)));
    assert!(
        !recorder.shutdown(Duration::from_millis(5)),
        "already ended"
    );
}

#[test]
fn a_full_disk_is_counted_and_does_not_hold_up_the_end() {
    if !Path::new("/dev/full").exists() {
        println!("skipped: no /dev/full");
        return;
    }
    let (recorder, counters) = start(&logs("/dev/full", "off", 16));
    recorder.record(Box::new(exchange()));
    assert!(!recorder.shutdown(Duration::from_millis(100)));
    assert_eq!(counters.record.dropped.get(), 1);
    assert!(counters.record.errors.get() >= 1);
}
