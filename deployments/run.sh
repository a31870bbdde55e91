#!/bin/sh
# Starts a log on the embedded store, offers it the demonstration receipts,
# verifies one of them offline, and keeps serving; with RUN_ONCE=1 it ends, and
# the exit status says whether everything was as it should be. State lies in
# .run, which may be removed at any time. RUN_LISTEN is the address.
set -eu
cd "$(dirname "$0")/.."
bin=$PWD/.bin state=$PWD/.run listen=${RUN_LISTEN:-127.0.0.1:7480}
origin=example.com/demo
# The kernel that signed the demonstration receipts.
writer=ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c

mkdir -p "$bin" "$state"
go build -o "$bin/" ./cmd/chiolog ./cmd/chiolog-server

# Settings of the shell are those of other logs.
for name in $(env | sed -n 's/^\(CHIOLOG_[A-Z_]*\)=.*/\1/p'); do unset "$name"; done
export CHIO_HOME="$state/home"

# The files of a server that is running already must not be touched before it
# is known that this one may run.
new_out=$(mktemp "$state/out.XXXXXX") new_log=$(mktemp "$state/log.XXXXXX")
"$bin/chiolog-server" --origin "$origin" --store "file:$state/log" --listen "$listen" --writer "$writer" >"$new_out" 2>"$new_log" &
server=$!
trap 'kill "$server" 2>/dev/null; wait "$server" 2>/dev/null; rm -f "$new_out" "$new_log"' EXIT
trap 'exit 130' INT TERM

# The server prints its address when it answers.
until grep -q '^serving' "$new_out"; do
	kill -0 "$server" 2>/dev/null || { cat "$new_log" >&2; echo "RUN_LISTEN=127.0.0.1:PORT make run takes another port; .run holds one log at a time" >&2; exit 1; }
	sleep 0.05
done
mv "$new_out" "$state/server.out"
mv "$new_log" "$state/server.log"
out=$state/server.out
url=$(sed -n 's/^serving *//p' "$out")
cat "$out"

echo
echo "appending the receipts of testdata/demo:"
status=0
"$bin/chiolog" append testdata/demo/receipts.ndjson --log "$url" --wait >"$state/append.out" 2>&1 || status=$?
cat "$state/append.out"
# Nine of the fourteen are refused, so the command says that not all are in.
[ "$status" = 1 ] || { echo "append ended with status $status, not 1" >&2; exit 1; }

id=$(sed -n '1s/.*"id": *"\([0-9a-f]*\)".*/\1/p' testdata/demo/receipts.ndjson)
printf 'log %s\nquorum none\n' "$(sed -n 's/^vkey *//p' "$out")" >"$state/policy.txt"
"$bin/chiolog" prove "$id" --log "$url" --policy "$state/policy.txt" -o "$state/receipt.tlog-proof" >/dev/null

# Verifying needs no network: where the system lets us, there is none.
cut=
for try in 'unshare -n' 'unshare -rn'; do
	if $try true 2>/dev/null; then cut=$try; break; fi
done
echo
if [ -n "$cut" ]; then echo "verifying one bundle in an empty network namespace:"; else echo "verifying one bundle (no network namespace may be made here):"; fi
$cut "$bin/chiolog" verify "$state/receipt.tlog-proof" --policy "$state/policy.txt" || exit 1

echo
echo "policy     $state/policy.txt"
echo "bundle     $state/receipt.tlog-proof"
echo "server log $state/server.log"
[ -z "${RUN_ONCE:-}" ] || exit 0
echo "look at    $url/checkpoint"
echo "           $url/v1/checkpoints"
echo "           $url/metrics"
echo "serving; Ctrl-C ends it"
wait "$server"
