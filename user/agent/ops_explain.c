// SPDX-License-Identifier: Apache-2.0
// Control operation: explain, by the plan in effect.
#include "plan/explain/explain.h"

#include <errno.h>

#include "agent/state.h"
#include "core/cleanup.h"

/* [["name","value"],...] in order, repeated names kept. -EINVAL. */
static int read_pairs(struct hr_arena *arena, const json_t *list, hr_kvs *out)
{
	hr_kvs kvs = {.data = hr_arena_array(arena, struct hr_kv, json_array_size(list) + 1)};
	const json_t *pair;
	size_t i;

	if (list && !json_is_array(list))
		return -EINVAL;
	json_array_foreach((json_t *)list, i, pair)
	{
		const char *key = json_string_value(json_array_get(pair, 0));
		const char *value = json_string_value(json_array_get(pair, 1));

		if (!key || !value)
			return -EINVAL;
		kvs.data[kvs.len++] = (struct hr_kv){.key = key, .value = value};
	}
	*out = kvs;
	return 0;
}

static const char *text(const json_t *req, const char *key, const char *dflt)
{
	const char *s = json_string_value(json_object_get(req, key));

	return s ? s : dflt;
}

json_t *agent_op_explain(struct hr_agent *a, const json_t *req, const struct hr_control_peer *peer,
			 const char **code, struct hr_strbuf *why)
{
	_cleanup_arena_ struct hr_arena *arena = hr_arena_new();
	_cleanup_sb_ struct hr_strbuf out = {};
	bool json = hr_streq(text(req, "format", "text"), "json");
	const char *reason = NULL;
	struct hr_explain_req r = {
		.method = text(req, "method", "GET"),
		.url = text(req, "url", NULL),
		.from_ns = text(req, "fromNamespace", NULL),
		.from_name = text(req, "fromName", NULL),
		.source_ip = text(req, "sourceIP", NULL),
		.gateway = text(req, "gateway", NULL),
	};

	(void)peer;
	if (!r.url || read_pairs(arena, json_object_get(req, "headers"), &r.headers) < 0 ||
	    read_pairs(arena, json_object_get(req, "sourceLabels"), &r.source_labels) < 0)
		return agent_refuse(code, "bad-request", why,
				    "url is needed; headers and sourceLabels are lists of pairs");
	if ((json ? hr_explain_json : hr_explain_text)(a->plan, &r, &out, &reason) < 0)
		return agent_refuse(code, "bad-request", why, "%s: %s", r.url,
				    reason ? reason : "cannot be read");
	return json_pack("{s:s#}", "text", hr_sb_str(&out), (int)out.len);
}
