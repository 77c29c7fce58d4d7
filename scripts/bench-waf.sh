#!/usr/bin/env bash
# CPU time a request costs the rule engine and its peers, in one run (tests/bench/README.md).
# Every engine loads the OWASP CRS and runs the same requests (waf-rules/examples/requests) through all its phases.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="$HOME/.cargo/bin:/usr/local/go/bin:$PATH"

rounds=${ROUNDS:-5}
crs=${CRS_DIR:-../shared/corpora/crs4} # or a checkout beside the project
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
requests=$PWD/waf-rules/examples/requests
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
declare -A program repeats # by engine: what runs it; how often it repeats each request
declare -A figures         # by "level engine request": one figure a round
declare -A blocked         # by "level engine request": 0 or 1
engines=()
names=() # of the requests
for file in "$requests"/*.http; do names+=("$(basename "$file" .http)"); done

main() {
  [[ -d $crs ]] || { echo 'skipped: bench-waf (set CRS_DIR to an OWASP CRS checkout)'; exit 0; }
  crs=$(realpath "$crs")
  build
  write_rules
  local level round engine
  for level in 1 4; do
    for ((round = 1; round <= rounds; round++)); do
      for engine in "${engines[@]}"; do
        printf '  paranoia level %d, round %d: %-24s\r' "$level" "$round" "$engine" >&2
        run "$level" "$engine"
      done
    done
    report "$level"
  done
  printf '\nLoading\n'
  for level in 1 4; do "${program[palisade]}" "$dir/palisade-$level.conf" 1 | grep loaded; done
}

build() {
  cargo build --profile dist -q -p waf-rules --example cost
  enlist palisade "$target/dist/examples/cost" 2000
  enlist palisade-cold "$target/dist/examples/cost" 500
  if [[ -e /usr/include/modsecurity/modsecurity.h ]] && command -v cc >/dev/null; then
    cc -O2 -o "$dir/modsecurity" tests/bench/peers/modsecurity/cost.c -lmodsecurity
    enlist libmodsecurity "$dir/modsecurity" 40
  else
    echo 'skipped: libmodsecurity (libmodsecurity-dev or a C compiler is not installed)'
  fi
  if CARGO_TARGET_DIR=$target/peers cargo build -q --release --manifest-path tests/bench/peers/zentinel/Cargo.toml; then
    enlist zentinel-modsec "$target/peers/release/zentinel-cost" 40
  else
    echo 'skipped: zentinel-modsec (it did not build)'
  fi
  if command -v go >/dev/null && (cd tests/bench/peers/coraza && go build -o "$dir/coraza" .); then
    enlist coraza "$dir/coraza" 10
    enlist coraza-prefilter "$dir/coraza" 10
  else
    echo 'skipped: Coraza (Go is not installed, or it did not build)'
  fi
}

enlist() { # ENGINE PROGRAM REPEATS
  engines+=("$1") program[$1]=$2 repeats[$1]=$3
}

# The same rules for all of them, with what only one of them knows added for that one.
write_rules() {
  local level engine
  for level in 1 4; do
    for engine in "${engines[@]}"; do
      {
        [[ $engine == coraza-prefilter ]] && echo 'SecRxPreFilter On'
        [[ $engine == libmodsecurity ]] && echo "SecUnicodeMapFile $crs/modsecurity/unicode.mapping 20127"
        cat <<CONF
SecRuleEngine On
SecRequestBodyAccess On
SecRule REQUEST_HEADERS:Content-Type "^(?:application(?:/soap\+|/)|text/)xml" "id:200000,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML"
SecRule REQUEST_HEADERS:Content-Type "^application/json" "id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRequestBodyLimit 13107200
SecRequestBodyNoFilesLimit 131072
SecResponseBodyAccess Off
SecAuditEngine Off
SecAction "id:900000,phase:1,pass,t:none,nolog,setvar:tx.blocking_paranoia_level=$level"
Include $crs/crs-setup.conf.example
Include $crs/rules/*.conf
CONF
      } >"$dir/$engine-$level.conf"
    done
  done
}


# A peer that fails is left out from then on, aloud; ours ends the run.
run() { # LEVEL ENGINE
  local line name figure
  local -A fresh=()
  local arguments=("$dir/$2-$1.conf" "$requests" "${repeats[$2]}")
  [[ $2 == palisade ]] && arguments=("$dir/$2-$1.conf" "${repeats[$2]}")
  [[ $2 == palisade-cold ]] && arguments=(--cold "$dir/$2-$1.conf" "${repeats[$2]}")
  if ! taskset -c "$(($(nproc) - 1))" "${program[$2]}" "${arguments[@]}" >"$dir/output" 2>"$dir/errors"; then
    drop "$2" "failed at paranoia level $1: $(tail -n 1 "$dir/errors")"
    return
  fi
  while read -r line; do
    [[ $line =~ ^([^ ]+)' blocked='([01])' cpu_us='([0-9.]+)$ ]] || continue
    name=${BASH_REMATCH[1]} figure=${BASH_REMATCH[3]}
    blocked["$1 $2 $name"]=${BASH_REMATCH[2]}
    fresh[$name]=$figure
  done <"$dir/output"
  for name in "${names[@]}"; do
    [[ -n ${fresh[$name]:-} ]] || { drop "$2" "says nothing of $name at paranoia level $1"; return; }
    figures["$1 $2 $name"]+="${fresh[$name]} "
  done
}

drop() { # ENGINE WHY
  local engine left=()
  printf '\nleft out: %s %s\n' "$1" "$2"
  [[ $1 == palisade* ]] && exit 1
  for engine in "${engines[@]}"; do [[ $engine == "$1" ]] || left+=("$engine"); done
  engines=("${left[@]}")
}

# Medians, how many times the time of ours every peer needs, and where the engines judge differently.
report() { # LEVEL
  local level=$1 engine request value
  printf '\nParanoia level %d: CPU microseconds a request, median of %d alternating rounds\n%-18s' "$level" "$rounds" ''
  for engine in "${engines[@]}"; do printf '%18s' "$engine"; done
  echo
  for request in "${names[@]}"; do
    printf '%-18s' "$request"
    for engine in "${engines[@]}"; do
      value=$(median "${figures["$level $engine $request"]:-}")
      printf '%18s' "${value:--}"
      echo "$engine $request ${value:-0}" >>"$dir/medians-$level"
    done
    echo
  done
  ratios "$level" palisade
  ratios "$level" palisade-cold
  for request in "${names[@]}"; do disagreement "$level" "$request"; done
}

ratios() { # LEVEL OURS
  awk -v order="${engines[*]}" -v ours="$2" '
    NR == FNR { if ($1 == ours) own[$2] = $3; next }
    $1 !~ /^palisade/ && $3 > 0 && own[$2] > 0 {
      ratio = $3 / own[$2]; sum[$1] += log(ratio); count[$1]++
      if (!($1 in least) || ratio < least[$1]) { least[$1] = ratio; where[$1] = $2 } }
    END { split(order, engine, " ")
      for (i = 1; i in engine; i++) { e = engine[i]
        if (count[e]) printf "%s needs %.1f times as much as %s (geometric mean), at least %.1f times (%s)\n",
          e, exp(sum[e] / count[e]), ours, least[e], where[e] } }' "$dir/medians-$1" "$dir/medians-$1"
}

disagreement() { # LEVEL REQUEST
  local engine by=() not=()
  for engine in "${engines[@]}"; do
    if ((${blocked["$1 $engine $2"]})); then by+=("$engine"); else not+=("$engine"); fi
  done
  ((${#by[@]} == 0 || ${#not[@]} == 0)) || echo "$2 is blocked by ${by[*]}; not by ${not[*]}"
}

median() { # "NUMBERS"
  tr ' ' '\n' <<<"$1" | grep . | sort -g | awk '{ v[NR] = $1 } END { if (NR) print v[int((NR + 1) / 2)] }' || true
}

main
