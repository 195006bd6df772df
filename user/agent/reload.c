// SPDX-License-Identifier: Apache-2.0
/*
 * From texts to the plan in effect, all or nothing:
 *
 *	texts + store -> objects -> plan -> ids -> store on disk -> kernel -> proxy
 *
 * Whatever fails, what was in effect before stays in effect, whole.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/state.h"
#include "core/cleanup.h"
#include "core/log.h"

#define LINES_MAX 20 /* findings or differences that one reload puts into the log */

void agent_first_error(const struct hr_diags *diags, struct hr_strbuf *out)
{
	size_t i = 0;

	while (i < diags->list.len && diags->list.data[i].severity != HR_SEV_ERROR)
		i++;
	if (i == diags->list.len)
		return;
	hr_diag_text(&diags->list.data[i], out);
	while (out->len && out->data[out->len - 1] == '\n')
		out->data[--out->len] = 0;
	if (diags->errors > 1)
		hr_sb_printf(out, " (and %zu more)", diags->errors - 1);
}

static void log_findings(const struct hr_diags *diags)
{
	for (size_t i = 0; i < diags->list.len && i < LINES_MAX; i++) {
		const struct hr_diag *f = &diags->list.data[i];
		_cleanup_sb_ struct hr_strbuf line = {};

		hr_diag_text(f, &line);
		hr_log_kv(f->severity == HR_SEV_ERROR	 ? HR_LOG_ERROR
			  : f->severity == HR_SEV_NOTICE ? HR_LOG_INFO
							 : HR_LOG_WARN,
			  "configuration", "finding", hr_sb_str(&line), NULL);
	}
	if (diags->list.len > LINES_MAX)
		hr_warn("configuration: %zu more findings; `headrace check` shows all",
			diags->list.len - LINES_MAX);
}

void agent_log_changes(struct hr_strbuf *diff)
{
	char *line, *save = NULL;
	int n = 0;

	if (!diff->len)
		return;
	for (line = strtok_r(diff->data, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (n++ < LINES_MAX)
			hr_log_kv(HR_LOG_INFO, "plan", "change", line, NULL);
	if (n > LINES_MAX)
		hr_info("plan: %d more changes", n - LINES_MAX);
}

static void log_difference(const struct hr_plan *from, const struct hr_plan *to)
{
	_cleanup_sb_ struct hr_strbuf diff = {};

	if (from)
		hr_plan_diff(from, to, &diff);
	agent_log_changes(&diff);
}

static void log_shadows(const hr_shadows *shadows)
{
	for (size_t i = 0; i < shadows->len && i < LINES_MAX; i++) {
		const struct hr_store_entry *e = &shadows->data[i].entry;

		hr_log_kv(HR_LOG_WARN, "an applied object is shadowed by a file", "kind",
			  hr_kind_name(e->kind), "namespace", e->ns, "name", e->name, "file",
			  shadows->data[i].file, NULL);
	}
}

/* Objects and plan, without effect. */
static int build(struct hr_agent *a, const struct hr_texts *files, hr_store_entries applied,
		 unsigned flags, struct hr_diags *diags, struct hr_plan **out)
{
	const struct hr_plan_opts opts = {
		.cluster_domain = a->o.cluster_domain,
		.registry_only = a->o.registry_only,
		.locality = a->o.locality,
		.node = a->o.node,
		.auto_vip = hr_ids_auto_vip,
		.auto_vip_ctx = a->ids,
	};
	hr_shadows shadows = {};
	struct hr_objects *set = hr_merge(files, applied, flags, diags, &shadows);
	int r;

	if (!set)
		return -EINVAL;
	r = hr_plan_build(out, set, &opts, diags);
	if (r == 0 && a->kern)
		log_shadows(&shadows);
	return r;
}

/* What objects say about each other is an error for `check`, not for a running mesh: the other
 * half may come with the next file. */
static void log_loose_ends(const struct hr_agent *a, const struct hr_plan *plan)
{
	_cleanup_diags_ struct hr_diags *refs = hr_diags_new();

	hr_validate_refs(plan->objects, a->o.cluster_domain, refs);
	log_findings(refs);
}

void agent_release_plan(const struct hr_plan *plan)
{
	hr_plan_free((struct hr_plan *)plan);
}

/* To the kernel, then to the proxy: a request that the kernel hands over meets ids that exist. */
static int activate(struct hr_agent *a, struct hr_plan *plan, struct hr_strbuf *why)
{
	const char *what = "";
	json_t *changes;
	int r;

	plan->generation = a->generation + 1;
	agent_ledger_sweep(a);
	r = hr_kern_apply(a->kern, plan, &what);
	if (r < 0) {
		hr_sb_printf(why, "the kernel's tables do not take the plan: %s: %s", what,
			     strerror(-r));
		return r;
	}
	log_loose_ends(a, plan);
	log_difference(a->plan, plan);
	changes = agent_watch_changes(a, a->plan ? a->plan->objects : NULL, plan->objects);
	hr_proxy_publish(a->proxy, plan, agent_release_plan);
	hr_dns_publish(a->dns, plan);
	a->plan = plan;
	a->generation = plan->generation;
	agent_seen(a);
	agent_pods_say(a);
	agent_ledger_sweep(a);
	agent_outliers_plan(a);
	hr_proxy_tick(a->proxy);
	agent_watch_tell(a, changes);
	return 0;
}

/* What undoes `changes`; lives in the arena. */
static struct hr_store_entry *inverse(const struct hr_store *s, struct hr_arena *arena,
				      const struct hr_store_entry *changes, size_t n)
{
	struct hr_store_entry *back = hr_arena_array(arena, struct hr_store_entry, n + 1);

	for (size_t i = 0; i < n; i++) {
		const struct hr_store_entry *c = &changes[i];
		const struct hr_store_entry *old = hr_store_find(s, c->kind, c->ns, c->name);

		back[i] = *c;
		back[i].yaml = old ? hr_arena_strdup(arena, old->yaml) : NULL;
	}
	return back;
}

static int commit(struct hr_agent *a, struct hr_plan *plan, const struct hr_store_entry *changes,
		  size_t n, struct hr_strbuf *why)
{
	_cleanup_arena_ struct hr_arena *arena = hr_arena_new();
	struct hr_store_entry *back = inverse(a->store, arena, changes, n);
	_cleanup_sb_ struct hr_strbuf second = {};
	const char *what = "";
	int r = hr_ids_assign(a->ids, plan, &what);

	if (r < 0) {
		hr_sb_printf(why, "too many %s", what);
		return r;
	}
	r = hr_store_commit(a->store, changes, n, why);
	if (r == 0)
		r = activate(a, plan, why);
	if (r < 0 && n && hr_store_commit(a->store, back, n, &second) < 0)
		hr_err("%s: the store holds objects that are not in effect", hr_sb_str(&second));
	return r;
}

/* Endpoints are in effect first: a disk takes its time. */
static int change(struct hr_agent *a, const struct hr_store_entry *changes, size_t n,
		  struct hr_strbuf *why)
{
	_cleanup_arena_ struct hr_arena *arena = hr_arena_new();
	struct hr_store_entry *back = inverse(a->store, arena, changes, n);
	_cleanup_sb_ struct hr_strbuf second = {};
	int r = agent_change(a, changes, n);

	if (r)
		return r;
	r = hr_store_commit(a->store, changes, n, why);
	if (!r)
		return 0;
	/* some may have been written */
	if (hr_store_commit(a->store, back, n, &second) < 0)
		hr_err("%s: the store holds objects that are not in effect", hr_sb_str(&second));
	agent_rebuild(a);
	return r;
}

int agent_load(struct hr_agent *a, const struct hr_texts *files,
	       const struct hr_store_entry *changes, size_t n, bool dry, unsigned flags,
	       struct hr_diags *diags, struct hr_strbuf *why)
{
	_cleanup_arena_ struct hr_arena *arena = hr_arena_new();
	int r = dry || files != &a->files ? -EOPNOTSUPP : change(a, changes, n, why);
	struct hr_plan *plan = NULL;
	hr_store_entries applied;

	if (r != -EOPNOTSUPP)
		return r;
	applied = hr_store_preview(a->store, arena, changes, n);
	if (a->o.lenient)
		flags |= HR_DECODE_LENIENT;
	r = build(a, files, applied, flags, diags, &plan);

	if (r == 0 && !dry)
		r = commit(a, plan, changes, n, why);
	if (plan && (r < 0 || dry))
		hr_plan_free(plan);
	return r;
}

void agent_rebuild(struct hr_agent *a)
{
	_cleanup_diags_ struct hr_diags *diags = hr_diags_new();
	_cleanup_sb_ struct hr_strbuf why = {};

	if (agent_load(a, &a->files, NULL, 0, false, 0, diags, &why) < 0)
		hr_warn("the plan in effect cannot be made anew: %s", hr_sb_str(&why));
}

/* ---- the files ----------------------------------------------------------------------------- */

/* `was` (may be NULL): what was read before, of files that are still the same. */
static void read_files(struct hr_agent *a, struct hr_texts *t, const struct hr_texts *was,
		       struct hr_diags *diags)
{
	if (a->stdin_text.list.len)
		hr_texts_add(t, a->stdin_text.list.data[0].file, a->stdin_text.list.data[0].bytes,
			     a->stdin_text.list.data[0].n);
	hr_texts_reread(t, a->watched, a->n_watched, was, diags);
}

static void keep_files(struct hr_agent *a, struct hr_texts *t)
{
	hr_texts_free(&a->files);
	a->files = *t;
	*t = (struct hr_texts){};
}

static void set_error(struct hr_agent *a, const char *text)
{
	free(a->last_error);
	a->last_error = text && *text ? strdup(text) : NULL;
}

int agent_first_read(struct hr_agent *a, struct hr_strbuf *err)
{
	static const char *const stdin_path[] = {"-"};
	_cleanup_diags_ struct hr_diags *diags = hr_diags_new();
	int r = 0;

	if (a->reads_stdin)
		hr_texts_read(&a->stdin_text, stdin_path, 1, diags);
	read_files(a, &a->files, NULL, diags);
	a->digest = a->files.digest;
	if (!diags->errors)
		r = agent_load(a, &a->files, NULL, 0, true, 0, diags, err);
	if (!diags->errors && r == 0) {
		log_findings(diags);
		return 0;
	}
	for (size_t i = 0; i < diags->list.len; i++) {
		if (err->len && err->data[err->len - 1] != '\n')
			hr_sb_addc(err, '\n');
		hr_diag_text(&diags->list.data[i], err);
	}
	return r < 0 ? r : -EINVAL;
}

int agent_first_load(struct hr_agent *a, struct hr_strbuf *err)
{
	_cleanup_diags_ struct hr_diags *diags = hr_diags_new();

	return agent_load(a, &a->files, NULL, 0, false, 0, diags, err);
}

static void refused(struct hr_agent *a, const struct hr_diags *diags, const struct hr_strbuf *why)
{
	_cleanup_sb_ struct hr_strbuf text = {};

	agent_first_error(diags, &text);
	if (!text.len)
		hr_sb_add(&text, why->len ? why->data : "refused");
	set_error(a, text.data);
	a->config_errors++;
	hr_log_kv(HR_LOG_ERROR, "configuration refused, the last good one stays in effect", "error",
		  text.data, NULL);
}

void agent_reload(struct hr_agent *a, bool force)
{
	_cleanup_diags_ struct hr_diags *diags = hr_diags_new();
	_cleanup_sb_ struct hr_strbuf why = {};
	_cleanup_texts_ struct hr_texts t = {};
	int r = 0;

	read_files(a, &t, force ? NULL : &a->files, diags);
	/* events come for bytes that were read already: one finding is enough */
	if (!force && !diags->errors && t.digest == a->digest)
		return;
	a->digest = diags->errors ? 0 : t.digest;
	if (!diags->errors)
		r = force ? -EOPNOTSUPP : agent_change_files(a, &t);
	if (!diags->errors && r == -EOPNOTSUPP)
		r = agent_load(a, &t, NULL, 0, false, HR_DECODE_RELOAD, diags, &why);
	if (diags->errors || r < 0) {
		refused(a, diags, &why);
		return;
	}
	log_findings(diags);
	keep_files(a, &t);
	set_error(a, NULL);
	hr_info("configuration generation %llu: %zu objects", (unsigned long long)a->generation,
		a->plan->objects->total);
}
