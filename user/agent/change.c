// SPDX-License-Identifier: Apache-2.0
/*
 * A change of endpoints and of nothing else: the plan in use, changed where they are, instead of a
 * new one. Rollouts are made of such changes, and a plan of 10,000 endpoints takes a fifth of a
 * second; this takes a millisecond.
 *
 *	objects that went and came -> plan made of the one in effect -> ids -> kernel -> proxy ->
 *disk
 *
 * In effect before it is on disk, answered after it. Whatever is out of the ordinary takes the long
 * way (reload.c), which also gives back what changes leave behind in the plan's memory.
 */
#include <errno.h>
#include <string.h>

#include "agent/state.h"
#include "core/cleanup.h"
#include "core/log.h"
#include "core/vec.h"

/* Objects of one change; more are no quicker than a new plan. */
#define CHANGE_MAX 64
/* Text of one change, bytes. */
#define TEXT_MAX (256u << 10)
/* A plan in use only grows by this; a new one in its place gives the memory back. */
#define GROWTH_MAX (4u << 20)
/* The same in a quiet moment, so that the next change does not wait for it. */
#define GROWTH_QUIET (1u << 20)
#define QUIET_S 10

struct edit {
	HR_VEC(struct hr_object_key) gone;
	struct hr_objects *put; /* in the arena of the plan */
};

static void edit_done(struct edit *e)
{
	hr_vec_free(&e->gone);
}
#define _cleanup_edit_ _cleanup_(edit_done)

static bool may_change(const struct hr_agent *a)
{
	return a->plan && hr_plan_grown(a->plan) < GROWTH_MAX;
}

/* ---- into effect ---- */

static void log_changes(const struct hr_agent *a, const struct hr_plan *plan,
			const struct hr_plan_changes *what)
{
	_cleanup_sb_ struct hr_strbuf diff = {};

	hr_plan_diff_changes(a->plan, plan, what, &diff);
	agent_log_changes(&diff);
}

struct telling {
	json_t *out;
	const struct hr_objects *was;
	const struct hr_meta *last;
};

/* An Endpoints object is several slices of one name. */
static int tell_one(void *ctx, const struct hr_meta *m)
{
	const struct hr_object_key key = {m->kind, m->ns, m->name};
	struct telling *t = ctx;

	if (!t->last || t->last->kind != m->kind || !hr_streq(t->last->ns, m->ns) ||
	    !hr_streq(t->last->name, m->name))
		agent_watch_add(t->out, hr_objects_find(t->was, key), m);
	t->last = m;
	return 0;
}

static json_t *told(const struct hr_agent *a, const struct edit *e, const struct hr_plan *plan)
{
	struct telling t = {.was = a->plan->objects};

	if (hr_list_empty(&a->watchers))
		return NULL;
	t.out = json_array();
	for (size_t i = 0; i < e->gone.len; i++)
		if (!hr_objects_find(plan->objects, e->gone.data[i]))
			agent_watch_add(t.out, hr_objects_find(t.was, e->gone.data[i]), NULL);
	hr_objects_each(e->put, tell_one, &t);
	return t.out;
}

static void publish(struct hr_agent *a, struct hr_plan *plan, const struct hr_plan_changes *what,
		    json_t *changes)
{
	hr_proxy_publish_change(a->proxy, plan, what, agent_release_plan);
	if (what->names)
		hr_dns_publish(a->dns, plan);
	a->plan = plan;
	/* what a plan leaves behind is little: nothing to give back to the system */
	a->trimmed = a->trimmed == a->generation ? plan->generation : a->trimmed;
	a->generation = plan->generation;
	a->changed_at = hr_loop_now(a->loop);
	agent_ledger_sweep(a);
	agent_seen(a);
	agent_pods_say(a);
	agent_outliers_change(a, what);
	hr_proxy_tick(a->proxy);
	agent_watch_tell(a, changes);
}

/* 0, or nothing has changed. */
static int take_effect(struct hr_agent *a, const struct edit *e)
{
	_cleanup_diags_ struct hr_diags *diags = hr_diags_new();
	struct hr_plan_changes what;
	struct hr_plan *plan;
	const char *failed = "";
	int r = hr_plan_change(&plan, a->plan, e->gone.data, e->gone.len, e->put, diags, &what);

	if (r)
		return r;
	plan->generation = a->generation + 1;
	r = hr_ids_assign_new(a->ids, plan, &what);
	agent_ledger_sweep(a);
	if (!r)
		r = hr_kern_change(a->kern, plan, a->plan, &what, &failed);
	if (r) { /* the long way says why, or finds room */
		hr_plan_free(plan);
		return -EOPNOTSUPP;
	}
	log_changes(a, plan, &what);
	publish(a, plan, &what, told(a, e, plan));
	return 0;
}

/* ---- objects that are applied ---- */

static bool is_plain(const struct hr_agent *a, const struct hr_store_entry *c)
{
	return hr_kind_is_endpoints(c->kind) && !agent_file_of(a, c);
}

/* As hr_merge() reads them. */
static int read_entries(struct hr_agent *a, const struct hr_store_entry *c, size_t n,
			struct edit *e)
{
	_cleanup_diags_ struct hr_diags *quiet = hr_diags_new();
	struct hr_decoder *d = hr_decoder_into(hr_plan_arena(a->plan), 0, quiet);

	for (size_t i = 0; i < n; i++) {
		const struct hr_object_key key = {c[i].kind, c[i].ns, c[i].name};

		if (hr_objects_find(a->plan->objects, key))
			hr_vec_push(&e->gone, key);
		if (c[i].yaml)
			hr_decode_applied(d, &c[i], a->o.lenient ? HR_DECODE_LENIENT : 0);
	}
	e->put = hr_decoder_finish(d);
	return quiet->errors ? -EOPNOTSUPP : 0;
}

int agent_change(struct hr_agent *a, const struct hr_store_entry *changes, size_t n)
{
	_cleanup_edit_ struct edit e = {};
	size_t bytes = 0;
	int r;

	if (!n || n > CHANGE_MAX || !may_change(a))
		return -EOPNOTSUPP;
	for (size_t i = 0; i < n; i++) {
		if (!is_plain(a, &changes[i]))
			return -EOPNOTSUPP;
		bytes += changes[i].yaml ? strlen(changes[i].yaml) : 0;
	}
	if (bytes > TEXT_MAX)
		return -EOPNOTSUPP;
	r = read_entries(a, changes, n, &e);
	return r ? r : take_effect(a, &e);
}

/* ---- files ---- */

/* Texts of two readings, matched by name. Directories are read in the order of their names, so the
 * next one is mostly the next one. */
static const struct hr_text *text_of(const struct hr_texts *t, size_t *at, const char *file)
{
	for (size_t i = 0; i < t->list.len; i++) {
		const struct hr_text *x = &t->list.data[(*at + i) % t->list.len];

		if (!hr_streq(x->file, file))
			continue;
		*at = (*at + i + 1) % t->list.len;
		return x;
	}
	return NULL;
}

static bool same_text(const struct hr_text *a, const struct hr_text *b)
{
	return a && b && a->n == b->n && a->hash == b->hash && !memcmp(a->bytes, b->bytes, a->n);
}

/* What is in `a` and not, or not so, in `b`. */
static void different(const struct hr_texts *a, const struct hr_texts *b, struct hr_map *out)
{
	size_t at = 0;

	for (size_t i = 0; i < a->list.len; i++) {
		const struct hr_text *t = &a->list.data[i];

		if (!same_text(t, text_of(b, &at, t->file)))
			hr_map_puts(out, t->file, (void *)t);
	}
}

struct leaving {
	const struct hr_agent *a;
	const struct hr_map *files;
	struct edit *e;
	const char *other; /* a file that has not changed: most objects are of few */
};

/* Objects of files that changed. One that is applied too comes out of the shadow, or goes there. */
static int leave(void *ctx, const struct hr_meta *m)
{
	struct leaving *l = ctx;

	if (m->pos.file == l->other)
		return 0;
	if (!hr_map_gets(l->files, m->pos.file)) {
		l->other = m->pos.file;
		return 0;
	}
	if (!hr_kind_is_endpoints(m->kind) || l->e->gone.len == CHANGE_MAX ||
	    hr_store_find(l->a->store, m->kind, m->ns, m->name))
		return -EOPNOTSUPP;
	hr_vec_push(&l->e->gone, ((struct hr_object_key){m->kind, m->ns, m->name}));
	return 0;
}

static bool is_leaving(const struct edit *e, const struct hr_meta *m)
{
	for (size_t i = 0; i < e->gone.len; i++)
		if (e->gone.data[i].kind == m->kind && hr_streq(e->gone.data[i].ns, m->ns) &&
		    hr_streq(e->gone.data[i].name, m->name))
			return true;
	return false;
}

/* No other file and no applied object has the name. */
static int is_free(void *ctx, const struct hr_meta *m)
{
	const struct leaving *l = ctx;
	const struct hr_object_key key = {m->kind, m->ns, m->name};

	if (hr_store_find(l->a->store, m->kind, m->ns, m->name) ||
	    (hr_objects_find(l->a->plan->objects, key) && !is_leaving(l->e, m)))
		return -EOPNOTSUPP;
	return 0;
}

static int read_texts(struct hr_agent *a, const struct hr_texts *t, const struct hr_map *files,
		      struct edit *e)
{
	_cleanup_diags_ struct hr_diags *quiet = hr_diags_new();
	struct hr_decoder *d =
		hr_decoder_into(hr_plan_arena(a->plan),
				HR_DECODE_RELOAD | (a->o.lenient ? HR_DECODE_LENIENT : 0), quiet);

	for (size_t i = 0; i < t->list.len; i++)
		if (hr_map_gets(files, t->list.data[i].file))
			hr_decode_text(d, t->list.data[i].file, t->list.data[i].bytes,
				       t->list.data[i].n);
	e->put = hr_decoder_finish(d);
	/* whatever there is to say, the long way says it */
	return quiet->list.len ? -EOPNOTSUPP : 0;
}

static size_t bytes_of(const struct hr_texts *t, const struct hr_map *files)
{
	size_t n = 0;

	for (size_t i = 0; i < t->list.len; i++)
		if (hr_map_gets(files, t->list.data[i].file))
			n += t->list.data[i].n;
	return n;
}

int agent_change_files(struct hr_agent *a, const struct hr_texts *t)
{
	_cleanup_map_ struct hr_map *files = hr_map_new();
	_cleanup_edit_ struct edit e = {};
	struct leaving l = {.a = a, .files = files, .e = &e};
	int r;

	if (!may_change(a))
		return -EOPNOTSUPP;
	different(&a->files, t, files);
	different(t, &a->files, files);
	if (bytes_of(t, files) > TEXT_MAX)
		return -EOPNOTSUPP;
	r = hr_objects_each(a->plan->objects, leave, &l);
	if (!r)
		r = read_texts(a, t, files, &e);
	if (!r)
		r = hr_objects_each(e.put, is_free, &l);
	return r ? r : take_effect(a, &e);
}

/* ---- memory ---- */

void agent_change_tick(struct hr_agent *a)
{
	if (!a->plan || a->draining || hr_plan_grown(a->plan) < GROWTH_QUIET ||
	    hr_loop_now(a->loop) - a->changed_at < QUIET_S * 1000)
		return;
	a->changed_at = hr_loop_now(a->loop); /* where it fails: not again at once */
	agent_rebuild(a);
}
