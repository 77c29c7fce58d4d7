#!/usr/bin/env bash
# Everything a change must pass, one line a step. The last line is `N passed, N failed, N skipped`: tests as
# cargo counts them, and each other step as one. Suites that need something this machine lacks print
# "skipped: NAME (reason)" and are repeated here by name. The first failing step does not hide the later ones,
# except that nothing runs on a workspace that does not build.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
export PATH="$HOME/.cargo/bin:$PATH"
# Incremental data costs time and gigabytes in a run that starts cold.
export CARGO_INCREMENTAL=0 CARGO_TERM_COLOR=never

target=${CARGO_TARGET_DIR:-target}
logs=$target/test-logs
passed=0 failed=0 skipped=0

main() {
  scripts/prerequisites.sh tests || { failed=1; summary; }
  mkdir -p "$logs"
  rust_component rustfmt "cargo fmt" && step format cargo fmt --all --check
  # One build of everything with one set of features; every later step that runs code finds it done. The
  # scenarios start this binary.
  step build cargo build --workspace --all-targets || summary
  export PALISADE_BIN=$PWD/$target/debug/palisade
  [[ $target == /* ]] && PALISADE_BIN=$target/debug/palisade
  tests
  if rust_component clippy "cargo clippy"; then
    step clippy cargo clippy --workspace --all-targets -- -D warnings
    # A feature that the workspace leaves off, and an example that needs it.
    step features cargo clippy -p waf-rules --features fuzzing --all-targets -- -D warnings
  fi
  RUSTDOCFLAGS='-D warnings' step docs cargo doc --workspace --no-deps
  step fuzz fuzz/smoke.sh
  if command -v cargo-deny >/dev/null; then
    step deny cargo deny --log-level error check bans licenses sources
  else
    skip deny "cargo-deny is not installed: cargo install cargo-deny --locked"
  fi
  summary
}

# Runs a step with its output in a log; shows the end of the log if it fails.
step() { # NAME COMMAND...
  local name=$1 log=$logs/$1.log begin=$SECONDS
  shift
  rm -f "$log"
  progress "$name"
  if shown "$name" "$log" "$@"; then
    passed=$((passed + 1))
    line ok "$name" $((SECONDS - begin))
  else
    failed=$((failed + 1))
    line FAILED "$name" $((SECONDS - begin))
    [[ -e $log ]] && tail -n 60 "$log" && printf '(all of it: %s)\n' "$log"
    return 1
  fi
}

# The build takes minutes: on a terminal cargo shows how far it is, elsewhere a line says so.
shown() { # NAME LOG COMMAND...
  local name=$1 log=$2
  shift 2
  if [[ $name != build ]]; then
    "$@" >"$log" 2>&1
  elif [[ -t 2 ]]; then
    "$@"
  else
    echo '  ... building everything once: several hundred crates when cold, some minutes'
    "$@" >"$log" 2>&1
  fi
}

# All unit tests, scenarios and conformance suites. A suite that skips itself counts as skipped, though cargo
# counts its test as passed.
tests() {
  local log=$logs/tests.log begin=$SECONDS status ok bad ignored aloud
  progress tests
  cargo test --workspace --no-fail-fast -- --show-output >"$log" 2>&1
  status=$?
  read -r ok bad ignored <<<"$(awk '/^test result: / { ok += $4; bad += $6; ignored += $8 } END { print ok + 0, bad + 0, ignored + 0 }' "$log")"
  aloud=$(grep -c '^skipped: ' "$log")
  # cargo may fail without a failed test: a doc test that does not build, a crash.
  [[ $status != 0 && $bad == 0 ]] && bad=1
  passed=$((passed + ok - aloud)) failed=$((failed + bad)) skipped=$((skipped + ignored + aloud))
  if [[ $bad == 0 ]]; then
    line ok tests $((SECONDS - begin)) "$ok run"
  else
    line FAILED tests $((SECONDS - begin)) "$bad of $((ok + bad))"
    awk '/^failures:$/ { show = 1 } /^test result: / { show = 0 } show || /^error/' "$log" | tail -n 150
    printf '(all of it: %s)\n' "$log"
  fi
  grep -h '^measured: ' "$log" | sed 's/^/    /'
  grep -h '^skipped: ' "$log" | sed 's/^/    /'
  [[ $ignored == 0 ]] || printf '    ignored: %d slow tests, see make soak\n' "$ignored"
}

# True if the toolchain has the component or rustup can fetch it; else the step is skipped aloud.
rust_component() { # COMPONENT COMMAND
  local probe
  read -r -a probe <<<"$2"
  "${probe[@]}" --version >/dev/null 2>&1 && return
  command -v rustup >/dev/null && rustup component add "$1" >/dev/null 2>&1 &&
    "${probe[@]}" --version >/dev/null 2>&1 && return
  skip "$1" "the toolchain lacks it and rustup could not add it: rustup component add $1"
  return 1
}

skip() { # NAME REASON
  skipped=$((skipped + 1))
  printf 'skipped: %s (%s)\n' "$1" "$2"
}

progress() { [[ ! -t 1 ]] || printf '  ...  %-10s\r' "$1"; }
line() { printf '%-6s %-10s %4d s  %s\n' "$1" "$2" "$3" "${4:-}"; }

summary() {
  printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
  [[ $failed == 0 ]]
  exit
}

main
