#!/usr/bin/env bash
# Requests a second of Palisade and of its peers on the same machine, as ratios (tests/bench/README.md).
# Everything listens on loopback, in a folder of its own; every process is stopped by its pid.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="$HOME/.cargo/bin:$PATH:/usr/sbin"

rounds=${ROUNDS:-3} each=${SECONDS_EACH:-5} connections=${CONNECTIONS:-32}
crs=${CRS_DIR:-../shared/corpora/crs4} # or a checkout beside the project
[[ -d $crs ]] && crs=$(realpath "$crs") || crs=
dir=$(mktemp -d)
backend=127.0.0.1:18900
subjects=()
declare -A port pid

main() {
  command -v wrk >/dev/null || { echo 'skipped: bench (wrk is not installed)'; exit 0; }
  command -v nginx >/dev/null || { echo 'skipped: bench (nginx is not installed: it is the backend and a peer)'; exit 0; }
  cargo build --profile dist -p edge --bin palisade
  bin=$(realpath "${CARGO_TARGET_DIR:-target}/dist/palisade")
  start_backend
  start_nginx plain 18901
  start_palisade plain 18902
  start_palisade waf 18903
  if [[ -z $crs ]]; then
    echo 'skipped: crs (set CRS_DIR to an OWASP CRS checkout)'
  else
    start_palisade crs 18904
    if compgen -G '/usr/lib/nginx/modules/ngx_http_modsecurity_module.so' >/dev/null; then
      start_nginx modsecurity 18905
    else
      echo 'skipped: nginx + libmodsecurity (libnginx-mod-http-modsecurity is not installed)'
    fi
  fi
  local request
  for request in get post; do measure "$request"; done
}

# Alternating rounds: what else the machine does hits every subject alike.
measure() { # REQUEST
  local request=$1 round subject
  declare -A results
  for ((round = 1; round <= rounds; round++)); do
    for subject in "${subjects[@]}"; do
      printf '  %s round %d: %-24s\r' "$request" "$round" "$subject" >&2
      results[$subject]+="$(load "$request" "${port[$subject]}") "
    done
  done
  printf '\n%s: requests a second, median of %d rounds of %d s, %d connections, one core\n' \
    "$request" "$rounds" "$each" "$connections"
  local nginx modsecurity=0 value
  nginx=$(median "${results[nginx-plain]}")
  [[ -n ${port[nginx-modsecurity]:-} ]] && modsecurity=$(median "${results[nginx-modsecurity]}")
  for subject in "${subjects[@]}"; do
    value=$(median "${results[$subject]}")
    awk -v s="$subject" -v v="$value" -v n="$nginx" -v m="$modsecurity" 'BEGIN {
      printf "  %-20s %9.0f   %6.3f of nginx", s, v, v / n
      if (m > 0) printf "   %7.2f times nginx + libmodsecurity", v / m
      print "" }'
  done
}

# One run of wrk; an answer that is not 2xx makes the figure worthless, so it is said.
load() { # REQUEST PORT
  local out
  out=$(taskset -c 0 wrk -t1 -c"$connections" -d"${each}s" -s "tests/bench/$1.lua" "http://127.0.0.1:$2")
  grep -E 'Non-2xx|Socket errors' <<<"$out" >&2 || true
  awk '/^Requests\/sec:/ { print $2 }' <<<"$out"
}

median() { # "NUMBERS"
  tr ' ' '\n' <<<"$1" | grep . | sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

# The last core carries the proxy alone; core 0 the load and the backend.
proxy_core() { echo $(($(nproc) - 1)); }

start_palisade() { # EXAMPLE PORT
  local name=palisade-$1
  LISTEN=127.0.0.1:$2 UPSTREAM=http://$backend AUDIT_LOG=off CRS_DIR=$crs ADMIN=127.0.0.1:$(($2 + 50)) \
    taskset -c "$(proxy_core)" "$bin" run --config "deploy/examples/$1.yaml" 2>"$dir/$name.log" &
  enlist "$name" "$2" $!
}

start_nginx() { # KIND PORT
  local name=nginx-$1 modules='' rules=''
  if [[ $1 == modsecurity ]]; then
    modsecurity_rules
    modules=$(for m in ndk_http_module ngx_http_modsecurity_module; do
      [[ -e /usr/lib/nginx/modules/$m.so ]] && echo "load_module /usr/lib/nginx/modules/$m.so;"; done)
    rules="modsecurity on; modsecurity_rules_file $dir/modsecurity/main.conf;"
  fi
  mkdir -p "$dir/$name"
  cat >"$dir/$name/nginx.conf" <<CONF
$modules
worker_processes 1;
daemon off;
pid $dir/$name/pid;
error_log $dir/$name/error.log crit;
events { worker_connections 2048; }
http {
  access_log off;
  client_body_temp_path $dir/$name/b; proxy_temp_path $dir/$name/p; fastcgi_temp_path $dir/$name/f;
  uwsgi_temp_path $dir/$name/u; scgi_temp_path $dir/$name/s;
  client_body_buffer_size 1m; keepalive_requests 1000000;
  upstream backend { server $backend; keepalive 64; }
  server {
    listen 127.0.0.1:$2;
    $rules
    location / {
      proxy_pass http://backend; proxy_http_version 1.1;
      proxy_set_header Connection ""; proxy_set_header Host \$http_host;
    }
  }
}
CONF
  taskset -c "$(proxy_core)" nginx -p "$dir/$name" -c "$dir/$name/nginx.conf" 2>"$dir/$name.log" &
  enlist "$name" "$2" $!
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
  cat >"$dir/backend/nginx.conf" <<CONF
worker_processes 1;
daemon off;
pid $dir/backend/pid;
error_log $dir/backend/error.log crit;
events { worker_connections 2048; }
http {
  access_log off; keepalive_requests 100000000;
  client_body_temp_path $dir/backend/b; proxy_temp_path $dir/backend/p; fastcgi_temp_path $dir/backend/f;
  uwsgi_temp_path $dir/backend/u; scgi_temp_path $dir/backend/s;
  server { listen $backend; location / { default_type text/html; return 200 "<p>a small page</p>"; } }
}
CONF
  taskset -c 0 nginx -p "$dir/backend" -c "$dir/backend/nginx.conf" 2>"$dir/backend.log" &
  enlist backend "${backend##*:}" $!
  subjects=()
}

# Remembers a subject and waits until it answers.
enlist() { # NAME PORT PID
  subjects+=("$1") port[$1]=$2 pid[$1]=$3
  local try
  for ((try = 0; try < 300; try++)); do
    curl -s -o /dev/null --max-time 1 "http://127.0.0.1:$2/" && return
    kill -0 "$3" 2>/dev/null || break
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
