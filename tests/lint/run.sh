#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# `make lint`: every rule over the tree, after each rule was shown to catch what it is for (selftest.sh).
# A rule is a script here: it prints `FILE:LINE: message` for each finding and exits 1 when there is one.
set -u
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.." || exit 1

"$here/selftest.sh" || exit 1
failed=0
for rule in layers length spdx format cppcheck; do
	if "$here/$rule.sh"; then
		printf 'lint: %-9s ok\n' $rule
	else
		printf 'lint: %-9s FAILED\n' $rule
		failed=1
	fi
done
exit $failed
