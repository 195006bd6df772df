// SPDX-License-Identifier: Apache-2.0
// Control operations: the table, and those that only show (docs/CONTROL.md).
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/state.h"
#include "core/cleanup.h"

json_t *agent_refuse(const char **code, const char *c, struct hr_strbuf *why, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	hr_sb_add(why, text);
	*code = c;
	return NULL;
}

static json_t *show(struct hr_agent *a, json_t *(*fn)(const struct hr_meters *m))
{
	_cleanup_arena_ struct hr_arena *arena = hr_arena_new();
	struct hr_meters m = {};

	agent_meters(a, arena, &m);
	return fn(&m);
}

static json_t *op_status(struct hr_agent *a, const json_t *req, const struct hr_control_peer *peer,
			 const char **code, struct hr_strbuf *why)
{
	(void)req, (void)peer, (void)code, (void)why;
	return show(a, hr_status_json);
}

static json_t *op_routes(struct hr_agent *a, const json_t *req, const struct hr_control_peer *peer,
			 const char **code, struct hr_strbuf *why)
{
	(void)req, (void)peer, (void)code, (void)why;
	return show(a, hr_routes_json);
}

static json_t *op_endpoints(struct hr_agent *a, const json_t *req,
			    const struct hr_control_peer *peer, const char **code,
			    struct hr_strbuf *why)
{
	(void)req, (void)peer, (void)code, (void)why;
	return show(a, hr_endpoints_json);
}

static json_t *op_breakers(struct hr_agent *a, const json_t *req,
			   const struct hr_control_peer *peer, const char **code,
			   struct hr_strbuf *why)
{
	(void)req, (void)peer, (void)code, (void)why;
	return show(a, hr_breakers_json);
}

static json_t *op_top(struct hr_agent *a, const json_t *req, const struct hr_control_peer *peer,
		      const char **code, struct hr_strbuf *why)
{
	_cleanup_arena_ struct hr_arena *arena = hr_arena_new();
	struct hr_meters m = {};

	(void)req, (void)peer, (void)code, (void)why;
	agent_meters(a, arena, &m);
	return hr_top_json(&m, hr_loop_now(a->loop));
}

static json_t *op_reload(struct hr_agent *a, const json_t *req, const struct hr_control_peer *peer,
			 const char **code, struct hr_strbuf *why)
{
	(void)req, (void)peer;
	agent_reload(a, true);
	if (a->last_error)
		return agent_refuse(code, "invalid", why, "%s", a->last_error);
	return json_pack("{s:I}", "generation", (json_int_t)a->generation);
}

static const struct {
	const char *op;
	agent_op_fn *fn;
} table[] = {
	{"status", op_status},
	{"routes", op_routes},
	{"endpoints", op_endpoints},
	{"breakers", op_breakers},
	{"top", op_top},
	{"explain", agent_op_explain},
	{"apply", agent_op_apply},
	{"get", agent_op_get},
	{"delete", agent_op_delete},
	{"attach", agent_op_attach},
	{"detach", agent_op_detach},
	{"datapath", agent_op_datapath},
	{"reload", op_reload},
	{"list", agent_op_list},
	{"watch", agent_op_watch},
	{"createCanaryDeployment", agent_op_canary_create},
	{"updateTrafficWeights", agent_op_canary_weights},
	{"promoteCanary", agent_op_canary_promote},
	{"rollbackCanary", agent_op_canary_rollback},
	{"canaryStatus", agent_op_canary_status},
	{"enableCircuitBreaker", agent_op_breaker_enable},
	{"disableCircuitBreaker", agent_op_breaker_disable},
	{"circuitBreakerStatus", agent_op_breaker_status},
};

json_t *agent_op(void *ctx, const char *op, const json_t *req, const struct hr_control_peer *peer,
		 const char **code, struct hr_strbuf *why)
{
	struct hr_agent *a = ctx;

	for (size_t i = 0; i < HR_ARRAY_SIZE(table); i++)
		if (hr_streq(table[i].op, op))
			return table[i].fn(a, req, peer, code, why);
	return agent_refuse(code, "unknown-op", why, "no operation \"%.64s\"", op);
}
