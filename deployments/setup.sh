#!/bin/sh
# Installs what the tests use beside Go, where it is missing and we may: python3
# for the second routine behind the vectors, unshare for runs without a
# network, a C compiler for the race detector. What cannot be had here is a
# skipped row in the table of make test.
set -eu
want=
command -v python3 >/dev/null || want="$want python3"
command -v unshare >/dev/null || want="$want util-linux"
command -v gcc >/dev/null || want="$want gcc libc6-dev"
[ -n "$want" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "missing, and not installed since only root may do that with apt:$want" >&2
	exit 0
fi
apt-get update -qq
# shellcheck disable=SC2086
apt-get install -qq -y --no-install-recommends $want
