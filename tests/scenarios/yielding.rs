//! Big bodies are inspected beside the event loop: small requests do not wait for them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use harness::{Answer, Client, Gateway, Upstream};

/// One worker, so that nothing but yielding helps a small request.
const ONE_WORKER: &str = r#"
listeners: [{ address: "${LISTEN}", connections_per_address: 0 }]
admin: { address: "${ADMIN}" }
audit: { output: "${AUDIT_LOG}" }
workers: 1
upstreams: { app: { servers: ["${UPSTREAM}"] } }
profiles: { default: { body: { inspect: 2MiB, limit: 4MiB } } }
routes: [{ upstream: app }]
"#;

#[test]
fn small_requests_do_not_wait_for_the_inspection_of_a_mebibyte() {
    let upstream = Upstream::answering(|_| Answer::text("here"));
    let gateway = Gateway::configured(ONE_WORKER).before(&upstream).start();
    let body = prose(1 << 20);
    let send = || {
        let begin = Instant::now();
        let answer = Client::post(&gateway.address, "/", "application/json", body.as_bytes());
        assert_eq!(answer.status, 200);
        begin.elapsed()
    };
    let alone = send();
    let done = AtomicBool::new(false);
    let (mut small, big) = thread::scope(|scope| {
        let senders: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut sent = 0;
                    while !done.load(Ordering::Relaxed) {
                        send();
                        sent += 1;
                    }
                    sent
                })
            })
            .collect();
        let begin = Instant::now();
        let mut small = Vec::new();
        while begin.elapsed() < alone * 8 || small.len() < 100 {
            let asked = Instant::now();
            assert_eq!(Client::get(&gateway.address, "/?q=garden").status, 200);
            small.push(asked.elapsed());
        }
        done.store(true, Ordering::Relaxed);
        let big: u32 = senders
            .into_iter()
            .map(|sender| sender.join().unwrap())
            .sum();
        (small, big)
    });
    small.sort_unstable();
    let at = |share: usize| small[small.len() * share / 100];
    println!(
        "measured: 1 MiB of JSON alone {alone:?}; {} small requests beside {big} of them: \
         median {:?}, 99 of 100 within {:?}",
        small.len(),
        at(50),
        at(99)
    );
    assert!(big >= 3, "big bodies went through meanwhile");
    let bound = (alone / 2).max(Duration::from_millis(50));
    assert!(at(50) < bound, "half of them took {:?} and more", at(50));
}

/// JSON of that size that no rule minds.
fn prose(size: usize) -> String {
    let sentence = "the quick brown fox jumps over the lazy dog and goes on to the river ";
    let text = sentence.repeat(size / sentence.len());
    format!("{{\"text\": \"{text}\"}}")
}
