// SPDX-License-Identifier: Apache-2.0
/* Failures in a row of one endpoint. */
#include "health/count.h"

/* A count is reported at each multiple of its limit: a report that was lost is not the last. */
static bool bump(uint32_t *count, uint32_t *limit)
{
	uint32_t max = __atomic_load_n(limit, __ATOMIC_RELAXED);

	return max && __atomic_add_fetch(count, 1, __ATOMIC_RELAXED) % max == 0;
}

/* Written only when it changes: the line is shared by all processors. */
static void clear(uint32_t *count)
{
	if (__atomic_load_n(count, __ATOMIC_RELAXED))
		__atomic_store_n(count, 0, __ATOMIC_RELAXED);
}

/* What a status counts as (outlierDetectionHttpErrorCodes). */
static unsigned meaning(const struct hr_ep_rt *rt, const struct hr_codes *codes, unsigned status)
{
	uint32_t row = __atomic_load_n(&rt->codes, __ATOMIC_RELAXED);

	if (!row || row >= HR_CODES_MAX)
		return status;
	if (status < 100 || status > 599 ||
	    !(codes[row].bits[(status - 100) / 64] >> (status - 100) % 64 & 1))
		return 200;
	return status < 500 ? 500 : status;
}

enum hr_outlier_kind hr_health_count(struct hr_ep_rt *rt, const struct hr_codes *codes,
				     unsigned status, bool local)
{
	enum hr_outlier_kind reached = 0;

	if (local && __atomic_load_n(&rt->limit_local, __ATOMIC_RELAXED))
		return bump(&rt->consecutive_local, &rt->limit_local) ? HR_OUTLIER_LOCAL : 0;
	if (!local) {
		clear(&rt->consecutive_local);
		status = meaning(rt, codes, status);
	}
	if (status < 502 || status > 504)
		clear(&rt->consecutive_gateway);
	else if (bump(&rt->consecutive_gateway, &rt->limit_gateway))
		reached = HR_OUTLIER_GATEWAY;
	if (status < 500)
		clear(&rt->consecutive_5xx);
	else if (bump(&rt->consecutive_5xx, &rt->limit_5xx))
		reached = HR_OUTLIER_5XX;
	return reached;
}
