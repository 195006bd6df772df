#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# No file over 600 lines: a longer one has more than one subject. Split by what a newcomer would look for.
. "$(dirname "$0")/files.sh"
files '*.c' '*.h' '*.py' '*.sh' 'Makefile' '*.mk' '*.ts' '*.mjs' | grep -v -E '(^|/)vmlinux\.h$' | xargs -r awk '
function close_file() { if (lines > 600) { print name ":" lines ": " lines " lines, at most 600"; bad = 1 } }
FNR == 1 { close_file(); name = FILENAME }
{ lines = FNR }
END { close_file(); exit bad }'
