/* SPDX-License-Identifier: Apache-2.0 */
/* Generated policies and requests, and the naive evaluator they are judged by. */
#pragma once

#include "plan/plan.h"

struct gen {
	struct hr_objects *objects; /* a VirtualService "vs" for service "svc" in "default" */
	struct hr_virtual_service *vs;
};

/* A policy of `nrules` HTTPRoutes with random conditions. */
struct gen gen_policy(uint32_t *seed, unsigned nrules);

#define REQ_HEADERS 3
struct gen_req {
	struct hr_plan_req req;
	const char *names[REQ_HEADERS], *values[REQ_HEADERS]; /* value NULL: absent */
	char path[160];
};
void gen_request(uint32_t *seed, struct gen_req *out);

/* Index of the HTTPRoute that the request matches, straight from the objects; -1: none. */
int naive_route(const struct hr_virtual_service *vs, const struct gen_req *q);

uint32_t rnd(uint32_t *seed, uint32_t n);
