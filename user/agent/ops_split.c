// SPDX-License-Identifier: Apache-2.0
/*
 * Control operations that change a VirtualService and its DestinationRule: canaries and circuit
 * breakers. What the new objects look like is user/splitter's; here they are found and applied.
 *
 *	objects in effect -> splitter -> YAML -> (dryRun: shown) -> store, kernel, proxy
 */
#include <errno.h>
#include <string.h>

#include "agent/state.h"
#include "core/cleanup.h"
#include "model/hosts.h"
#include "splitter/splitter.h"

struct change {
	struct hr_store_entry entry; /* yaml: the new text */
	const char *old;	     /* NULL: there was none */
	const char *file;	     /* of `run -f` that defines it; NULL: none */
};

struct op {
	struct hr_agent *a;
	struct hr_arena *arena;
	const json_t *req;
	const char **code;
	struct hr_strbuf *why;
	const char *service, *ns;
	bool dry;
	struct change changes[2];
	size_t n;
	struct hr_strbuf notes;		      /* warnings, a line each */
	const struct hr_canary_weight *named; /* sides that the request names */
	size_t n_named;
};

/* ---- requests ------------------------------------------------------------------------------ */

static int bad(struct op *o, const char *sentence)
{
	agent_refuse(o->code, "bad-request", o->why, "%s", sentence);
	return -EINVAL;
}

static int open_op(struct op *o, struct hr_agent *a, const json_t *req, const char **code,
		   struct hr_strbuf *why)
{
	const char *ns = json_string_value(json_object_get(req, "namespace"));

	*o = (struct op){.a = a,
			 .arena = hr_arena_new(),
			 .req = req,
			 .code = code,
			 .why = why,
			 .service = json_string_value(json_object_get(req, "service")),
			 .ns = ns ? ns : "default",
			 .dry = json_is_true(json_object_get(req, "dryRun"))};
	if (!o->service || !*o->service)
		return bad(o, "service: the name of a service is needed");
	return 0;
}

static void close_op(struct op *o)
{
	hr_arena_free(o->arena);
	hr_sb_free(&o->notes);
}
#define _cleanup_op_ _cleanup_(close_op)

static bool given(const struct op *o, const char *key)
{
	const json_t *j = json_object_get(o->req, key);

	return j && !json_is_null(j);
}

/* A text member; absent: *out stays. */
static int text(struct op *o, const char *key, const char **out)
{
	const json_t *j = json_object_get(o->req, key);

	if (given(o, key) && !json_is_string(j))
		return bad(o, hr_arena_printf(o->arena, "%s: a string is needed", key));
	if (given(o, key))
		*out = json_string_value(j);
	return 0;
}

/* A whole number of 0 or more; absent: *out stays. */
static int number(struct op *o, const char *key, int64_t *out)
{
	const json_t *j = json_object_get(o->req, key);

	if (given(o, key) && (!json_is_integer(j) || json_integer_value(j) < 0))
		return bad(o, hr_arena_printf(o->arena, "%s: a number, 0 or more, is needed", key));
	if (given(o, key))
		*out = json_integer_value(j);
	return 0;
}

/* An object or a list as its JSON text, which is YAML too; absent: *out stays. */
static int fragment(struct op *o, const char *key, const char **out)
{
	const json_t *j = json_object_get(o->req, key);
	char *dump;

	if (!given(o, key))
		return 0;
	if (!json_is_object(j) && !json_is_array(j))
		return bad(o, hr_arena_printf(o->arena, "%s: an object or a list is needed", key));
	dump = json_dumps(j, 0);
	*out = dump ? hr_arena_strdup(o->arena, dump) : "";
	free(dump);
	return 0;
}

static int labels(struct op *o, const char *key, hr_kvs *out)
{
	json_t *j = json_object_get(o->req, key), *value;
	const char *name;

	if (!given(o, key))
		return 0;
	out->data = hr_arena_array(o->arena, struct hr_kv, json_object_size(j) + 1);
	json_object_foreach(j, name, value)
	{
		if (!json_is_string(value))
			return bad(o, hr_arena_printf(o->arena, "%s.%s: a string is needed", key,
						      name));
		out->data[out->len++] =
			(struct hr_kv){.key = name, .value = json_string_value(value)};
	}
	return json_is_object(j) && out->len
		       ? 0
		       : bad(o, hr_arena_printf(o->arena, "%s: labels are needed", key));
}

/* ---- objects ------------------------------------------------------------------------------- */

static bool is_host(const struct hr_agent *a, struct hr_arena *arena, const char *host,
		    const char *service, const char *ns)
{
	return hr_streq(hr_host_fqdn(arena, host, ns, a->o.cluster_domain),
			hr_host_fqdn(arena, service, ns, a->o.cluster_domain));
}

static bool is_for(const struct hr_agent *a, struct hr_arena *arena, const struct hr_meta *m,
		   const char *service)
{
	const struct hr_virtual_service *vs = (const struct hr_virtual_service *)m;

	if (m->kind == HR_KIND_DESTINATION_RULE)
		return is_host(a, arena, ((const struct hr_destination_rule *)m)->host, service,
			       m->ns);
	for (size_t i = 0; i < vs->hosts.len; i++)
		if (is_host(a, arena, vs->hosts.data[i], service, m->ns))
			return true;
	return false;
}

const struct hr_meta *agent_object_for(const struct hr_agent *a, enum hr_kind kind, const char *ns,
				       const char *service)
{
	_cleanup_arena_ struct hr_arena *arena = hr_arena_new();
	const struct hr_objects *o = a->plan->objects;
	bool vs = kind == HR_KIND_VIRTUAL_SERVICE;
	size_t n = vs ? o->virtual_services.len : o->destination_rules.len;
	const struct hr_meta *by_host = NULL;

	for (size_t i = 0; i < n; i++) {
		const struct hr_meta *m = vs ? &o->virtual_services.data[i]->meta
					     : &o->destination_rules.data[i]->meta;

		if (!hr_streq(m->ns, ns))
			continue;
		if (hr_streq(m->name, service))
			return m;
		if (!by_host && is_for(a, arena, m, service))
			by_host = m;
	}
	return by_host;
}

/* The object that is to change, its text in *yaml; with `must`, its absence is refused. */
static int find(struct op *o, enum hr_kind kind, bool must, const char **yaml)
{
	const struct hr_meta *m = agent_object_for(o->a, kind, o->ns, o->service);
	struct change *c = &o->changes[o->n];

	if (!m && must) {
		agent_refuse(o->code, "not-found", o->why, "%s %s/%s not found", hr_kind_name(kind),
			     o->ns, o->service);
		return -ENOENT;
	}
	c->entry = (struct hr_store_entry){
		.kind = kind, .ns = o->ns, .name = m ? m->name : o->service};
	*yaml = c->old = m ? m->yaml : NULL;
	c->file = agent_file_of(o->a, &c->entry);
	o->n++;
	return 0;
}

/* An object of this name that is for another host would be changed for it. */
static int check_host(struct op *o, const struct change *c)
{
	_cleanup_arena_ struct hr_arena *arena = hr_arena_new();
	const struct hr_meta *m = agent_object_for(o->a, c->entry.kind, o->ns, o->service);

	if (!m || is_for(o->a, arena, m, o->service))
		return 0;
	agent_refuse(o->code, "conflict", o->why, "%s %s/%s is there and is not for host %s",
		     hr_kind_name(c->entry.kind), o->ns, c->entry.name, o->service);
	return -EEXIST;
}

static bool changes(const struct change *c)
{
	return !hr_streq(c->old, c->entry.yaml);
}

static int check_owner(struct op *o)
{
	for (size_t i = 0; i < o->n; i++) {
		const struct change *c = &o->changes[i];

		if (!c->file || !changes(c) || o->dry)
			continue;
		agent_refuse(o->code, "conflict", o->why,
			     "%s %s/%s is defined in %s, and a file wins over what is applied: "
			     "change it there (--dry-run prints how), or take it out of the file "
			     "and apply it",
			     hr_kind_name(c->entry.kind), c->entry.ns, c->entry.name, c->file);
		return -EEXIST;
	}
	return 0;
}

static json_t *describe(const struct op *o)
{
	json_t *out = json_array();

	for (size_t i = 0; i < o->n; i++) {
		const struct change *c = &o->changes[i];
		json_t *j = json_pack("{s:s,s:s,s:s,s:s,s:s}", "kind", hr_kind_name(c->entry.kind),
				      "namespace", c->entry.ns, "name", c->entry.name, "action",
				      !c->old	   ? "created"
				      : changes(c) ? "configured"
						   : "unchanged",
				      "yaml", c->entry.yaml);

		if (c->file && changes(c))
			json_object_set_new(j, "shadowedBy", json_string(c->file));
		json_array_append_new(out, j);
	}
	return out;
}

static json_t *lines(const struct hr_strbuf *text)
{
	json_t *out = json_array();

	for (const char *p = hr_sb_str(text); *p;) {
		size_t n = strcspn(p, "\n");

		json_array_append_new(out, json_stringn(p, n));
		p += n + (p[n] == '\n');
	}
	return out;
}

static json_t *result(const struct op *o)
{
	return json_pack("{s:o,s:o,s:b,s:I}", "objects", describe(o), "warnings", lines(&o->notes),
			 "dryRun", o->dry, "generation", (json_int_t)o->a->generation);
}

/* The new texts become the objects in effect. NULL: refused. */
static json_t *apply(struct op *o)
{
	_cleanup_diags_ struct hr_diags *diags = hr_diags_new();
	struct hr_store_entry list[2];
	size_t n = 0;

	if (check_owner(o) < 0)
		return NULL;
	for (size_t i = 0; i < o->n; i++)
		if (changes(&o->changes[i]) && !o->changes[i].file)
			list[n++] = o->changes[i].entry;
	if (n && agent_load(o->a, &o->a->files, list, n, o->dry, 0, diags, o->why) < 0) {
		agent_all_errors(diags, o->why);
		*o->code = "invalid";
		return NULL;
	}
	return result(o);
}

/* What the objects were before a change may be freed by it: texts that are used later are kept. */
static const char *keep(struct op *o, const struct hr_strbuf *sb)
{
	return hr_arena_strdup(o->arena, hr_sb_str(sb));
}

static void keep_old(struct op *o)
{
	for (size_t i = 0; i < o->n; i++) {
		struct change *c = &o->changes[i];

		c->entry.name = hr_arena_strdup(o->arena, c->entry.name);
		c->file = c->file ? hr_arena_strdup(o->arena, c->file) : NULL;
		c->old = c->old ? hr_arena_strdup(o->arena, c->old) : NULL;
	}
}

static json_t *invalid(struct op *o)
{
	*o->code = "invalid";
	return NULL;
}

/* ---- canary -------------------------------------------------------------------------------- */

/* The result says what the split rule is now. */
static json_t *with_sides(struct op *o, json_t *result, const char *vs)
{
	_cleanup_sb_ struct hr_strbuf why = {};
	struct hr_canary_rule split = {};
	json_t *sides = json_array();

	if (!result || hr_canary_split(vs, o->named, o->n_named, o->arena, &split, &why) < 0) {
		json_decref(sides);
		return result;
	}
	for (size_t i = 0; i < split.sides.len; i++)
		json_array_append_new(sides,
				      json_pack("{s:s,s:I}", "name", split.sides.data[i].name,
						"weight", (json_int_t)split.sides.data[i].weight));
	json_object_set_new(result, "sides", sides);
	return result;
}

static int read_spec(struct op *o, struct hr_canary_spec *s)
{
	int r;

	*s = (struct hr_canary_spec){.service = o->service,
				     .ns = o->ns,
				     .stable = "v1",
				     .canary = "v2",
				     .stable_weight = -1,
				     .canary_weight = -1};
	if ((r = text(o, "stableSubset", &s->stable)) < 0 ||
	    (r = text(o, "canarySubset", &s->canary)) < 0 ||
	    (r = number(o, "stableWeight", &s->stable_weight)) < 0 ||
	    (r = number(o, "canaryWeight", &s->canary_weight)) < 0 ||
	    (r = labels(o, "stableLabels", &s->stable_labels)) < 0 ||
	    (r = labels(o, "canaryLabels", &s->canary_labels)) < 0 ||
	    (r = fragment(o, "matches", &s->matches)) < 0 ||
	    (r = text(o, "timeout", &s->timeout)) < 0 ||
	    (r = fragment(o, "retries", &s->retries)) < 0 ||
	    (r = fragment(o, "stablePolicy", &s->stable_policy)) < 0 ||
	    (r = fragment(o, "canaryPolicy", &s->canary_policy)) < 0 ||
	    (r = fragment(o, "basePolicy", &s->base_policy)) < 0)
		return r;
	if (s->stable_weight < 0 || s->canary_weight < 0)
		return bad(o, "stableWeight and canaryWeight are needed");
	return 0;
}

/* A typing error makes objects for a host that nobody asks for: said, since the Service may come
 * later. */
static void note_unknown(struct op *o, const struct hr_canary_spec *s)
{
	const struct hr_plan *p = o->a->plan;
	const char *host = hr_host_fqdn(o->arena, o->service, o->ns, o->a->o.cluster_domain);
	bool known = false, endpoints = false;

	for (size_t i = 0; i < p->clusters.len; i++) {
		const struct hr_plan_cluster *c = &p->clusters.data[i];

		/* of a host that nobody defines, a rule makes an empty one */
		if (!hr_streq(c->host, host) || c->missing_subset)
			continue;
		known = true;
		endpoints |= hr_streq(c->subset, s->canary) && c->n_eps;
	}
	if (!known)
		hr_sb_printf(&o->notes, "no Service or ServiceEntry defines %s yet\n", host);
	else if (!endpoints && !o->dry)
		hr_sb_printf(&o->notes, "subset %s has no endpoint yet\n", s->canary);
}

json_t *agent_op_canary_create(struct hr_agent *a, const json_t *req,
			       const struct hr_control_peer *peer, const char **code,
			       struct hr_strbuf *why)
{
	_cleanup_op_ struct op o = {};
	_cleanup_sb_ struct hr_strbuf vs = {}, dr = {};
	struct hr_canary_spec spec;
	const char *old_vs, *old_dr;
	json_t *result;

	(void)peer;
	if (open_op(&o, a, req, code, why) < 0 || read_spec(&o, &spec) < 0 ||
	    find(&o, HR_KIND_VIRTUAL_SERVICE, false, &old_vs) < 0 ||
	    find(&o, HR_KIND_DESTINATION_RULE, false, &old_dr) < 0 ||
	    check_host(&o, &o.changes[0]) < 0 || check_host(&o, &o.changes[1]) < 0)
		return NULL;
	if (hr_canary_create(&spec, old_vs, old_dr, &vs, &dr, why) < 0)
		return invalid(&o);
	o.changes[0].entry.yaml = keep(&o, &vs);
	o.changes[1].entry.yaml = keep(&o, &dr);
	keep_old(&o);
	result = apply(&o);
	if (!result)
		return NULL;
	note_unknown(&o, &spec);
	json_object_set_new(result, "warnings", lines(&o.notes));
	return with_sides(&o, result, vs.data);
}

/* weights: {NAME: n}, or stable and canary. */
static int new_weights(struct op *o, const char *vs, struct hr_strbuf *out)
{
	json_t *weights = json_object_get(o->req, "weights"), *value;
	int64_t stable = -1, canary = -1;
	struct hr_canary_weight *w;
	const char *name;
	size_t n = 0;

	if (number(o, "stable", &stable) < 0 || number(o, "canary", &canary) < 0)
		return -EINVAL;
	if (!json_object_size(weights)) {
		if (stable < 0 || canary < 0)
			return bad(o, "stable and canary are needed, or weights: {NAME: number}");
		if (hr_canary_two_weights(vs, stable, canary, out, o->why) == 0)
			return 0;
		*o->code = "invalid";
		return -EINVAL;
	}
	w = hr_arena_array(o->arena, struct hr_canary_weight, json_object_size(weights));
	json_object_foreach(weights, name, value)
	{
		if (!json_is_integer(value))
			return bad(o, "weights: numbers are needed");
		w[n++] = (struct hr_canary_weight){name, json_integer_value(value)};
	}
	o->named = w;
	o->n_named = n;
	if (hr_canary_weights(vs, w, n, out, o->why) == 0)
		return 0;
	*o->code = "invalid";
	return -EINVAL;
}

/* Shifts all of the traffic; `canary`: to the second side. */
static int shift(struct op *o, const char *vs, bool canary, struct hr_strbuf *out)
{
	struct hr_canary_rule split = {};
	struct hr_canary_weight *w;

	if (hr_canary_split(vs, o->named, o->n_named, o->arena, &split, o->why) < 0) {
		*o->code = "invalid";
		return -EINVAL;
	}
	w = hr_arena_array(o->arena, struct hr_canary_weight, split.sides.len);
	for (size_t i = 0; i < split.sides.len; i++)
		w[i] = (struct hr_canary_weight){split.sides.data[i].name, i == canary ? 100 : 0};
	if (hr_canary_weights(vs, w, split.sides.len, out, o->why) == 0)
		return 0;
	*o->code = "invalid";
	return -EINVAL;
}

enum shift { BY_WEIGHT, TO_STABLE, TO_CANARY };

/* The short way where it is possible: then `writtenUs` says when. */
static json_t *apply_weights(struct op *o, const char *vs)
{
	_cleanup_sb_ struct hr_strbuf quiet = {};
	const struct change *c = &o->changes[0];
	struct hr_canary_rule rule = {};
	uint64_t written = 0;
	json_t *done;
	int r;

	if (o->dry || c->file || !changes(c) ||
	    hr_canary_split(vs, o->named, o->n_named, o->arena, &rule, &quiet) < 0)
		return apply(o);
	r = agent_reweigh(o->a, &c->entry, &rule, &written, o->why);
	if (r == -EOPNOTSUPP)
		return apply(o);
	if (r) {
		*o->code = "failed";
		return NULL;
	}
	done = result(o);
	json_object_set_new(done, "writtenUs", json_integer((json_int_t)written));
	return done;
}

static json_t *change_weights(struct hr_agent *a, const json_t *req, enum shift how,
			      const char **code, struct hr_strbuf *why)
{
	_cleanup_op_ struct op o = {};
	_cleanup_sb_ struct hr_strbuf vs = {};
	const char *old;
	int r;

	if (open_op(&o, a, req, code, why) < 0 || find(&o, HR_KIND_VIRTUAL_SERVICE, true, &old) < 0)
		return NULL;
	r = how == BY_WEIGHT ? new_weights(&o, old, &vs) : shift(&o, old, how == TO_CANARY, &vs);
	if (r < 0)
		return NULL;
	o.changes[0].entry.yaml = keep(&o, &vs);
	keep_old(&o);
	return with_sides(&o, apply_weights(&o, vs.data), vs.data);
}

json_t *agent_op_canary_weights(struct hr_agent *a, const json_t *req,
				const struct hr_control_peer *peer, const char **code,
				struct hr_strbuf *why)
{
	(void)peer;
	return change_weights(a, req, BY_WEIGHT, code, why);
}

json_t *agent_op_canary_promote(struct hr_agent *a, const json_t *req,
				const struct hr_control_peer *peer, const char **code,
				struct hr_strbuf *why)
{
	(void)peer;
	return change_weights(a, req, TO_CANARY, code, why);
}

json_t *agent_op_canary_rollback(struct hr_agent *a, const json_t *req,
				 const struct hr_control_peer *peer, const char **code,
				 struct hr_strbuf *why)
{
	(void)peer;
	return change_weights(a, req, TO_STABLE, code, why);
}

/* ---- breaker ------------------------------------------------------------------------------- */

static int read_breaker(struct op *o, struct hr_breaker_spec *s)
{
	int r;

	*s = (struct hr_breaker_spec){-1, NULL, NULL, -1, -1};
	if ((r = number(o, "consecutiveErrors", &s->consecutive_errors)) < 0 ||
	    (r = text(o, "interval", &s->interval)) < 0 ||
	    (r = text(o, "baseEjectionTime", &s->base_ejection)) < 0 ||
	    (r = number(o, "maxEjectionPercent", &s->max_ejection)) < 0 ||
	    (r = number(o, "minHealthPercent", &s->min_health)) < 0)
		return r;
	return 0;
}

json_t *agent_op_breaker_enable(struct hr_agent *a, const json_t *req,
				const struct hr_control_peer *peer, const char **code,
				struct hr_strbuf *why)
{
	_cleanup_op_ struct op o = {};
	_cleanup_sb_ struct hr_strbuf dr = {};
	struct hr_breaker_spec spec;
	const char *old;

	(void)peer;
	if (open_op(&o, a, req, code, why) < 0 || read_breaker(&o, &spec) < 0 ||
	    find(&o, HR_KIND_DESTINATION_RULE, true, &old) < 0)
		return NULL;
	if (hr_breaker_enable(&spec, old, &dr, &o.notes, why) < 0)
		return invalid(&o);
	o.changes[0].entry.yaml = keep(&o, &dr);
	keep_old(&o);
	return apply(&o);
}

json_t *agent_op_breaker_disable(struct hr_agent *a, const json_t *req,
				 const struct hr_control_peer *peer, const char **code,
				 struct hr_strbuf *why)
{
	_cleanup_op_ struct op o = {};
	_cleanup_sb_ struct hr_strbuf dr = {};
	const char *old;

	(void)peer;
	if (open_op(&o, a, req, code, why) < 0 ||
	    find(&o, HR_KIND_DESTINATION_RULE, true, &old) < 0)
		return NULL;
	if (hr_breaker_disable(old, &dr, &o.notes, why) < 0)
		return invalid(&o);
	o.changes[0].entry.yaml = keep(&o, &dr);
	keep_old(&o);
	return apply(&o);
}
