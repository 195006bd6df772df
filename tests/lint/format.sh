#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# C as .clang-format says; one line a file. Mend with: clang-format-19 -i FILE
. "$(dirname "$0")/files.sh"
files '*.c' '*.h' | grep -v -E '(^|/)vmlinux\.h$' | xargs -r -n 40 clang-format-19 --dry-run -Werror -style=file 2>&1 |
	grep -E ': (error|warning):' | sort -t: -k1,1 -u |
	sed 's/ code should be clang-formatted.*/ not as .clang-format says (and perhaps more)/' | grep . && exit 1
exit 0
