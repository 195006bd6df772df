// SPDX-License-Identifier: Apache-2.0
// Control operations on objects: apply, get, delete.
#include <errno.h>
#include <string.h>

#include "agent/state.h"
#include "core/cleanup.h"
#include "core/vec.h"

/* [{"name":"a.yaml","text":"..."}] -> texts. */
static int read_files(const json_t *req, struct hr_texts *t)
{
	json_t *files = json_object_get(req, "files"), *file;
	size_t i;

	if (!json_is_array(files))
		return -EINVAL;
	json_array_foreach(files, i, file)
	{
		const char *name = json_string_value(json_object_get(file, "name"));
		json_t *text = json_object_get(file, "text");

		if (!json_is_string(text))
			return -EINVAL;
		hr_texts_add(t, name ? name : "<control>", json_string_value(text),
			     json_string_length(text));
	}
	return 0;
}

void agent_all_errors(const struct hr_diags *diags, struct hr_strbuf *why)
{
	for (size_t i = 0; i < diags->list.len; i++) {
		if (diags->list.data[i].severity != HR_SEV_ERROR)
			continue;
		if (why->len && why->data[why->len - 1] != '\n')
			hr_sb_addc(why, '\n');
		hr_diag_text(&diags->list.data[i], why);
	}
	while (why->len && why->data[why->len - 1] == '\n')
		why->data[--why->len] = 0;
}

static json_t *warnings(const struct hr_diags *diags)
{
	json_t *out = json_array();

	for (size_t i = 0; i < diags->list.len; i++) {
		_cleanup_sb_ struct hr_strbuf line = {};

		if (diags->list.data[i].severity == HR_SEV_ERROR)
			continue;
		hr_diag_text(&diags->list.data[i], &line);
		json_array_append_new(out, json_string(hr_sb_str(&line)));
	}
	return out;
}

/* The objects of a request as changes of the store. */
struct wanted {
	const struct hr_objects *set;
	bool lenient;
	HR_VEC(struct hr_store_entry) list;
};

static int want(void *ctx, const struct hr_meta *m)
{
	struct wanted *w = ctx;
	const char *yaml = hr_object_yaml(w->set, m->kind, m->ns, m->name);

	/* one Endpoints object is several slices of the same name */
	if (w->list.len) {
		const struct hr_store_entry *last = &w->list.data[w->list.len - 1];

		if (last->kind == m->kind && hr_streq(last->ns, m->ns) &&
		    hr_streq(last->name, m->name))
			return 0;
	}
	hr_vec_push(&w->list, (struct hr_store_entry){.kind = m->kind,
						      .ns = m->ns,
						      .name = m->name,
						      .yaml = yaml,
						      .strict = !w->lenient});
	return 0;
}

static json_t *entry_json(const struct hr_store_entry *e, const char *action)
{
	return json_pack("{s:s,s:s,s:s,s:s}", "kind", hr_kind_name(e->kind), "namespace", e->ns,
			 "name", e->name, "action", action);
}

const char *agent_file_of(const struct hr_agent *a, const struct hr_store_entry *e)
{
	const struct hr_meta *m =
		hr_objects_find(a->plan->objects, (struct hr_object_key){e->kind, e->ns, e->name});

	return m && !hr_starts(m->pos.file, "<applied>") ? m->pos.file : NULL;
}

static const char *action_of(const struct hr_agent *a, const struct hr_store_entry *e)
{
	const struct hr_store_entry *old = hr_store_find(a->store, e->kind, e->ns, e->name);

	if (!old)
		return "created";
	return hr_streq(old->yaml, e->yaml) ? "unchanged" : "configured";
}

static json_t *describe(const struct hr_agent *a, const struct wanted *w)
{
	json_t *out = json_array();
	const struct hr_store_entry *e;

	hr_vec_for_each (e, &w->list) {
		json_t *j = entry_json(e, action_of(a, e));
		const char *file = agent_file_of(a, e);

		if (file)
			json_object_set_new(j, "shadowedBy", json_string(file));
		json_array_append_new(out, j);
	}
	return out;
}

json_t *agent_op_apply(struct hr_agent *a, const json_t *req, const struct hr_control_peer *peer,
		       const char **code, struct hr_strbuf *why)
{
	_cleanup_diags_ struct hr_diags *diags = hr_diags_new(), *whole = hr_diags_new();
	_cleanup_texts_ struct hr_texts t = {};
	bool dry = json_is_true(json_object_get(req, "dryRun"));
	struct wanted w = {.lenient =
				   a->o.lenient || json_is_true(json_object_get(req, "lenient"))};
	struct hr_objects *set;
	json_t *objects;
	int r;

	(void)peer;
	if (read_files(req, &t) < 0)
		return agent_refuse(code, "bad-request", why, "files: [{name, text}] is needed");
	set = hr_merge(&t, (hr_store_entries){}, w.lenient ? HR_DECODE_LENIENT : 0, diags, NULL);
	if (!set) {
		agent_all_errors(diags, why);
		*code = "invalid";
		return NULL;
	}
	w.set = set;
	hr_objects_each(set, want, &w);
	objects = describe(a, &w);
	r = agent_load(a, &a->files, w.list.data, w.list.len, dry, 0, whole, why);
	hr_vec_free(&w.list);
	hr_objects_free(set);
	if (r < 0) {
		json_decref(objects);
		agent_all_errors(whole, why);
		*code = "invalid";
		return NULL;
	}
	return json_pack("{s:o,s:o,s:b}", "objects", objects, "warnings", warnings(diags), "dryRun",
			 dry);
}

/* ---- get ----------------------------------------------------------------------------------- */

struct listing {
	const struct hr_objects *set;
	enum hr_kind kind;
	const char *ns, *name; /* NULL: any */
	json_t *out;
	const struct hr_meta *last;
};

static int list_one(void *ctx, const struct hr_meta *m)
{
	struct listing *l = ctx;
	bool everywhere = !*m->ns; /* cluster-scoped */

	if (m->kind != l->kind || (l->name && !hr_streq(m->name, l->name)) ||
	    (l->ns && !everywhere && !hr_streq(m->ns, l->ns)))
		return 0;
	if (l->last && hr_streq(l->last->ns, m->ns) && hr_streq(l->last->name, m->name))
		return 0;
	l->last = m;
	json_array_append_new(l->out,
			      json_pack("{s:s,s:s,s:s,s:s,s:s*}", "kind", hr_kind_name(m->kind),
					"namespace", m->ns, "name", m->name, "source", m->pos.file,
					"yaml", hr_object_yaml(l->set, m->kind, m->ns, m->name)));
	return 0;
}

json_t *agent_op_get(struct hr_agent *a, const json_t *req, const struct hr_control_peer *peer,
		     const char **code, struct hr_strbuf *why)
{
	const char *kind = json_string_value(json_object_get(req, "kind"));
	const char *ns = json_string_value(json_object_get(req, "namespace"));
	struct listing l = {
		.set = a->plan->objects,
		.kind = kind ? hr_kind_of(kind) : HR_KIND_INVALID,
		.ns = json_is_true(json_object_get(req, "allNamespaces")) ? NULL
		      : ns						  ? ns
									  : "default",
		.name = json_string_value(json_object_get(req, "name")),
	};

	(void)peer;
	if (l.kind == HR_KIND_INVALID)
		return agent_refuse(code, "bad-request", why, "unknown kind \"%.64s\"",
				    kind ? kind : "");
	l.out = json_array();
	hr_objects_each(l.set, list_one, &l);
	if (l.name && !json_array_size(l.out)) {
		json_decref(l.out);
		return agent_refuse(code, "not-found", why, "%s %s/%s not found",
				    hr_kind_name(l.kind), l.ns ? l.ns : "*", l.name);
	}
	return json_pack("{s:o}", "objects", l.out);
}

json_t *agent_op_list(struct hr_agent *a, const json_t *req, const struct hr_control_peer *peer,
		      const char **code, struct hr_strbuf *why)
{
	if (json_object_get(req, "name"))
		return agent_refuse(code, "bad-request", why, "list takes no name; get does");
	return agent_op_get(a, req, peer, code, why);
}

/* ---- delete -------------------------------------------------------------------------------- */

static json_t *delete_entries(struct hr_agent *a, struct hr_store_entry *list, size_t n,
			      const char **code, struct hr_strbuf *why)
{
	_cleanup_diags_ struct hr_diags *diags = hr_diags_new();
	json_t *out = json_array();
	bool missing = false;

	for (size_t i = 0; i < n; i++) {
		const char *file;

		list[i].yaml = NULL;
		json_array_append_new(out, entry_json(&list[i], "deleted"));
		if (hr_store_find(a->store, list[i].kind, list[i].ns, list[i].name))
			continue;
		file = agent_file_of(a, &list[i]);
		hr_sb_printf(why, "%s%s %s/%s %s%s", missing ? "\n" : "",
			     hr_kind_name(list[i].kind), list[i].ns, list[i].name,
			     file ? "was not applied, it is in " : "not found", file ? file : "");
		missing = true;
	}
	if (!missing && agent_load(a, &a->files, list, n, false, 0, diags, why) == 0)
		return json_pack("{s:o}", "objects", out);
	agent_all_errors(diags, why);
	json_decref(out);
	*code = missing ? "not-found" : "failed";
	return NULL;
}

static json_t *delete_texts(struct hr_agent *a, const struct hr_texts *t, const char **code,
			    struct hr_strbuf *why)
{
	_cleanup_diags_ struct hr_diags *diags = hr_diags_new();
	struct hr_objects *set = hr_merge(t, (hr_store_entries){}, 0, diags, NULL);
	struct wanted w = {.set = set};
	json_t *out;

	if (!set) {
		agent_all_errors(diags, why);
		*code = "invalid";
		return NULL;
	}
	hr_objects_each(set, want, &w);
	out = delete_entries(a, w.list.data, w.list.len, code, why);
	hr_vec_free(&w.list);
	hr_objects_free(set);
	return out;
}

json_t *agent_op_delete(struct hr_agent *a, const json_t *req, const struct hr_control_peer *peer,
			const char **code, struct hr_strbuf *why)
{
	const char *kind = json_string_value(json_object_get(req, "kind"));
	const char *ns = json_string_value(json_object_get(req, "namespace"));
	const char *name = json_string_value(json_object_get(req, "name"));
	_cleanup_texts_ struct hr_texts t = {};
	struct hr_store_entry e = {.kind = kind ? hr_kind_of(kind) : HR_KIND_INVALID,
				   .ns = ns ? ns : "default",
				   .name = name};

	(void)peer;
	if (json_object_get(req, "files"))
		return read_files(req, &t) < 0
			       ? agent_refuse(code, "bad-request", why, "files: [{name, text}]")
			       : delete_texts(a, &t, code, why);
	if (e.kind == HR_KIND_INVALID || !name)
		return agent_refuse(code, "bad-request", why, "unknown kind \"%.64s\", or no name",
				    kind ? kind : "");
	if (e.kind == HR_KIND_NAMESPACE || e.kind == HR_KIND_NODE)
		e.ns = "";
	return delete_entries(a, &e, 1, code, why);
}
