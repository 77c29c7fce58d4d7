//! Whole lines, whatever the disk does.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::*;

/// A disk that follows a script: room for so many bytes, then full.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<DiskState>>);

#[derive(Default)]
struct DiskState {
    files: Vec<Vec<u8>>,
    room: VecDeque<usize>,
    reopen_fails: bool,
}

impl Medium for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock().unwrap();
        let room = state.room.pop_front().unwrap_or(usize::MAX);
        if room == 0 {
            return Err(ErrorKind::StorageFull.into());
        }
        let count = room.min(bytes.len());
        if state.files.is_empty() {
            state.files.push(Vec::new());
        }
        state.files.last_mut().unwrap().extend(&bytes[..count]);
        Ok(count)
    }

    fn reopen(&mut self) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        if state.reopen_fails {
            return Err(ErrorKind::PermissionDenied.into());
        }
        state.files.push(Vec::new());
        Ok(())
    }
}

impl Disk {
    fn sink(&self, room: &[usize]) -> Sink {
        self.0.lock().unwrap().room = room.to_vec().into();
        Sink::new("test", Box::new(self.clone()), SinkCounters::unregistered())
    }

    fn files(&self) -> Vec<String> {
        let state = self.0.lock().unwrap();
        let text = |file: &Vec<u8>| String::from_utf8(file.clone()).unwrap();
        state.files.iter().map(text).collect()
    }
}

fn add(sink: &mut Sink, text: &str) {
    sink.line(|out| out.extend_from_slice(text.as_bytes()));
}

fn later(now: Instant) -> Instant {
    now + RETRY
}

#[test]
fn many_lines_are_one_write() {
    let disk = Disk::default();
    let mut sink = disk.sink(&[usize::MAX, 0]);
    add(&mut sink, "one");
    add(&mut sink, "two");
    sink.flush(Instant::now());
    assert_eq!(disk.files(), ["one\ntwo\n"]);
    assert_eq!(sink.counters.written.get(), 2);
}

#[test]
fn a_line_torn_by_a_full_disk_is_finished_where_it_stopped() {
    let (disk, now) = (Disk::default(), Instant::now());
    let mut sink = disk.sink(&[6, 0, 0]);
    add(&mut sink, "one");
    add(&mut sink, "two");
    sink.flush(now);
    assert_eq!(disk.files(), ["one\ntw"]);
    add(&mut sink, "three");
    sink.flush(now);
    assert_eq!(disk.files(), ["one\ntw"], "too early");
    sink.flush(later(now));
    assert_eq!(disk.files(), ["one\ntw"], "still full");
    sink.flush(later(later(now)));
    assert_eq!(disk.files(), ["one\ntwo\nthree\n"]);
    assert_eq!(sink.counters.errors.get(), 2);
    assert_eq!(sink.counters.dropped.get(), 0);
    assert!(sink.retry().is_none());
}

#[test]
fn a_torn_line_never_starts_a_new_file() {
    let (disk, now) = (Disk::default(), Instant::now());
    let mut sink = disk.sink(&[6, 0, 0]);
    add(&mut sink, "one");
    add(&mut sink, "two");
    add(&mut sink, "three");
    sink.flush(now);
    sink.reopen(now);
    assert_eq!(disk.files(), ["one\ntw", "three\n"]);
    assert_eq!(sink.counters.dropped.get(), 1);
    assert_eq!(sink.counters.written.get(), 2);
}

#[test]
fn lines_that_wait_for_a_full_disk_reach_the_new_file_whole() {
    let (disk, now) = (Disk::default(), Instant::now());
    let mut sink = disk.sink(&[4, 0, 0]);
    add(&mut sink, "one");
    add(&mut sink, "two");
    sink.flush(now);
    sink.reopen(now);
    assert_eq!(disk.files(), ["one\n", "two\n"]);
    assert_eq!(sink.counters.dropped.get(), 0);
}

#[test]
fn a_reopen_that_fails_keeps_the_old_file() {
    let (disk, now) = (Disk::default(), Instant::now());
    let mut sink = disk.sink(&[]);
    disk.0.lock().unwrap().reopen_fails = true;
    sink.reopen(now);
    add(&mut sink, "one");
    sink.flush(now);
    assert_eq!(disk.files(), ["one\n"]);
    assert_eq!(sink.counters.errors.get(), 1);
}

#[test]
fn the_backlog_is_bounded_and_what_does_not_fit_is_counted() {
    let (disk, now) = (Disk::default(), Instant::now());
    let mut sink = disk.sink(&[0]);
    let line = "x".repeat(BACKLOG / 4 - 1);
    add(&mut sink, &line);
    sink.flush(now);
    for _ in 0..6 {
        add(&mut sink, &line);
    }
    assert_eq!(sink.counters.dropped.get(), 3);
    sink.flush(later(now));
    assert_eq!(sink.counters.written.get(), 4);
    assert_eq!(disk.files()[0].lines().count(), 4);
}

#[test]
fn what_is_abandoned_at_the_end_is_counted() {
    let disk = Disk::default();
    let mut sink = disk.sink(&[0]);
    add(&mut sink, "one");
    add(&mut sink, "two");
    sink.flush(Instant::now());
    assert_eq!(sink.abandon(), 2);
    assert_eq!(sink.counters.dropped.get(), 2);
}

#[test]
fn a_file_that_ends_inside_a_line_is_continued_on_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    std::fs::write(&path, "whole\ntor").unwrap();
    for text in ["one", "two"] {
        let output = Output::File(path.clone());
        let mut sink = Sink::open("test", &output, SinkCounters::unregistered())
            .unwrap()
            .unwrap();
        add(&mut sink, text);
        sink.flush(Instant::now());
    }
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        "whole\ntor\none\ntwo\n"
    );
}

#[test]
fn a_renamed_file_is_followed_by_a_new_one_on_reopen() {
    let folder = tempfile::tempdir().unwrap();
    let (path, old) = (folder.path().join("log"), folder.path().join("log.1"));
    let output = Output::File(path.clone());
    let mut sink = Sink::open("test", &output, SinkCounters::unregistered())
        .unwrap()
        .unwrap();
    add(&mut sink, "one");
    sink.flush(Instant::now());
    std::fs::rename(&path, &old).unwrap();
    add(&mut sink, "two");
    sink.flush(Instant::now());
    sink.reopen(Instant::now());
    add(&mut sink, "three");
    sink.flush(Instant::now());
    assert_eq!(std::fs::read_to_string(old).unwrap(), "one\ntwo\n");
    assert_eq!(std::fs::read_to_string(path).unwrap(), "three\n");
}

#[test]
fn a_device_without_room_is_counted_rather_than_fatal() {
    let output = Output::File("/dev/full".into());
    let Ok(Some(mut sink)) = Sink::open("test", &output, SinkCounters::unregistered()) else {
        println!("skipped: no /dev/full");
        return;
    };
    add(&mut sink, "one");
    sink.flush(Instant::now());
    assert_eq!(sink.counters.errors.get(), 1);
    assert!(sink.retry().is_some());
}

#[test]
fn an_entry_of_several_lines_is_written_or_lost_as_one() {
    let disk = Disk::default();
    // The disk gives up after the first line of the second entry.
    let mut sink = disk.sink(&[6 + 4, 0]);
    add(&mut sink, "a\nb\nc");
    add(&mut sink, "one\ntwo");
    add(&mut sink, "next");
    let now = Instant::now();
    sink.flush(now);
    assert_eq!(sink.counters.written.get(), 1);
    disk.0.lock().unwrap().room = [0].into();
    sink.reopen(now);
    assert_eq!(disk.files(), ["a\nb\nc\none\n", "next\n"]);
    assert_eq!(
        (sink.counters.written.get(), sink.counters.dropped.get()),
        (2, 1)
    );
}
