#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The licence of every source file is on its first lines: Apache-2.0, and for what is loaded into the kernel or
# shared with it GPL-2.0-only OR BSD-2-Clause (also).
. "$(dirname "$0")/files.sh"
bad=0
for f in $(files '*.c' '*.h' '*.py' '*.sh' '*.mk' '*.ts' '*.mjs' '.ci/run' 'tests/demo/demo' | grep -v -E '(^|/)vmlinux\.h$|/dist/.*\.d\.ts$'); do
	line=$(head -3 "$f" | grep -m1 'SPDX-License-Identifier: ')
	case $f in
	bpf/* | *.bpf.c) want='GPL-2.0-only OR BSD-2-Clause' ;;
	*) want='Apache-2.0' ;;
	esac
	case $line in
	*"$want"*) ;;
	*) echo "$f:1: no SPDX line with $want"; bad=1 ;;
	esac
done
exit $bad
