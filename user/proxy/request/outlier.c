// SPDX-License-Identifier: Apache-2.0
/*
 * Outlier detection, the proxy's part: each try's end is counted for its endpoint, and a count that
 * reaches its limit is told.
 */
#include "health/count.h"
#include "proxy/internal.h"

void px_outlier_ep(struct px_worker *w, uint32_t ep, unsigned status, bool local)
{
	const struct hr_proxy_opts *o = &w->px->opts;
	enum hr_outlier_kind kind;

	if (!ep || ep >= HR_EPS_MAX)
		return;
	kind = hr_health_count(&w->px->ep_rt[ep], w->px->codes, status, local);
	if (kind && o->outlier)
		o->outlier(o->outlier_ctx, ep, kind);
}

void px_outlier(struct px_req *r, unsigned status, bool local)
{
	px_outlier_ep(r->c->w, r->ep_id, status, local);
}

void px_outlier_failure(struct px_req *r, enum px_failure f)
{
	px_outlier(r, f == PX_FAIL_TRY_TIMEOUT ? 504 : 503, true);
}
