// SPDX-License-Identifier: Apache-2.0
// headrace explain: what happens to one request, from files or from the running agent.
#include "plan/explain/asked.h"

#include <errno.h>

#include "cli/diags.h"
#include "cli/labels.h"
#include "cli/term.h"
#include "cli/verbs.h"
#include "core/cleanup.h"
#include "core/net.h"

static int read_request(const struct hr_args *a, struct hr_arena *arena, struct hr_explain_req *r)
{
	const char *from = hr_arg_str(a, "from", NULL), *const * headers;
	const char *labels = hr_arg_str(a, "source-labels", "");
	size_t n = hr_arg_list(a, "header", &headers);
	struct hr_asked asked;
	const char *why;

	r->method = hr_arg_str(a, "method", "GET");
	r->url = a->pos[0];
	r->source_ip = hr_arg_str(a, "source-ip", NULL);
	r->gateway = hr_arg_str(a, "gateway", NULL);
	if (hr_asked_url(arena, r->url, &asked, &why) < 0)
		return hr_fail(a, HR_EXIT_USAGE, "%s: %s", r->url, why);
	if (!hr_is_token(r->method))
		return hr_fail(a, HR_EXIT_USAGE, "-X: \"%s\" is no method", r->method);
	if (r->source_ip && hr_addr_parse(r->source_ip, &asked.addr) < 0)
		return hr_fail(a, HR_EXIT_USAGE, "--source-ip: \"%s\" is no address", r->source_ip);
	if (r->gateway && !hr_streq(r->gateway, "mesh"))
		return hr_fail(a, HR_EXIT_REFUSED, "--gateway: gateways are not built yet");
	if (from && hr_parse_workload(arena, from, &r->from_ns, &r->from_name) < 0)
		return hr_fail(a, HR_EXIT_USAGE, "--from: \"%s\" is not NS/NAME", from);
	if (hr_parse_labels(arena, labels, &r->source_labels) < 0)
		return hr_fail(a, HR_EXIT_USAGE, "--source-labels: \"%s\" is not k=v,...", labels);
	r->headers.data = hr_arena_array(arena, struct hr_kv, n + 1);
	for (size_t i = 0; i < n; i++) {
		if (hr_parse_header(arena, headers[i], &r->headers.data[r->headers.len++]) < 0)
			return hr_fail(a, HR_EXIT_USAGE, "-H: \"%s\" is not 'Name: value'",
				       headers[i]);
	}
	return HR_EXIT_OK;
}

/* The plan of the given files; NULL when there are errors, which are then said. */
static struct hr_plan *load_plan(const struct hr_args *a, const char *const *paths, size_t n)
{
	const struct hr_plan_opts opts = {
		.cluster_domain = hr_arg_str(a, "cluster-domain", "cluster.local"),
		.registry_only = hr_streq(hr_arg_str(a, "outbound", "allow-any"), "registry-only"),
		.locality = hr_arg_str(a, "locality", NULL),
		.node = hr_arg_str(a, "node", getenv("NODE_NAME")),
	};
	_cleanup_diags_ struct hr_diags *diags = hr_diags_new();
	_cleanup_sb_ struct hr_strbuf text = {};
	struct hr_decoder *d = hr_decoder_new(0, diags);
	struct hr_objects *set;
	struct hr_plan *plan = NULL;

	for (size_t i = 0; i < n; i++)
		hr_decode_path(d, paths[i]);
	set = hr_decoder_finish(d);
	if (diags->errors)
		hr_objects_free(set);
	else
		hr_plan_build(&plan, set, &opts, diags);
	if (!plan) {
		hr_diags_text(diags, &text);
		fputs(hr_sb_str(&text), stderr);
	}
	return plan;
}

static int offline(const struct hr_args *a, const struct hr_explain_req *req,
		   const char *const *paths, size_t n)
{
	_cleanup_sb_ struct hr_strbuf out = {};
	const char *why = NULL;
	struct hr_plan *plan = load_plan(a, paths, n);
	int r;

	if (!plan)
		return HR_EXIT_REFUSED;
	r = a->json ? hr_explain_json(plan, req, &out, &why)
		    : hr_explain_text(plan, req, &out, &why);
	hr_plan_free(plan);
	if (r < 0)
		return hr_fail(a, HR_EXIT_USAGE, "%s: %s", req->url, why ? why : "cannot be read");
	if (out.len && out.data[out.len - 1] != '\n')
		hr_sb_addc(&out, '\n');
	return hr_print(&out);
}

/* NULL when a value is no UTF-8: the control socket speaks JSON. */
static json_t *pairs(const hr_kvs *kvs)
{
	json_t *list = json_array();

	for (size_t i = 0; i < kvs->len; i++)
		if (json_array_append_new(
			    list, json_pack("[s,s]", kvs->data[i].key, kvs->data[i].value)) < 0) {
			json_decref(list);
			return NULL;
		}
	return list;
}

static int from_agent(const struct hr_args *a, const struct hr_explain_req *req)
{
	_cleanup_sb_ struct hr_strbuf out = {};
	_cleanup_json_ json_t *result = NULL;
	json_t *ask = json_pack("{s:s,s:s,s:s,s:o,s:o}", "format", a->json ? "json" : "text",
				"method", req->method, "url", req->url, "headers",
				pairs(&req->headers), "sourceLabels", pairs(&req->source_labels));
	const struct {
		const char *key, *value;
	} rest[] = {{"fromNamespace", req->from_ns},
		    {"fromName", req->from_name},
		    {"sourceIP", req->source_ip},
		    {"gateway", req->gateway}};
	int r;

	if (!ask)
		return hr_fail(a, HR_EXIT_USAGE, "values that are no UTF-8 need -f PATH");
	for (size_t i = 0; i < HR_ARRAY_SIZE(rest); i++)
		if (rest[i].value)
			json_object_set_new(ask, rest[i].key, json_string(rest[i].value));
	r = hr_ask(a, "explain", ask, &result);
	if (r) /* all it refuses is a request that cannot be read */
		return r == HR_EXIT_REFUSED ? HR_EXIT_USAGE : r;
	hr_sb_add(&out, hr_jstr(result, "text", ""));
	if (out.len && out.data[out.len - 1] != '\n')
		hr_sb_addc(&out, '\n');
	return hr_print(&out);
}

int hr_verb_explain(const struct hr_args *a)
{
	_cleanup_arena_ struct hr_arena *arena = hr_arena_new();
	struct hr_explain_req req = {};
	const char *const *paths;
	size_t n = hr_arg_list(a, "file", &paths);
	int r = read_request(a, arena, &req);

	if (r)
		return r;
	return n ? offline(a, &req, paths, n) : from_agent(a, &req);
}
