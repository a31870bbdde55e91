#!/bin/sh
# Runs every fuzz target of the module for FUZZTIME.
set -eu
cd "$(dirname "$0")/.."
grep -rn --include='*_test.go' '^func Fuzz' . | grep -v '^./bench/' |
	sed 's|^\./\(.*\)/[^/]*_test\.go:[0-9]*:func \(Fuzz[A-Za-z0-9_]*\).*|\1 \2|' | sort |
	while read -r package target; do
		echo "fuzz $package $target"
		go test "./$package" -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-30s}" -fuzzminimizetime 1s
	done
