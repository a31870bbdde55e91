#!/bin/sh
# Runs every fuzz target of the module for FUZZTIME.
set -eu
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
grep -rn --include='*_test.go' '^func Fuzz' . | grep -v '^./bench/' |
	sed 's|^\./\(.*\)/[^/]*_test\.go:[0-9]*:func \(Fuzz[A-Za-z0-9_]*\).*|\1 \2|' | sort |
	while read -r package target; do
		if ! go test "./$package" -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-30s}" -fuzzminimizetime 1s >"$log" 2>&1; then
			# A worker that is stopped by the time limit in the middle of an input
			# makes go test fail with this and no failing input (golang.org/issue/48591).
			if ! grep -q 'context deadline exceeded' "$log" || grep -q 'Failing input' "$log"; then
				cat "$log"
				exit 1
			fi
		fi
		echo "$package $target: $(grep 'execs:' "$log" | tail -1)"
	done
