/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of hr_plan_change share. */
#pragma once

#include "plan/compile/compile.h"

/* Which services may have other endpoints: [from->svcs.len]. `now` are the objects after it. */
void hr_change_touched(const struct hr_plan *from, const struct hr_object_key *gone, size_t n_gone,
		       const struct hr_objects *now, const struct hr_objects *put, bool *touched);
/* The look-ups of a build (hr_build_place_lookups), as far as those services need them. */
void hr_change_lookups(struct hr_build *b, const struct hr_plan *from, const bool *touched);
