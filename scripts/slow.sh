#!/usr/bin/env bash
# Slow clients against the release binary: does good traffic notice 2,000 of them?
#
#   CONNECTIONS=2000   attackers at once
#   ROUNDS=3           pairs of measurements, quiet and loaded in alternation; medians count
#   SECONDS_EACH=8     how long each one takes
#   RPS=400            good requests a second
#   MODES="H B R X T"  slow heads, slow bodies, ranges, slow readers (slowhttptest), and TLS handshakes
#                      that stop after five bytes
#   PALISADE_BIN=FILE  a binary that is built already
#
# Good clients ask over TLS at a steady rate. The target is a p99 within 10 % of the quiet one, and no
# error. Attackers share the good clients' processor, at the lowest priority; the gateway has one of its own
# where there are two.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="$HOME/.cargo/bin:$PATH:/usr/sbin"

connections=${CONNECTIONS:-2000} rounds=${ROUNDS:-3} each=${SECONDS_EACH:-8} rps=${RPS:-400}
modes=${MODES:-H B R X T}
dir=$(mktemp -d)
pids=()

main() {
  local tool
  for tool in slowhttptest h2load nginx openssl python3; do
    command -v "$tool" >/dev/null || { echo "skipped: slow ($tool is not installed)"; exit 0; }
  done
  ulimit -n 16384 2>/dev/null || ulimit -n "$(ulimit -Hn)"
  if (($(ulimit -n) < connections + 1000)); then
    echo "skipped: slow (ulimit -n is $(ulimit -n), needed are $((connections + 1000)))"
    exit 0
  fi
  local bin=${PALISADE_BIN:-}
  if [[ -z $bin ]]; then
    cargo build --release -p edge --bin palisade
    bin=${CARGO_TARGET_DIR:-target}/release/palisade
  fi
  read -r plain tls backend < <(free_ports)
  start_backend
  start_gateway "$(realpath "$bin")"
  printf '%d attackers, %d good requests a second over TLS, median of %d rounds of %d s\n' \
    "$connections" "$rps" "$rounds" "$each"
  printf '%-18s %10s %10s %8s %8s %10s\n' attack 'quiet p99' 'loaded p99' ratio errors attackers
  local mode verdict=0
  for mode in $modes; do compare "$mode" || verdict=1; done
  return $verdict
}

compare() { # MODE
  local mode=$1 round quiet='' loaded='' errors=0 held=0 attacker
  for ((round = 1; round <= rounds; round++)); do
    good "$dir/quiet"
    quiet+="$(p99 "$dir/quiet") " errors=$((errors + $(errors "$dir/quiet")))
    attack "$mode"
    attacker=$!
    arrive
    held=$(held)
    good "$dir/loaded"
    loaded+="$(p99 "$dir/loaded") " errors=$((errors + $(errors "$dir/loaded")))
    kill "$attacker" 2>/dev/null || true
    wait "$attacker" 2>/dev/null || true
    leave
  done
  awk -v name="$(name "$mode")" -v q="$(median "$quiet")" -v l="$(median "$loaded")" \
    -v errors="$errors" -v held="$held" 'BEGIN {
      printf "%-18s %7.2f ms %7.2f ms %8.3f %8d %10d\n", name, q / 1000, l / 1000, l / q, errors, held
      exit !(l <= q * 1.1 && errors == 0) }'
}

name() {
  case $1 in
    H) echo 'slow heads' ;; B) echo 'slow bodies' ;; R) echo 'ranges' ;; X) echo 'slow readers' ;;
    T) echo 'TLS handshakes' ;;
  esac
}

# Runs in the background for longer than it is needed.
attack() { # MODE
  local options=(-c "$connections" -r 1000 -l $((each + 60)) -i 5 -p 60 -u "http://127.0.0.1:$plain/big")
  case $1 in
    H | B | R) attacker slowhttptest "-$1" "${options[@]}" >"$dir/attack.log" 2>&1 & ;;
    X) attacker slowhttptest -X -w 1 -y 32 -z 1 -n 5 -k 3 "${options[@]}" >"$dir/attack.log" 2>&1 & ;;
    T) attacker python3 - "$tls" "$connections" >"$dir/attack.log" 2>&1 <<'PYTHON' &
import select, socket, sys
port, count = int(sys.argv[1]), int(sys.argv[2])
poll, open_sockets = select.poll(), {}

def begin():
    peer = socket.create_connection(("127.0.0.1", port))
    peer.send(b"\x16\x03\x01\x02\x00")
    poll.register(peer, select.POLLIN)
    open_sockets[peer.fileno()] = peer

for _ in range(count):
    begin()
while True:  # whoever is cut comes back
    for number, _ in poll.poll():
        poll.unregister(number)
        open_sockets.pop(number).close()
        begin()
PYTHON
    ;;
  esac
}

# Until the attackers are there, or ten seconds: some attacks end by our own deadlines.
arrive() {
  local try
  for ((try = 0; try < 50; try++)); do
    (($(held) >= connections)) && break
    sleep 0.2
  done
  sleep 1
}

leave() {
  local try
  for ((try = 0; try < 100; try++)); do
    (($(held) < 100)) && break
    sleep 0.2
  done
}

# Connections the gateway holds.
held() {
  awk -v plain=":$(printf '%04X' "$plain")" -v tls=":$(printf '%04X' "$tls")" '
    $4 == "01" && (index($2, plain) || index($2, tls)) { n++ } END { print n + 0 }' /proc/net/tcp
}

# Steady traffic; every client has a connection of its own.
good() { # LOG
  rm -f "$1.times"
  (on_clients h2load --h1 -c 20 -t 1 --rps $((rps / 20)) -D "$each" --log-file="$1.times" \
    "https://127.0.0.1:$tls/") >"$1.out" 2>&1 || true
}

# Column 3 of the log is the time of a request in microseconds.
p99() { # LOG
  [[ -s $1.times ]] || { echo 99999999; return; } # nobody was answered
  cut -f 3 "$1.times" | sort -n | awk '{ v[NR] = $1 } END { print v[int(NR * 0.99)] }'
}

errors() { # LOG
  awk '/^requests:/ { for (i = 2; i <= NF; i++) if ($i ~ /^(failed|errored|timeout)/) n += $(i - 1) }
       /^status codes:/ { n += $7 + $9 } END { print n + 0 }' "$1.out"
}

median() { # "NUMBERS"
  tr ' ' '\n' <<<"$1" | grep . | sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

on_clients() { exec taskset -c 0 "$@"; }
# slowhttptest asks without a pause whether its sockets can be read: it must not starve the good clients.
attacker() { exec taskset -c 0 nice -n 19 "$@"; }
on_gateway() { exec taskset -c "$(($(nproc) - 1))" "$@"; }

free_ports() {
  python3 -c 'import socket
sockets = [socket.socket() for _ in range(3)]
for s in sockets: s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in sockets))'
}

start_backend() {
  mkdir -p "$dir/backend"
  head -c 262144 /dev/zero | tr '\0' x >"$dir/backend/big"
  cat >"$dir/backend/nginx.conf" <<CONF
worker_processes 1;
daemon off;
pid $dir/backend/pid;
error_log $dir/backend/error.log crit;
worker_rlimit_nofile 16384;
events { worker_connections 16000; }
http {
  access_log off; keepalive_requests 100000000;
  client_body_temp_path $dir/backend/b; proxy_temp_path $dir/backend/p; fastcgi_temp_path $dir/backend/f;
  uwsgi_temp_path $dir/backend/u; scgi_temp_path $dir/backend/s;
  server {
    listen 127.0.0.1:$backend;
    location = /big { root $dir/backend; error_page 405 =200 \$uri; }
    location / { default_type text/html; return 200 "<p>a small page</p>"; }
  }
}
CONF
  chmod 755 "$dir" "$dir/backend" # nginx's worker is another user
  (on_clients nginx -p "$dir/backend" -c "$dir/backend/nginx.conf") 2>"$dir/backend.log" &
  pids+=($!)
  answers "http://127.0.0.1:$backend/" backend
}

start_gateway() { # BINARY
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost -keyout "$dir/key.pem" -out "$dir/cert.pem" 2>/dev/null
  cat >"$dir/palisade.yaml" <<CONF
workers: 1
listeners:
  - { address: "127.0.0.1:$plain", connections_per_address: 0 }
  - { address: "127.0.0.1:$tls", connections_per_address: 0, tls: {} }
tls: { certificates: [{ certificate: "$dir/cert.pem", key: "$dir/key.pem", default: true }] }
admin: off
audit: { output: off }
upstreams: { app: { servers: ["http://127.0.0.1:$backend"] } }
profiles: { default: { body: { limit: 0 }, waf: { mode: off } } }
routes: [{ name: app, upstream: app, profile: default }]
CONF
  (on_gateway "$1" run --config "$dir/palisade.yaml") 2>"$dir/gateway.log" &
  pids+=($!)
  answers "https://127.0.0.1:$tls/" gateway
}

answers() { # URL NAME
  local try
  for ((try = 0; try < 100; try++)); do
    curl -sk -o /dev/null --max-time 1 "$1" && return
    sleep 0.1
  done
  echo "the $2 does not answer:" >&2
  tail -n 20 "$dir/$2.log" >&2
  exit 1
}

finish() {
  local pid
  for pid in "${pids[@]}" $(jobs -rp); do kill -TERM "$pid" 2>/dev/null || true; done
  wait || true
  rm -rf "$dir"
}
trap finish EXIT

main
