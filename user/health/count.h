/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a request's end says about its endpoint: failures in a row, in the words that kernel and
 * agent share (struct hr_ep_rt). The kernel has the same rules in bpf/lib/count.h.
 *
 *	end of a request                  local  5xx  gateway
 *	answer below 500                    0     0      0       0: set to zero
 *	answer 502, 503, 504                0    +1     +1
 *	any other answer from 500           0    +1      0
 *	no answer, split                   +1     .      .       .: not touched
 *	no answer, not split                .    as the status that the client gets (503, 504)
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "headrace/abi.h"

/* `codes`: the table of the shared words, [HR_CODES_MAX]; where the endpoint names a row of it, a
 * status of that row counts as it is from 500 on and as 500 below, any other as 200.
 * `local`: the endpoint gave no answer (refused, reset, timed out), `status` is the one given in
 * its place. Gives the count that has reached its limit with this request, or 0; where two have,
 * the 5xx one. Any thread. */
enum hr_outlier_kind hr_health_count(struct hr_ep_rt *rt, const struct hr_codes *codes,
				     unsigned status, bool local);
