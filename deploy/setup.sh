#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that building and testing headrace needs and that are missing, and says which.
# Nothing missing: prints nothing and touches nothing. `--check` only lists. Debian 12 and 13.
#
#   deploy/setup.sh [--check] [build|test|bench|vm]...      default: build test
set -eu

# a|b: the first that the distribution has; any of them installed is enough
build="gcc make pkg-config|pkgconf clang-19 llvm-19 bpftool libbpf-dev libelf-dev zlib1g-dev
	libyaml-dev libjansson-dev libnghttp2-dev linux-libc-dev"
test="libclang-rt-19-dev libcmocka-dev libasan8 libubsan1 nginx-light|nginx wrk curl iproute2 python3
	cppcheck clang-format-19 procps nodejs node-typescript jq nghttp2-client nghttp2-server
	python3-grpcio python3-prometheus-client"
bench="haproxy"
vm="qemu-system-x86 cpio kmod xz-utils busybox-static"

check=0
groups=""
for arg; do
	case $arg in
	--check) check=1 ;;
	build | test | bench | vm) groups="$groups $arg" ;;
	*) echo "usage: $0 [--check] [build|test|bench|vm]..." >&2; exit 2 ;;
	esac
done

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }
available() { apt-cache show --no-all-versions "$1" >/dev/null 2>&1; }

missing=""
for group in ${groups:-build test}; do
	eval "wanted=\$$group"
	for choice in $wanted; do
		found=0
		for p in $(echo "$choice" | tr '|' ' '); do
			installed "$p" && found=1 && break
		done
		[ $found = 1 ] || missing="$missing $choice"
	done
done
[ -n "$missing" ] || exit 0
echo "setup: missing packages:$missing"
[ $check = 0 ] || exit 1
if [ "$(id -u)" != 0 ]; then
	echo "setup: run 'sudo make setup' to install them" >&2
	exit 1
fi

# Packages of servers (nginx, haproxy) start a service when they are installed. Nobody asked for that.
policy=/usr/sbin/policy-rc.d
mine=0
if [ ! -e $policy ]; then
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod +x $policy
	mine=1
fi
trap '[ $mine = 0 ] || rm -f $policy' EXIT
trap 'exit 130' INT TERM

export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
apt-get update -q >"$log" 2>&1 || { cat "$log"; exit 1; }
names=""
for choice in $missing; do
	name=""
	for p in $(echo "$choice" | tr '|' ' '); do
		if available "$p"; then name=$p; break; fi
	done
	[ -n "$name" ] || { echo "setup: this distribution has no package $choice" >&2; exit 1; }
	names="$names $name"
done
# shellcheck disable=SC2086
apt-get install -q -y --no-install-recommends $names >"$log" 2>&1 || { tail -20 "$log"; exit 1; }
rm -f "$log"
echo "setup: installed$names"
