#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The TypeScript client's tests: types (tsc, where there is one), dist is what src gives, node:test. Needs no network.
# dist is in git so that the client works without a build; types are checked against src.
set -u
cd "$(dirname "$0")" || exit 1
failed=0 passed=0

step() {
	local what=$1 out
	shift
	if out=$("$@" 2>&1); then
		echo "ok    ts $what"
		passed=$((passed + 1))
	else
		echo "FAIL  ts $what"
		echo "$out" | head -40
		failed=$((failed + 1))
	fi
}

# Versions of tsc differ in white space and quotes of what they emit, not in what it does.
canonical() { sed -e "s/[[:space:]]\+/ /g; s/'/\"/g; s/export declare type/export type/" "$1" | tr -d '\n'; }
same_as_dist() {
	local new=$1 f
	for f in "$new"/*; do
		[ "$(canonical "$f")" = "$(canonical "dist/${f##*/}")" ] || { echo "dist/${f##*/} is not what src gives: tsc -p ."; return 1; }
	done
	[ "$(ls "$new")" = "$(ls dist)" ] || { echo "dist has other files than src gives"; return 1; }
}

if command -v tsc >/dev/null; then
	new=$(mktemp -d)
	trap 'rm -rf "$new"' EXIT
	step "src compiles, strictly" tsc -p . --outDir "$new"
	step "dist is what src gives" same_as_dist "$new"
	step "types allow and refuse" tsc --noEmit --strict --target ES2022 --module ES2022 --moduleResolution node \
		--lib ES2022 src/node.d.ts test/types.ts
else
	echo "ts: no tsc here (package node-typescript): types and dist were not checked"
fi
tests=$(node --test --test-reporter=tap test/*.test.mjs 2>&1) || echo "$tests" | grep -v -E '^ *(---|\.\.\.|duration_ms)'
read -r p f < <(echo "$tests" | awk '/^# pass /{p=$3} /^# fail /{f=$3} END{print p + 0, f + 0}')
passed=$((passed + p)) failed=$((failed + f))
echo "$passed passed, $failed failed"
[ $failed = 0 ] && [ "$p" -gt 0 ]
