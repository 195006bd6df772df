/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Canonical paths. Routing, authorization and the forwarded request all see the same one, so that
 * no server can read a path that the rules did not see (docs/THREAT-MODEL.md "Path").
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "core/str.h"

/* Istio meshConfig.pathNormalization.normalization. */
enum hr_path_norm {
	HR_PATH_BASE,	       /* dot segments removed, '\' is '/', unreserved escapes decoded */
	HR_PATH_NONE,	       /* as sent; only bytes that no path may have are refused */
	HR_PATH_MERGE_SLASHES, /* BASE, then runs of '/' become one */
	HR_PATH_DECODE_AND_MERGE_SLASHES, /* %2F and %5C are '/' too, then the same */
};

/*
 * `path`: as sent, without query, at most HR_HEAD_MAX bytes. out[] has room for path.n bytes; *len
 * is what was written. -EINVAL (answer 400): no leading '/', a byte that may not occur, a broken
 * escape or one of a control byte, or a segment that some servers take for a dot segment and
 * others do not ("..;x", "..%2f").
 */
int hr_path_canon(struct hr_slice path, enum hr_path_norm norm, char *out, size_t *len);

/* True when hr_path_canon would give the same bytes. */
bool hr_path_is_canonical(struct hr_slice path, enum hr_path_norm norm);
