#!/usr/bin/env bash
# Sees to everything the build needs beyond git, make, curl and stable Rust: a C and C++ compiler and cmake
# (for the TLS library, zstd, zlib-ng and the allocator). As root on Debian or Ubuntu it installs what is
# missing; anyone else is told exactly what to install. Prints nothing and takes no time when nothing is missing.
# With `tests` also the servers that tests talk to; without them those tests are skipped, each by name.
set -euo pipefail
export PATH="$HOME/.cargo/bin:$PATH"

say() { printf 'prerequisites: %s\n' "$*" >&2; }

# A compiler without the C library's headers is no compiler: compile something.
compiles() { # LANGUAGE COMPILER
  command -v "$2" >/dev/null && printf '#include <stdlib.h>\nint main(void) { return 0; }\n' |
    "$2" -x "$1" - -o /dev/null 2>/dev/null
}

packages_missing() {
  local list=()
  compiles c "${CC:-cc}" || list+=(gcc libc6-dev)
  compiles c++ "${CXX:-c++}" || list+=(g++)
  command -v cmake >/dev/null || list+=(cmake)
  command -v make >/dev/null || list+=(make)
  printf '%s ' "${list[@]}"
}

install_packages() { # PACKAGE...
  if ! command -v apt-get >/dev/null; then
    say "missing: $*. Install them with this system's package manager (a C and C++ compiler, cmake, make)."
    return 1
  fi
  if [[ $(id -u) != 0 ]]; then
    say "missing: $*. Install them, then run this again:"
    say "    sudo apt-get update && sudo apt-get install -y --no-install-recommends $*"
    return 1
  fi
  say "installing $* (about a minute)"
  apt-get update -q >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >&2
}

servers_missing() {
  local list=()
  command -v pebble >/dev/null || list+=(pebble)
  command -v redis-server >/dev/null || list+=(redis-server)
  printf '%s ' "${list[@]}"
}

check_rust() {
  if ! command -v cargo >/dev/null; then
    say "missing: Rust. Install the stable toolchain from https://rustup.rs, then run this again:"
    say "    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal -c rustfmt,clippy"
    return 1
  fi
  local have want
  have=$(rustc --version | cut -d' ' -f2 | cut -d- -f1)
  want=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
  if [[ $(printf '%s\n' "$want" "$have" | sort -V | head -n1) != "$want" ]]; then
    say "Rust $have is too old, $want or newer is needed: rustup update stable"
    return 1
  fi
}

cd "$(dirname "${BASH_SOURCE[0]}")/.."
read -r -a missing <<<"$(packages_missing)"
[[ ${#missing[@]} == 0 ]] || install_packages "${missing[@]}"
check_rust
if [[ ${1:-} == tests ]]; then
  read -r -a missing <<<"$(servers_missing)"
  if [[ ${#missing[@]} != 0 && $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
    # No test needs them as services of the system.
    install_packages "${missing[@]}" || say "not installed: ${missing[*]}; the tests that need them are skipped"
  fi
fi
