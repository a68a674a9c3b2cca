#!/usr/bin/env bash
# From a fresh Debian 12 to a command that crosses from a central to a poller, both on this machine.
#
#   packaging/quickstart.sh [--keep] [--preset PRESET]
#
#   --keep            leaves both daemons running and says where they are and how to stop them
#   --preset PRESET   the build to use (default: release); see CMakePresets.json
#
# Installs what is missing (as root or with sudo), builds, copies the examples central and poller from etc/ to a temporary
# directory with free ports, and writes nothing else. Can be run again and again.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
keep=no preset=release
while [ $# -gt 0 ]; do
  case $1 in
    --keep) keep=yes ;;
    --preset) preset=${2:?quickstart.sh: --preset needs a name, such as release}; shift ;;
    -h | --help) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "quickstart.sh: unknown argument '$1', expected --keep or --preset PRESET" >&2; exit 2 ;;
  esac
  shift
done

fleet="" central_pid="" poller_pid="" ended=no
step() { printf '\n== %s\n' "$*"; }
fail() { echo "quickstart.sh: $*" >&2; exit 1; }

cleanup() {
  local status=$?
  [ -n "$fleet" ] || exit "$status"
  if [ "$ended" = no ]; then
    for pid in $central_pid $poller_pid; do kill -KILL "$pid" 2>/dev/null || true; done
  fi
  if [ "$status" -ne 0 ]; then
    for log in "$fleet"/*/log/*; do
      [ ! -s "$log" ] || { echo "--- the end of $log"; tail -n 15 "$log"; } >&2
    done
    echo "quickstart.sh: failed; configuration and logs are kept in $fleet" >&2
  elif [ "$keep" = no ]; then
    rm -rf "$fleet"
  fi
  exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

step "installing what is missing"
"$root/packaging/dependencies.sh"

step "building $preset"
cached=()
# A build that has the tests keeps them; a new one needs none.
[ -f "$root/build/$preset/CMakeCache.txt" ] || cached=(-DGORGONE_TESTS=OFF)
"$root/packaging/build.sh" "$preset" ${cached[@]+"${cached[@]}"}
bin=$root/build/$preset/bin

step "making a central and a poller"
fleet=$(mktemp -d "${TMPDIR:-/tmp}/gorgone-quickstart.XXXXXX")
free_ports() {
  /usr/bin/python3 -c '
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(s.getsockname()[1] for s in sockets))'
}
read -r http_port node_port < <(free_ports)
for role in central poller; do
  "$bin/gorgonectl" keys generate --dir "$fleet/$role/lib/.keys" >/dev/null
done
thumbprint=$("$bin/gorgonectl" keys thumbprint "$fleet/central/lib/.keys/rsakey.pub.pem")
"$root/packaging/copy_example.py" central "$fleet/central" 0.0.0.0=127.0.0.1 8085="$http_port" \
  192.0.2.2=127.0.0.1 5556="$node_port" >/dev/null
"$root/packaging/copy_example.py" poller "$fleet/poller" '*:5556'="127.0.0.1:$node_port" \
  THUMBPRINT-OF-THE-CENTRAL="$thumbprint" >/dev/null
# The poller runs only what its whitelist allows.
# shellcheck disable=SC2016 # the poller's shell is to expand it
command='echo hello from $(uname -n)'
echo '- ^echo hello from \$\(uname -n\)$' >"$fleet/poller/etc/config.d/whitelist.conf.d/quickstart.yaml"
for role in central poller; do
  said=$("$bin/gorgoned" --check --config "$fleet/$role/etc/config.yaml" 2>&1) || fail "the $role's configuration is not accepted:
$said"
done
echo "the central's thumbprint, which the poller lets in: $thumbprint"

start() {  # ROLE: starts its daemon in a session of its own, so that --keep outlives the terminal; the caller takes $!
  setsid "$bin/gorgoned" --config "$fleet/$1/etc/config.yaml" --logfile "$fleet/$1/log/gorgoned.log" --severity info \
    >"$fleet/$1/log/output.txt" 2>&1 </dev/null &
}
start poller
poller_pid=$!
start central
central_pid=$!

api=http://127.0.0.1:$http_port/api
request() { curl --silent --show-error --fail --max-time 20 "$@"; }
alive() {
  kill -0 "$poller_pid" 2>/dev/null || fail "the poller's daemon ended at its start"
  kill -0 "$central_pid" 2>/dev/null || fail "the central's daemon ended at its start"
}
wait_for() {  # WHAT, then a command that is tried for 30 s
  local what=$1 end=$((SECONDS + 30))
  shift
  until "$@" 2>/dev/null; do
    alive
    [ "$SECONDS" -lt "$end" ] || fail "$what within 30 s"
    sleep 0.1
  done
}
api_answers() { request "$api/internal/constatus" >"$fleet/constatus.json"; }
poller_answers() {
  api_answers && /usr/bin/python3 -c '
import json, sys
sys.exit(json.load(open(sys.argv[1]))["data"]["2"]["ping_ok"] < 1)' "$fleet/constatus.json"
}
wait_for "the central's HTTP API did not answer" api_answers
wait_for "the poller did not answer the central" poller_answers
echo "central: pid $central_pid, $api"
echo "poller:  pid $poller_pid, tcp://127.0.0.1:$node_port"

step "running a command on the poller, through the central"
echo "POST /api/nodes/2/core/action/command   $command"
request -X POST -H 'Content-Type: application/json' "$api/nodes/2/core/action/command?log_wait=10000000" \
  -d "[{\"command\": \"$command\"}]" >"$fleet/answer.json"
/usr/bin/python3 -c '
import json, sys
answer = json.load(open(sys.argv[1]))
results = []
for row in answer.get("data") or []:
    data = json.loads(row["data"])
    print("  code %3s  %s" % (row["code"], data.get("message", "")))
    if int(row["code"]) == 100:
        results.append(data["result"])
if len(results) != 1 or results[0]["exit_code"] != 0 or not results[0]["stdout"].startswith("hello from "):
    sys.exit("no good result came back: " + json.dumps(answer))
print("\n  " + results[0]["stdout"])' "$fleet/answer.json"

step "the nodes as the central sees them"
request "$api/internal/constatus" >"$fleet/constatus.json"
/usr/bin/python3 -c '
import json, sys
for node, state in sorted(json.load(open(sys.argv[1]))["data"].items()):
    print("  node %s  type %s  pings answered %s  failed %s" % (node, state["type"], state["ping_ok"], state["ping_failed"]))
' "$fleet/constatus.json"

if [ "$keep" = yes ]; then
  ended=yes
  cat <<TEXT

== left running
  API       $api          for example: curl $api/internal/constatus
  files     $fleet/central/etc  $fleet/poller/etc
  logs      $fleet/central/log/gorgoned.log  $fleet/poller/log/gorgoned.log
  stop      kill $central_pid $poller_pid; rm -rf $fleet
TEXT
  exit 0
fi

step "stopping both"
stop() {  # WHO PID
  kill -TERM "$2"
  local status=0 end=$((SECONDS + 60))
  while kill -0 "$2" 2>/dev/null; do
    [ "$SECONDS" -lt "$end" ] || fail "the $1 did not stop within 60 s of SIGTERM"
    sleep 0.05
  done
  wait "$2" || status=$?
  [ "$status" -eq 0 ] || fail "the $1 ended with status $status, expected 0"
  echo "the $1 ended with status 0"
}
stop central "$central_pid"
stop poller "$poller_pid"
ended=yes
