#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# cppcheck over user/: warnings and portability. What is suppressed has its reason in cppcheck-suppressions.txt.
suppressions=$(cd "$(dirname "$0")" && pwd)/cppcheck-suppressions.txt
. "$(dirname "$0")/files.sh"
list=$(files 'user/*.c')
[ -n "$list" ] || exit 0
# shellcheck disable=SC2086
here=$(dirname "$suppressions")
cppcheck -q --include="$here/cppcheck-macros.h" -j 2 --std=c11 --enable=warning,portability --inline-suppr --error-exitcode=1 --force \
	--max-configs=2 --suppressions-list="$suppressions" -I include -I user -I bpf -D_GNU_SOURCE -D__x86_64__ \
	--template='{file}:{line}: {severity}: {id}: {message}' $list
