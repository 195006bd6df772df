// SPDX-License-Identifier: Apache-2.0
/* Words of enum hr_why. */
#include "plan/plan.h"

const char *hr_why_text(enum hr_why w)
{
	static const char *const words[] = {
#define HR_WHY_TEXT(id, text) [HR_WHY_##id] = text,
		HR_WHY_LIST(HR_WHY_TEXT)
#undef HR_WHY_TEXT
	};

	return w < HR_WHY_MAX ? words[w] : "unknown";
}
