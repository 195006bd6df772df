#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `make test`: every suite, one closing line. TESTS="unit e2e ..." runs some of them:
#   unit   cmocka, every room                san    the same under ASan/UBSan
#   fuzz   the fuzzers' corpora once (SAN)    bpf    BPF programs run as functions, the shared scanner and matcher
#   ts     the TypeScript client against a made-up agent (the real one: e2e)
#   e2e    real clients and servers, both data paths     e2e-san  a part of it with a sanitized agent
#   e2e-near  what policy does, with servers on the client's node whose bytes skip TCP
set -u
cd "$(dirname "$0")/.." || exit 1
B=${B:-build}
MAKE=${MAKE:-make}
suites=${*:-unit san fuzz bpf ts e2e e2e-near e2e-san}
mkdir -p "$B/test-logs"
passed=0 failed=0 skipped=0 broken=""

# count NAME LOG STATUS: adds what a suite printed: cmocka's "[  PASSED  ] 3 test(s)." and "N passed, N failed[, N skipped]"
count() {
	local p f s
	read -r p f s < <(awk '
		/^\[  PASSED  \] [0-9]+ test/ { p += $4 }
		/^\[  FAILED  \] [0-9]+ test/ { f += $4 }
		/^\[  SKIPPED \] [0-9]+ test/ { s += $4 }
		/^[0-9]+ passed, [0-9]+ failed/ { p += $1; f += $3; if ($6 == "skipped") s += $5 }
		/: [0-9]+ inputs$/ { p += 1 }
		END { print p + 0, f + 0, s + 0 }' "$2")
	# a suite that broke off without a failing test (it did not build, it crashed) is one failure
	[ "$3" = 0 ] || [ "$f" != 0 ] || f=1
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	[ "$f" = 0 ] || broken="$broken $1"
	printf '== %-8s %4d passed, %d failed, %d skipped (%d s)   %s\n' "$1" "$p" "$f" "$s" "$SECONDS" "$2"
}

# suite NAME COMMAND...: output into a log; shown as it comes for the long ones, on failure for the others
suite() {
	local name=$1 log="$B/test-logs/$1.log" status
	shift
	SECONDS=0
	if [[ $name == e2e* ]]; then
		"$@" 2>&1 | tee "$log"
		status=${PIPESTATUS[0]}
	else
		"$@" >"$log" 2>&1
		status=$?
		[ $status = 0 ] || { grep -E '^FAIL|FAILED|[Ee]rror|ERROR|runtime error|assert' "$log" | head -40; tail -15 "$log"; }
		# tests of time on a busy machine: a second chance, said aloud
		if [ $status != 0 ] && [ "$name" != build ]; then
			echo "flaky or broken: $name is run again"
			"$@" >"$log" 2>&1
			status=$?
		fi
	fi
	count "$name" "$log" "$status"
}

quiet="$MAKE --no-print-directory -k"
for s in $suites; do
	case $s in
	unit)
		suite build $quiet -j"$(nproc)" B="$B" all
		suite unit $quiet B="$B" unit
		;;
	san)
		suite build $quiet -j"$(nproc)" SAN=1 B="$B/san" all
		suite san $quiet SAN=1 B="$B/san" unit
		;;
	fuzz) suite fuzz $quiet SAN=1 B="$B/san" fuzz-replay ;;
	bpf) suite bpf $quiet B="$B" bpf-test path-test ;;
	ts) suite ts clients/typescript/run-tests.sh ;;
	e2e)
		suite build $quiet -j"$(nproc)" B="$B" all
		suite e2e env B="$B" tests/e2e/run.py --again
		;;
	e2e-near)
		suite build $quiet -j"$(nproc)" B="$B" all
		suite e2e-near env B="$B" tests/e2e/run.py --again --datapath kernel --near actions. edits. faults. metrics. \
			outlier. routing.
		;;
	e2e-san)
		suite build $quiet -j"$(nproc)" SAN=1 B="$B/san" all
		suite e2e-san env B="$B/san" ASAN_OPTIONS=detect_leaks=1:abort_on_error=1 UBSAN_OPTIONS=print_stacktrace=1 \
			tests/e2e/run.py --again --datapath agent http. attacks. faults. reload. contract.
		;;
	*) echo "$0: no suite $s" >&2; exit 2 ;;
	esac
done
[ -z "$broken" ] || echo "failed suites:$broken"
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ] && [ $passed -gt 0 ]
