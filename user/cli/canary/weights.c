// SPDX-License-Identifier: Apache-2.0
// headrace canary weights, promote, rollback: who gets how much.
#include "cli/canary/canary.h"
#include "cli/verbs.h"

int hr_verb_canary_weights(const struct hr_args *a)
{
	json_t *req = hr_split_request(a), *weights = json_object();
	int r = 0;

	for (size_t i = 1; i < a->npos && !r; i++)
		r = hr_split_weight(a, a->pos[i], weights);
	json_object_set_new(req, "weights", weights);
	if (r) {
		json_decref(req);
		return r;
	}
	return hr_split_ask(a, "updateTrafficWeights", req);
}

int hr_verb_canary_promote(const struct hr_args *a)
{
	return hr_split_ask(a, "promoteCanary", hr_split_request(a));
}

int hr_verb_canary_rollback(const struct hr_args *a)
{
	return hr_split_ask(a, "rollbackCanary", hr_split_request(a));
}
