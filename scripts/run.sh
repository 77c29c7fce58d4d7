#!/usr/bin/env bash
# Builds Palisade and starts its sample application with the gateway before it, rules on and blocking.
# Ctrl-C (or SIGTERM) ends both. PORT asks for another port than 8080; a taken port is stepped over.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="$HOME/.cargo/bin:$PATH"

state=.run
record=$PWD/$state/decisions.jsonl
pids=()

main() {
  scripts/prerequisites.sh
  echo 'Building (the first time takes some minutes: several hundred crates) ...'
  cargo build --release -p edge --bin palisade
  local bin=${CARGO_TARGET_DIR:-target}/release/palisade app address
  mkdir -p "$state"
  app=127.0.0.1:$(free_port 8081)
  "$bin" demo --listen "$app" >"$state/demo.log" 2>&1 &
  pids+=($!)
  wait_for "$app" "$state/demo.log"
  address=127.0.0.1:$(free_port "${PORT:-8080}")
  "$bin" run --upstream "http://$app" --listen "$address" --audit-log "$record" >"$state/palisade.log" 2>&1 &
  pids+=($!)
  wait_for "$address" "$state/palisade.log"
  tell "$address"
  # Either of the two ending is the end; a signal ends the wait and the trap does the rest.
  wait -n "${pids[@]}" || true
  echo "One of the two ended by itself; its log is in $state/." >&2
  return 1
}

tell() { # ADDRESS
  cat <<TEXT

Palisade is running: http://$1   (a sample application behind it; Ctrl-C stops both)

  harmless, is answered:   curl 'http://$1/search?q=garden+chairs'
  hostile, is refused:     curl -i 'http://$1/search?q=1%27%20UNION%20SELECT%20password%20FROM%20users--'

  what was decided, and why:   tail -n 1 $record
  the gateway's log:           $PWD/$state/palisade.log
  your own application:        ${CARGO_TARGET_DIR:-target}/release/palisade run --upstream http://HOST:PORT

TEXT
}

# The first port from the given one on that nobody listens on.
free_port() { # FIRST
  local port
  for ((port = $1; port < $1 + 200; port++)); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
  echo "no free port between $1 and $port" >&2
  return 1
}

# Waits until something answers HTTP there, or shows why it does not.
wait_for() { # ADDRESS LOG
  local try
  for ((try = 0; try < 100; try++)); do
    curl -s -o /dev/null --max-time 2 "http://$1/" && return
    kill -0 "${pids[-1]}" 2>/dev/null || break
    sleep 0.1
  done
  echo "nothing answers on $1; the log says:" >&2
  tail -n 20 "$2" >&2
  return 1
}

stop() {
  trap - INT TERM EXIT
  local pid
  for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  wait || true
}
trap 'stop; exit 0' INT TERM
trap stop EXIT

main
