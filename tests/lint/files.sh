# SPDX-License-Identifier: Apache-2.0
# Sourced by the rules: `files GLOB...` lists the project's files (in git, or new and not ignored) that match.
# LINT_ROOT: another tree to look at (the rules' own tests).
cd "${LINT_ROOT:-.}" || exit 1
files() {
	if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
		git ls-files --cached --others --exclude-standard -- "$@"
	else
		for glob; do find . -name "${glob##*/}" -not -path './build*' | sed 's,^\./,,'; done
	fi | sort -u | while read -r f; do [ -f "$f" ] && echo "$f"; done
}
