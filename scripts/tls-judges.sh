#!/usr/bin/env bash
# Lets testssl.sh and sslyze judge the default TLS policy: a gateway with an ECDSA and an RSA certificate, made here.
# Prints every finding above "low" and fails if there is one that is not about the certificate made for the occasion.
# TESTSSL and SSLYZE name the programs where they are not in the PATH; one that is missing is skipped aloud.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="$HOME/.cargo/bin:$PATH"

host=palisade.test
folder=$(mktemp -d)
gateway=
verdict=0
# What a certificate from no public authority cannot have: a way to ask for its revocation, transparency.
about_the_certificate='cert_revocation|cert_ocspRevoked|cert_crlRevoked|OCSP_stapling|certificate_transparency|DNS_CAArecord|cert_chain_of_trust|cert_extlifeSpan|cert_validityPeriod|cert_trust'
# What the application's headers say, not TLS; and the grade, which follows from the certificate.
about_the_application='HSTS|HPKP|banner_|security_headers|cookie_|X-Frame-Options|overall_grade|final_score|protocol_support_score|key_exchange_score|cipher_strength_score|grade_cap_reason'

main() {
  local bin=${PALISADE_BIN:-}
  if [[ -z $bin ]]; then
    cargo build --release -p edge --bin palisade
    bin=${CARGO_TARGET_DIR:-target}/release/palisade
  fi
  certificates
  start "$bin"
  judge_testssl
  judge_sslyze
  return "$verdict"
}

certificates() {
  (
    cd "$folder"
    exec 2>openssl.log
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj '/CN=Judges' -keyout ca.key -out ca.pem -addext keyUsage=critical,keyCertSign,cRLSign
    local kind
    for kind in 'ec -pkeyopt ec_paramgen_curve:P-256' 'rsa:2048'; do
      # The words of the kind are several arguments.
      # shellcheck disable=SC2086
      openssl req -newkey $kind -nodes -subj "/CN=$host" -keyout "${kind%%[: ]*}.key" -out request.pem
      openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -days 90 -out leaf.pem \
        -extfile <(printf '%s\n' "subjectAltName=DNS:$host" 'extendedKeyUsage=serverAuth' 'keyUsage=digitalSignature')
      cat leaf.pem ca.pem >"${kind%%[: ]*}.crt"
    done
  )
}

start() { # BINARY
  cat >"$folder/palisade.yaml" <<YAML
listeners: [{ address: "127.0.0.1:0", tls: {}, connections_per_address: 4096 }]
admin: off
audit: { output: off }
tls: { certificates: [{ certificate: ec.crt, key: ec.key }, { certificate: rsa.crt, key: rsa.key }] }
upstreams: { app: { servers: ["http://127.0.0.1:9"] } }
routes: [{ upstream: app }]
YAML
  "$1" run --config "$folder/palisade.yaml" 2>"$folder/log" &
  gateway=$!
  local try
  for ((try = 0; try < 200; try++)); do
    port=$(sed -n 's/.*address=127\.0\.0\.1:\([0-9]*\).*/\1/p' "$folder/log" | head -n 1)
    [[ -n $port ]] && return
    kill -0 "$gateway" 2>/dev/null || break
    sleep 0.1
  done
  cat "$folder/log" >&2
  return 1
}

judge_testssl() {
  local program=${TESTSSL:-testssl} found
  if ! command -v "$program" >/dev/null; then
    echo 'skipped: testssl (not installed; Debian package testssl.sh, or TESTSSL)'
    return
  fi
  "$program" --quiet --color 0 --warnings off --ip 127.0.0.1 --add-ca "$folder/ca.pem" --sneaky \
    --csvfile "$folder/testssl.csv" "$host:$port" >"$folder/testssl.txt" 2>&1 || true
  if [[ $(wc -l <"$folder/testssl.csv") -lt 50 ]]; then
    echo 'testssl: did not finish' && tail -n 20 "$folder/testssl.txt"
    verdict=1
    return
  fi
  found=$(grep -E '"(LOW|MEDIUM|HIGH|CRITICAL|WARN)"' "$folder/testssl.csv" || true)
  report testssl "$found" "$(wc -l <"$folder/testssl.csv")"
}

# Prints what was found; what is above "low" and about our policy decides.
report() { # JUDGE FINDINGS COUNT
  local bad
  bad=$(grep -E '"(MEDIUM|HIGH|CRITICAL)"' <<<"$2" | grep -vE "^\"($about_the_certificate|$about_the_application)" || true)
  echo "$1: $3 checks, $(grep -c . <<<"$2" || true) remarks, $(grep -c . <<<"$bad" || true) findings above low"
  # "id","fqdn/ip","port","severity","finding",...
  [[ -z $2 ]] || awk -F '","' '{ sub(/^"/, "", $1); printf "  %-9s %-28s %s\n", $4, $1, $5 }' <<<"$2"
  [[ -z $bad ]] || verdict=1
}

judge_sslyze() {
  local program=${SSLYZE:-sslyze}
  if ! command -v "$program" >/dev/null; then
    echo 'skipped: sslyze (not installed; pip install sslyze, or SSLYZE)'
    return
  fi
  # Its own judgement: Mozilla's configuration "intermediate".
  local text
  text=$("$program" --mozilla_config intermediate --sni "$host" --certinfo_ca_file "$folder/ca.pem" "127.0.0.1:$port" 2>&1) || true
  echo "$text" >"$folder/sslyze.txt"
  echo 'sslyze, against Mozilla'"'"'s "intermediate" configuration:'
  sed -n '/COMPLIANCE AGAINST/,$p' <<<"$text" | grep -v '^ *$' | sed 's/^ */  /'
}

stop() {
  [[ -z $gateway ]] || kill -TERM "$gateway" 2>/dev/null || true
  [[ -z ${KEEP:-} ]] && rm -rf "$folder" || echo "kept: $folder"
}
trap stop EXIT

main
