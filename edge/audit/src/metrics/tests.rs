//! What is counted, under which labels, and how many series that can become.

use edge_core::{Decision, Fault, Refusal, Verdict};

use super::*;
use crate::record::tests::exchange;

fn metrics() -> Arc<Metrics> {
    Metrics::new("1.2.3").unwrap()
}

fn finding(rule_id: u64) -> Finding {
    Finding {
        rule_id,
        msg: String::new(),
        data: String::new(),
        matched: String::new(),
        variable: String::new(),
        severity: None,
        tags: Arc::from([]),
    }
}

#[test]
fn an_exchange_is_counted_by_route_verdict_class_and_layer() {
    let metrics = metrics();
    let mut exchange = exchange();
    exchange.decision = Some(Decision {
        layer: Layer::Waf,
        verdict: Verdict::Respond(Refusal::new(403, "x")),
        enforced: true,
    });
    exchange.response_status = Some(403);
    exchange.timings.add(Layer::Waf, Duration::from_micros(30));
    exchange.faults.push(Fault {
        layer: Layer::Body,
        what: "x".into(),
    });
    metrics.route(&"shop".into()).observe(&exchange);
    let text = metrics.text();
    for line in [
        "palisade_requests_total{route=\"shop\",verdict=\"blocked\"} 1",
        "palisade_requests_total{route=\"shop\",verdict=\"allowed\"} 0",
        "palisade_responses_total{class=\"4xx\",route=\"shop\"} 1",
        "palisade_layer_seconds_count{layer=\"waf\"} 1",
        "palisade_layer_seconds_bucket{layer=\"waf\",le=\"0.00005\"} 1",
        "palisade_faults_total{layer=\"body\"} 1",
        "palisade_build_info{version=\"1.2.3\"} 1",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn an_exchange_without_an_answer_has_a_class_of_its_own() {
    let metrics = metrics();
    let mut exchange = exchange();
    exchange.response_status = None;
    metrics.route(&"a".into()).observe(&exchange);
    exchange.response_status = Some(999);
    metrics.route(&"a".into()).observe(&exchange);
    let line = "palisade_responses_total{class=\"none\",route=\"a\"} 2";
    assert!(metrics.text().contains(line));
}

#[test]
fn a_rule_has_a_series_from_its_first_match_on_and_strangers_share_one() {
    let metrics = metrics();
    let rules = metrics.rules([942_100, 920_100]);
    assert!(!metrics.text().contains("942100"));
    rules.observe(&[finding(942_100), finding(7), finding(0), finding(942_100)]);
    let text = metrics.text();
    assert!(
        text.contains("palisade_rule_matches_total{rule_id=\"942100\"} 2"),
        "{text}"
    );
    assert!(
        text.contains("palisade_rule_matches_total{rule_id=\"other\"} 1"),
        "{text}"
    );
    assert!(!text.contains("920100"));
}

#[test]
fn a_reload_counts_on_where_the_old_configuration_stopped() {
    let metrics = metrics();
    metrics.route(&"a".into()).observe(&exchange());
    metrics.route(&"a".into()).observe(&exchange());
    let line = "palisade_requests_total{route=\"a\",verdict=\"allowed\"} 2";
    assert!(metrics.text().contains(line));
    metrics.reloads.failed();
    metrics
        .reloads
        .succeeded(UNIX_EPOCH + Duration::from_secs(5));
    let text = metrics.text();
    assert!(text.contains("palisade_config_reload_failure_total 1"));
    assert!(text.contains("palisade_config_last_reload_success_timestamp_seconds 5"));
}

#[test]
fn the_number_of_series_is_bounded() {
    let metrics = metrics();
    for number in 0..MAX_ROUTES + 5 {
        metrics
            .route(&format!("r{number}").into())
            .observe(&exchange());
    }
    let text = metrics.text();
    let line = "palisade_requests_total{route=\"other\",verdict=\"allowed\"} 5";
    assert!(text.contains(line));
    let last = format!("route=\"r{MAX_ROUTES}\"");
    assert!(!text.contains(&last));
    assert!(metrics.rules(0..MAX_RULES as u64 + 9).rules.len() == MAX_RULES);
}

#[test]
fn a_label_with_quotes_cannot_forge_a_line() {
    let metrics = metrics();
    metrics
        .route(&"a\"} 1\nforged 1".into())
        .observe(&exchange());
    assert!(
        !metrics
            .text()
            .lines()
            .any(|line| line.starts_with("forged"))
    );
}
