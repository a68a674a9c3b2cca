#!/usr/bin/env bash
# Installs what the agent is built from, run with and tested with, on Debian 12.
#
#   packaging/dependencies.sh            build, run and quick start
#   packaging/dependencies.sh --tests    the same and what tests/run.sh needs besides
#   packaging/dependencies.sh --fuzz     the first and what tests/fuzz/run.sh needs besides
#   packaging/dependencies.sh --mcollective   what tests/system/test_mcollective_framework.py needs besides
#   packaging/dependencies.sh --list     prints the package names, installs nothing
#
# Does nothing where everything is there already; uses sudo where it is not run as root.
set -euo pipefail

build=(
  g++ cmake ninja-build ccache pkg-config   # compiler, build
  libboost1.81-dev                          # Asio, Beast, DLL (headers)
  libboost-json1.81-dev libboost-url1.81-dev libboost-filesystem1.81-dev libboost-system1.81-dev
  libzmq3-dev cppzmq-dev                    # transport between nodes
  libssl-dev                                # keys, session cipher, TLS
  libyaml-cpp-dev                           # configuration
  libsqlite3-dev                            # journal
  libspdlog-dev libfmt-dev                  # log, text
  libcli11-dev                              # command lines
  libpcre2-dev                              # allowed_cmds are Perl expressions
  libarchive-dev                            # archives in PROCESSCOPY
  libzstd-dev                               # what content sync sends
  libmariadb-dev                            # Centreon's database
  libsodium-dev libnats-dev                 # MCollective's broker: CURVE and certificates, the way to other brokers
)
run=(openssl curl python3)                  # the quick start's keys, requests and free ports
tests=(
  catch2 python3-zmq python3-cryptography python3-yaml clang-format-14 sqlite3 zip
  mariadb-server                            # started by the tests that need it, on a socket of its own
  nats-server                               # the same
  faketime                                  # clocks that jump
  iproute2 procps                           # hosts in network namespaces
)
fuzz=(clang-14 libclang-rt-14-dev llvm-14)   # libFuzzer, sanitizers, line coverage
mcollective=(mcollective mcollective-client ruby-ffi-rzmq)  # the real framework, for whoever has its connector

wanted=("${build[@]}" "${run[@]}")
case "${1:-}" in
  --tests) wanted+=("${tests[@]}") ;;
  --fuzz) wanted+=("${fuzz[@]}") ;;
  --mcollective) wanted=("${mcollective[@]}") ;;
  --list) printf '%s\n' "${build[@]}" "${run[@]}" "${tests[@]}" "${fuzz[@]}"; exit 0 ;;
  "") ;;
  *) echo "dependencies.sh: unknown argument '$1', expected --tests, --fuzz, --mcollective or --list" >&2; exit 2 ;;
esac

missing=()
for package in "${wanted[@]}"; do
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

sudo=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "dependencies.sh: needs root or sudo to install: ${missing[*]}" >&2; exit 1; }
  sudo=(sudo)
fi
echo "installing: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${sudo[@]}" apt-get update -q
"${sudo[@]}" apt-get install -q -y --no-install-recommends "${missing[@]}"
