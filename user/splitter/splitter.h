/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Canaries and circuit breakers as changes of objects: YAML of a VirtualService and a
 * DestinationRule in, YAML out. Pure: nothing is applied here, nothing is looked up, the same input
 * gives the same text. All fields that a change does not name stay as they are, in their order;
 * comments go.
 *
 *	http:
 *	- name: canary-match       who matches gets the canary (only when matches were given)
 *	- ...                      rules of the object's author
 *	- name: canary-split       the rule without match: stable by weight, canary by weight
 *
 * The first destination of the split rule is the stable side, the second one the canary. A side is
 * called by its subset, or by its host when it has none.
 */
#pragma once

#include "core/str.h"
#include "model/model.h"

struct hr_canary_spec {
	const char *service; /* host of both objects, and their name when they are new */
	const char *ns;
	const char *stable, *canary; /* subsets */
	int64_t stable_weight, canary_weight;
	hr_kvs stable_labels, canary_labels; /* empty: what the subset has, else version: NAME */
	/* The rest is YAML or JSON; NULL: what there is stays, a new rule gets the default. */
	const char *matches; /* list of HTTPMatchRequest; "[]" takes the canary-match rule out */
	const char *timeout; /* duration (30s) */
	const char *retries; /* HTTPRetry ({attempts: 3, perTryTimeout: 10s}) */
	/* TrafficPolicy: each of its fields that is given replaces that of the subset or rule */
	const char *stable_policy, *canary_policy, *base_policy;
};

/*
 * `vs`, `dr`: what there is, NULL for nothing. Both texts are appended, also when nothing changed.
 * -EINVAL and a sentence: the VirtualService has no rule that could be split, a fragment is no
 * YAML. Whether the result means anything is for the decoder to say.
 */
int hr_canary_create(const struct hr_canary_spec *s, const char *vs, const char *dr,
		     struct hr_strbuf *vs_out, struct hr_strbuf *dr_out, struct hr_strbuf *why);

struct hr_canary_weight {
	const char *name; /* of a side */
	int64_t weight;
};

struct hr_canary_side {
	const char *name; /* subset, or host */
	const char *host, *subset;
	uint32_t port; /* 0: not set */
	int64_t weight;
};
struct hr_canary_rule {
	size_t rule; /* in spec.http */
	HR_LIST(struct hr_canary_side) sides;
};
/* The split rule of a VirtualService and its sides, strings in `a`; with n > 0 the rule that has
 * the sides of these names. -EINVAL and a sentence: there is none, or it cannot be told which. */
int hr_canary_split(const char *vs, const struct hr_canary_weight *w, size_t n, struct hr_arena *a,
		    struct hr_canary_rule *out, struct hr_strbuf *why);

/* Weights by name in the rule that has all of these sides; other sides keep theirs. -EINVAL. */
int hr_canary_weights(const char *vs, const struct hr_canary_weight *w, size_t n,
		      struct hr_strbuf *out, struct hr_strbuf *why);
/* The same for exactly two sides. -EINVAL also when there are more. */
int hr_canary_two_weights(const char *vs, int64_t stable, int64_t canary, struct hr_strbuf *out,
			  struct hr_strbuf *why);

/* outlierDetection of the rule's trafficPolicy. Not set (-1, NULL): what there is stays, else the
 * default in brackets. */
struct hr_breaker_spec {
	int64_t consecutive_errors; /* consecutive5xxErrors (5) */
	const char *interval;	    /* (30s) */
	const char *base_ejection;  /* baseEjectionTime (30s) */
	int64_t max_ejection;	    /* maxEjectionPercent (50) */
	int64_t min_health;	    /* minHealthPercent (30) */
};
/* `notes` (may be NULL): a line for each subset or port whose own outlierDetection goes before. */
int hr_breaker_enable(const struct hr_breaker_spec *s, const char *dr, struct hr_strbuf *out,
		      struct hr_strbuf *notes, struct hr_strbuf *why);
int hr_breaker_disable(const char *dr, struct hr_strbuf *out, struct hr_strbuf *notes,
		       struct hr_strbuf *why);
