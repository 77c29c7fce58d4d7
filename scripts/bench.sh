#!/usr/bin/env bash
# Requests a second of Palisade and of its peers on the same machine, as ratios (tests/bench/README.md).
# Everything listens on loopback, in a folder of its own; every process is stopped by its pid.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="$HOME/.cargo/bin:$PATH:/usr/sbin"

rounds=${ROUNDS:-3} each=${SECONDS_EACH:-5} connections=${CONNECTIONS:-32}
only=${ONLY:-} # e.g. ONLY='small h2-page'
crs=${CRS_DIR:-../shared/corpora/crs4} # or a checkout beside the project
[[ -d $crs ]] && crs=$(realpath "$crs") || crs=
dir=$(mktemp -d)
backend=127.0.0.1:18900
subjects=()
declare -A port tls pid

transport='small page tls-small tls-page handshakes h2-small h2-page memory'
rules='get post'

main() {
  command -v wrk >/dev/null || { echo 'skipped: bench (wrk is not installed)'; exit 0; }
  command -v nginx >/dev/null || { echo 'skipped: bench (nginx is not installed: it is the backend and a peer)'; exit 0; }
  bin=${PALISADE_BIN:-}
  if [[ -z $bin ]]; then
    cargo build --profile dist -p edge --bin palisade
    bin=${CARGO_TARGET_DIR:-target}/dist/palisade
  fi
  bin=$(realpath "$bin")
  certificate
  start_backend
  start_nginx nginx 18901 18911
  if command -v haproxy >/dev/null; then start_haproxy 18902 18912; else echo 'skipped: haproxy (not installed)'; fi
  start_palisade palisade tests/bench/palisade.yaml 18903 18913
  printf '%d rounds of %d s in turn, %d connections; a core for the proxy, another for load and backend\n' \
    "$rounds" "$each" "$connections"
  local kind
  for kind in $transport; do wanted "$kind" && measure "$kind"; done
  wanted get || wanted post || return 0
  start_palisade waf deploy/examples/waf.yaml 18904 0
  if [[ -z $crs ]]; then
    echo 'skipped: crs (set CRS_DIR to an OWASP CRS checkout)'
  else
    start_palisade crs deploy/examples/crs.yaml 18905 0
    if [[ -e /usr/lib/nginx/modules/ngx_http_modsecurity_module.so ]]; then
      start_nginx nginx-modsecurity 18906 18916
    else
      echo 'skipped: nginx + libmodsecurity (libnginx-mod-http-modsecurity is not installed)'
    fi
  fi
  for kind in $rules; do wanted "$kind" && measure "$kind"; done
}

wanted() { [[ -z $only || " $only " == *" $1 "* ]]; }

# Alternating rounds: what else the machine does hits every subject alike.
measure() { # KIND
  local kind=$1 round subject
  case $kind in
    h2-*) command -v h2load >/dev/null || { echo "skipped: $kind (h2load is not installed)"; return; } ;;
    memory) memory; return ;;
  esac
  declare -A rate p99 cpu
  for ((round = 1; round <= rounds; round++)); do
    for subject in "${subjects[@]}"; do
      [[ $kind != @(get|post) && ${tls[$subject]} == 0 ]] && continue
      local before after out
      before=$(ticks "${pid[$subject]}")
      out=$(load "$kind" "$subject")
      after=$(ticks "${pid[$subject]}")
      read -r one two total <<<"$out"
      rate[$subject]+="$one " p99[$subject]+="$two "
      cpu[$subject]+="$(awk -v t=$((after - before)) -v n="$total" -v hz="$(getconf CLK_TCK)" \
        'BEGIN { print (n > 0 ? t / hz * 1e6 / n : 0) }') "
    done
  done
  printf '\n%-14s %12s %9s %10s %13s\n' "$kind" 'requests/s' 'of nginx' 'p99 ms' 'CPU us each'
  local base
  base=$(median "${rate[nginx]}")
  for subject in "${subjects[@]}"; do
    [[ -n ${rate[$subject]:-} ]] || continue
    awk -v s="$subject" -v v="$(median "${rate[$subject]}")" -v n="$base" \
      -v p="$(median "${p99[$subject]}")" -v c="$(median "${cpu[$subject]}")" \
      'BEGIN { printf "  %-18s %8.0f %9.3f %10.2f %13.1f\n", s, v, (n > 0 ? v / n : 0), p, c }'
  done
}

# One run: requests a second, p99 in ms, requests in all. An answer that is not 2xx makes the figure
# worthless, so it is said.
load() { # KIND SUBJECT
  local plain=http://127.0.0.1:${port[$2]} secure=https://127.0.0.1:${tls[$2]}
  case $1 in
    get | post) wrk_run "$plain/" -s "tests/bench/$1.lua" ;;
    small) wrk_run "$plain/" ;;
    page) wrk_run "$plain/page.html" ;;
    tls-small) wrk_run "$secure/" ;;
    tls-page) wrk_run "$secure/page.html" ;;
    handshakes) wrk_run "$secure/" -H 'Connection: close' ;;
    h2-small) h2_run "$secure/" ;;
    h2-page) h2_run "$secure/page.html" ;;
  esac
}

wrk_run() { # URL OPTION...
  local url=$1 out
  shift
  out=$(taskset -c 0 timeout $((each + 20)) wrk --latency -t1 -c"$connections" -d"${each}s" "$@" "$url")
  # Closing is what the handshakes ask for.
  grep -E 'Non-2xx|Socket errors: connect [1-9]' <<<"$out" >&2 || true
  awk '/^ *99% / { p = $2; f = 1; if (p ~ /us$/) f = 0.001; else if (p ~ /[0-9]s$/ && p !~ /ms$/) f = 1000; p += 0; p *= f }
    / requests in / { n = $1 } /^Requests\/sec:/ { r = $2 } END { print r + 0, p + 0, n + 0 }' <<<"$out"
}

h2_run() { # URL
  local out log=$dir/h2load.log
  rm -f "$log"
  out=$(taskset -c 0 timeout $((each + 20)) h2load -t1 -c"$connections" -m10 -D"$each" --log-file="$log" "$1")
  grep -E '^status codes' <<<"$out" | grep -v ' 0 3xx, 0 4xx, 0 5xx' >&2 || true
  local p99
  p99=$(awk 'NR % 10 == 0 { print $3 / 1000 }' "$log" | sort -g | awk '{ v[NR] = $1 } END { print v[int(NR * 0.99)] + 0 }')
  awk -v p="$p99" '/^finished in/ { r = $4 } /^requests:/ { n = $8 } END { print r + 0, p, n + 0 }' <<<"$out"
}

# Resident memory that many open TLS connections cost, while they are asked for something: more than
# idle ones do.
memory() {
  local many=2000 subject before after
  printf '\n%-14s %12s\n' 'memory' "KiB for each of $many TLS connections"
  for subject in "${subjects[@]}"; do
    [[ ${tls[$subject]} == 0 ]] && continue
    before=$(resident "${pid[$subject]}")
    taskset -c 0 timeout 30 wrk -t1 -c"$many" -d6s --timeout 10s "https://127.0.0.1:${tls[$subject]}/" >/dev/null 2>&1 &
    sleep 5
    after=$(resident "${pid[$subject]}")
    wait $! || true
    awk -v s="$subject" -v k=$((after - before)) -v n=$many 'BEGIN { printf "  %-18s %8.1f\n", s, k / n }'
  done
}

# Sums over a process and its children: nginx works in a child.
family() { echo "$1" $(ps -o pid= --ppid "$1"); }
ticks() {
  local one sum=0
  for one in $(family "$1"); do
    sum=$((sum + $(awk '{ print $14 + $15 }' "/proc/$one/stat" 2>/dev/null || echo 0)))
  done
  echo $sum
}
resident() {
  local one sum=0
  for one in $(family "$1"); do
    sum=$((sum + $(awk '/^VmRSS/ { print $2 }' "/proc/$one/status" 2>/dev/null || echo 0)))
  done
  echo $sum
}

median() { # "NUMBERS"
  tr ' ' '\n' <<<"$1" | grep . | sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

# The last core carries the proxy alone; core 0 the load and the backend.
proxy_core() { echo $(($(nproc) - 1)); }

certificate() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=bench \
    -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' -keyout "$dir/key.pem" -out "$dir/cert.pem" 2>/dev/null
  cat "$dir/cert.pem" "$dir/key.pem" >"$dir/both.pem"
}

# Fills in a peer's configuration.
fill() { # TEMPLATE FOLDER PORT TLS
  sed -e "s#@DIR@#$2#g" -e "s#@PORT@#$3#g" -e "s#@TLS@#$4#g" -e "s#@BACKEND@#$backend#g" \
    -e "s#@CERT@#$dir/cert.pem#g" -e "s#@KEY@#$dir/key.pem#g" -e "s#@PEM@#$dir/both.pem#g" \
    -e "s#@MODULES@#${modules:-}#" -e "s#@RULES@#${directives:-}#" "tests/bench/$1"
}

start_palisade() { # NAME CONFIG PORT TLS
  LISTEN=127.0.0.1:$3 LISTEN_TLS=127.0.0.1:$4 UPSTREAM=http://$backend AUDIT_LOG=off CRS_DIR=$crs \
    ADMIN=127.0.0.1:0 TLS_CERT=$dir/cert.pem TLS_KEY=$dir/key.pem \
    taskset -c "$(proxy_core)" "$bin" run --config "$2" 2>"$dir/$1.log" &
  enlist "$1" "$3" "$4" $!
}

start_nginx() { # NAME PORT TLS
  local modules='' directives=''
  if [[ $1 == *modsecurity ]]; then
    modsecurity_rules
    modules=$(for m in ndk_http_module ngx_http_modsecurity_module; do
      [[ -e /usr/lib/nginx/modules/$m.so ]] && printf 'load_module /usr/lib/nginx/modules/%s.so; ' "$m"; done)
    directives="modsecurity on; modsecurity_rules_file $dir/modsecurity/main.conf;"
  fi
  mkdir -p "$dir/$1"
  fill nginx.conf "$dir/$1" "$2" "$3" >"$dir/$1/nginx.conf"
  taskset -c "$(proxy_core)" nginx -p "$dir/$1" -c "$dir/$1/nginx.conf" 2>"$dir/$1.log" &
  local started=$!
  # Its rules are measured over plain HTTP only.
  [[ $1 == *modsecurity ]] && enlist "$1" "$2" 0 $started || enlist "$1" "$2" "$3" $started
}

start_haproxy() { # PORT TLS
  fill haproxy.cfg "$dir" "$1" "$2" >"$dir/haproxy.cfg"
  taskset -c "$(proxy_core)" haproxy -db -f "$dir/haproxy.cfg" >"$dir/haproxy.log" 2>&1 &
  enlist haproxy "$1" "$2" $!
}

# The CRS as its manual says: recommended settings, blocking, paranoia level 1, threshold 5.
modsecurity_rules() {
  mkdir -p "$dir/modsecurity"
  sed -e 's/^SecRuleEngine .*/SecRuleEngine On/' -e 's/^SecAuditEngine .*/SecAuditEngine Off/' \
    -e "s#^SecUnicodeMapFile .*#SecUnicodeMapFile $crs/modsecurity/unicode.mapping 20127#" \
    "$crs/modsecurity/modsecurity.conf-recommended" >"$dir/modsecurity/engine.conf"
  printf 'Include %s\n' "$dir/modsecurity/engine.conf" "$crs/crs-setup.conf.example" "$crs/rules/*.conf" \
    >"$dir/modsecurity/main.conf"
}

start_backend() {
  mkdir -p "$dir/backend"
  # Readable for the worker, which gives up root.
  chmod 755 "$dir" "$dir/backend"
  head -c 16896 /dev/urandom | base64 -w0 >"$dir/backend/page.html"
  fill backend.conf "$dir/backend" 0 0 >"$dir/backend/nginx.conf"
  taskset -c 0 nginx -p "$dir/backend" -c "$dir/backend/nginx.conf" 2>"$dir/backend.log" &
  enlist backend "${backend##*:}" 0 $!
  subjects=()
}

# Remembers a subject and waits until it answers.
enlist() { # NAME PORT TLS PID
  subjects+=("$1") port[$1]=$2 tls[$1]=$3 pid[$1]=$4
  local try
  for ((try = 0; try < 300; try++)); do
    curl -s -o /dev/null --max-time 1 "http://127.0.0.1:$2/" && return
    kill -0 "$4" 2>/dev/null || break
    sleep 0.1
  done
  echo "$1 does not answer:" >&2
  tail -n 20 "$dir/$1.log" >&2
  exit 1
}

finish() {
  local name
  for name in "${!pid[@]}"; do kill -TERM "${pid[$name]}" 2>/dev/null || true; done
  wait || true
  rm -rf "$dir"
}
trap finish EXIT

main
