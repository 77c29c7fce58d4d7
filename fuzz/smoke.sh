#!/usr/bin/env bash
# Builds every fuzz target once and runs each for some seconds, two at a time.
#
#   fuzz/smoke.sh [TARGET...]     default: every file in fuzz_targets/
#   SECONDS_EACH=10               how long each one runs
#   JOBS=2                        how many run at once
#   SANITIZER=address             or none; default: address where the toolchain has its runtime
#   TOOLCHAIN=nightly|stable      default: nightly if rustup has one, else whatever cargo is
#
# Instrumentation and sanitizer are unstable flags: nightly takes them, stable with RUSTC_BOOTSTRAP=1.
# libfuzzer-sys compiles libFuzzer itself, so a C++ compiler is all that is needed besides Rust.
# New inputs go to a temporary directory; a crash is kept in artifacts/TARGET/ and fails the run.
set -u -o pipefail
cd "$(dirname "$0")" || exit 1

SECONDS_EACH=${SECONDS_EACH:-10}
JOBS=${JOBS:-2}
CARGO=(cargo)
RUSTC=(rustc)

choose_toolchain() {
    local toolchain=${TOOLCHAIN:-}
    if [[ -z $toolchain ]] && rustup run nightly rustc --version >/dev/null 2>&1; then
        toolchain=nightly
    fi
    if [[ -n $toolchain ]]; then
        CARGO=(rustup run "$toolchain" cargo)
        RUSTC=(rustup run "$toolchain" rustc)
    fi
    export RUSTC_BOOTSTRAP=1
}

# What `cargo fuzz build` sets, without needing it installed.
instrument() {
    local libdir sanitizer=${SANITIZER:-}
    HOST=$("${RUSTC[@]}" -vV | sed -n 's/^host: //p')
    libdir=$("${RUSTC[@]}" --print target-libdir --target "$HOST")
    if [[ -z $sanitizer ]]; then
        sanitizer=none
        compgen -G "$libdir/librustc*_rt.asan.*" >/dev/null && sanitizer=address
    fi
    RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=4"
    local llvm
    for llvm in level=4 inline-8bit-counters pc-table trace-compares; do
        RUSTFLAGS+=" -Cllvm-args=-sanitizer-coverage-$llvm"
    done
    [[ $sanitizer == none ]] || RUSTFLAGS+=" -Zsanitizer=$sanitizer"
    export RUSTFLAGS
    echo "fuzz: $("${RUSTC[@]}" --version), sanitizer $sanitizer, ${SECONDS_EACH}s each"
}

build() {
    local bins=() target
    for target in "${TARGETS[@]}"; do bins+=(--bin "$target"); done
    # An explicit --target keeps build scripts and macros free of instrumentation.
    "${CARGO[@]}" build --release --target "$HOST" "${bins[@]}" || exit 1
}

# Runs one target; leaves its verdict line in $WORK/TARGET.line.
run_one() {
    local target=$1 log=$WORK/$1.log status
    mkdir -p "$WORK/$target" "artifacts/$target" "corpus/$target"
    "$BINARIES/$target" "$WORK/$target" "corpus/$target" \
        -max_total_time="$SECONDS_EACH" -max_len=8192 -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=1 -artifact_prefix="artifacts/$target/" >"$log" 2>&1
    status=$?
    local runs seeds found
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    seeds=$(find "corpus/$target" -type f | wc -l)
    found=$(find "$WORK/$target" -type f | wc -l)
    if ((status == 0)) && ((${runs:-0} > 0)); then
        printf 'ok    %-15s %9d executions, corpus %d seeds + %d found\n' \
            "$target" "$runs" "$seeds" "$found" | tee "$WORK/$target.line"
    else
        printf 'FAIL  %-15s status %d, see artifacts/%s/\n' "$target" "$status" "$target" |
            tee "$WORK/$target.line"
        grep -a -E 'panicked at|SUMMARY|ERROR|Test unit written|Base64' -A 1 "$log" | tail -n 20
    fi
}

TARGETS=("$@")
if ((${#TARGETS[@]} == 0)); then
    for file in fuzz_targets/*.rs; do TARGETS+=("$(basename "$file" .rs)"); done
fi
if ! command -v c++ >/dev/null; then
    echo "fuzz: a C++ compiler is needed (Debian: apt-get install g++)" >&2
    exit 1
fi
choose_toolchain
instrument
build
BINARIES=${CARGO_TARGET_DIR:-target}/$HOST/release
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
for target in "${TARGETS[@]}"; do
    while (($(jobs -rp | wc -l) >= JOBS)); do wait -n; done
    run_one "$target" &
done
wait
passed=$(grep -l '^ok' "$WORK"/*.line | wc -l)
failed=$((${#TARGETS[@]} - passed))
echo "$passed passed, $failed failed"
((failed == 0))
