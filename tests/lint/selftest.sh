#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A rule that cannot fail is no rule: each gets a small tree with one fault and must name it, and a clean tree
# and must be silent.
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

# catches RULE FILE CONTENT WORDS: the rule fails and says WORDS
catches() {
	rm -rf "$dir/t"; mkdir -p "$dir/t/$(dirname "$2")"
	printf '%b' "$3" >"$dir/t/$2"
	[ "$1" != format ] || cp "$here/../../.clang-format" "$dir/t/"
	if out=$(LINT_ROOT="$dir/t" "$here/$1.sh" 2>&1) || [[ $out != *"$4"* ]]; then
		echo "lint: $1 did not catch: $4 (said: $out)"; failed=1
	fi
}
# passes RULE FILE CONTENT
passes() {
	rm -rf "$dir/t"; mkdir -p "$dir/t/$(dirname "$2")"
	printf '%b' "$3" >"$dir/t/$2"
	[ "$1" != format ] || cp "$here/../../.clang-format" "$dir/t/"
	out=$(LINT_ROOT="$dir/t" "$here/$1.sh" 2>&1) || { echo "lint: $1 refused a good $2: $out"; failed=1; }
}

catches layers user/plan/x.c '#include "proxy/proxy.h"\n' 'plan must not include proxy'
catches layers user/attic/x.c '#include "core/str.h"\n' 'attic is not in the order'
catches layers user/cli/x.c '#include "../core/str.h"\n' 'not by ../'
catches layers bpf/x.bpf.c '#include "core/str.h"\n' 'must not include user/core'
passes layers user/proxy/x.c '#include "plan/plan.h"\n#include "headrace/abi.h"\n#include <stdio.h>\n'
catches length user/core/x.c "$(yes 'int x;\n' | head -601 | tr -d '\n')" '601 lines'
passes length user/core/x.c "$(yes 'int x;\n' | head -600 | tr -d '\n')"
catches spdx user/core/x.c '/* hello */\n' 'no SPDX line'
catches spdx bpf/x.h '/* SPDX-License-Identifier: Apache-2.0 */\n' 'GPL-2.0-only OR BSD-2-Clause'
passes spdx bpf/x.h '/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause */\n'
catches format user/core/x.c 'int f(void) { return  1; }\n' 'user/core/x.c:1'
passes format user/core/x.c 'int f(void)\n{\n\treturn 1;\n}\n'
catches cppcheck user/core/x.c 'int f(void);\nint f(void)\n{\n\tint a[2] = {0, 1};\n\treturn a[2];\n}\n' 'arrayIndexOutOfBounds'
passes cppcheck user/core/x.c 'int f(void);\nint f(void)\n{\n\treturn 1;\n}\n'
exit $failed
