#!/usr/bin/env bash
# The HTTP/2 conformance suite h2spec, all of it and strictly, against the real binary: without TLS and over TLS.
# One failure is expected without TLS (docs/http.md): on a port that speaks HTTP/1 as well, an invalid preface is
# an invalid HTTP/1 request and answered as such.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="$HOME/.cargo/bin:/usr/local/go/bin:$PATH"

version=v2.2.1+incompatible # the last one that `go install` takes
dir=$(mktemp -d)
pids=()
finish() {
  local pid
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  rm -rf "$dir"
}
trap finish EXIT

main() {
  find_h2spec || { echo 'skipped: h2spec (set H2SPEC, or install Go so that it can be fetched)'; exit 0; }
  local binary=${PALISADE_BIN:-}
  if [[ -z $binary ]]; then
    cargo build -q -p edge
    binary=${CARGO_TARGET_DIR:-target}/debug/palisade
  fi
  local failed=0
  configure
  start "$binary"
  judge h2c 1 -h 127.0.0.1 -p "$plain" || failed=1
  if [[ -n ${secure:-} ]]; then
    judge tls 0 -h localhost -p "$secure" -t -k || failed=1
  else
    echo 'skipped: h2spec over TLS (openssl is not installed)'
  fi
  exit "$failed"
}

find_h2spec() {
  h2spec=${H2SPEC:-$(command -v h2spec || true)}
  [[ -n $h2spec ]] && return
  command -v go >/dev/null || return 1
  GOBIN=$dir go install "github.com/summerwind/h2spec/cmd/h2spec@$version" >"$dir/go.log" 2>&1 || return 1
  h2spec=$dir/h2spec
}

# Three free ports: of the two listeners, and of an upstream that answers everything.
configure() {
  read -r plain secure backend < <(free_ports)
  local tls=''
  if command -v openssl >/dev/null; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=localhost \
      -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$dir/key.pem" -out "$dir/cert.pem" 2>/dev/null
    tls="  - { address: '127.0.0.1:$secure', tls: {} }"
    certificates="tls: { certificates: [{ certificate: '$dir/cert.pem', key: '$dir/key.pem' }] }"
  else
    secure=''
  fi
  cat >"$dir/palisade.yaml" <<YAML
listeners:
  - { address: '127.0.0.1:$plain' }
$tls
${certificates:-}
admin: { address: '127.0.0.1:0' }
audit: { output: '$dir/audit.jsonl' }
upstreams: { app: { servers: ['http://127.0.0.1:$backend'] } }
profiles: { default: { waf: { mode: off } } }
routes: [{ upstream: app }]
YAML
}

free_ports() {
  python3 - <<'PYTHON'
import socket
sockets = [socket.socket() for _ in range(3)]
for s in sockets: s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in sockets))
PYTHON
}

start() { # BINARY
  python3 -m http.server --bind 127.0.0.1 --directory "$dir" "$backend" >/dev/null 2>&1 &
  pids+=($!)
  "$1" run --config "$dir/palisade.yaml" 2>"$dir/log" &
  pids+=($!)
  for _ in $(seq 100); do
    [[ -f $dir/log ]] && grep -q 'listening address=127.0.0.1:'"$plain" "$dir/log" && return
    sleep 0.1
  done
  cat "$dir/log"
  exit 1
}

# Runs the suite; no more than EXPECTED failures are in order.
judge() { # NAME EXPECTED ARGUMENTS...
  local name=$1 expected=$2 failures
  shift 2
  timeout 300 "$h2spec" "$@" --strict -o 3 >"$dir/$name.log" 2>&1 || true
  tail -n 1 "$dir/$name.log" | sed "s/^/$name: /"
  failures=$(tail -n 1 "$dir/$name.log" | sed -n 's/.*skipped, \([0-9]*\) failed/\1/p')
  if [[ -z $failures ]] || ((failures > expected)); then
    sed -n '/^Failures:/,$p' "$dir/$name.log"
    return 1
  fi
}

main
