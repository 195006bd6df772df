// SPDX-License-Identifier: Apache-2.0
/*
 * Control operation: watch. A client is told of every change of the objects in effect, and of the
 * counters at an interval, as lines that answer nothing:
 *
 *	{"v":1,"event":"change","id":1,"generation":8,"objects":[...],"missed":0}
 *	{"v":1,"event":"statistics","id":1,...}
 *
 * A client that does not read misses events, and the next one says how many: memory is bounded by
 * one event a client.
 */
#include <stdlib.h>
#include <string.h>

#include "agent/state.h"
#include "core/cleanup.h"

#define WATCHES_MAX 8 /* of one client */
#define INTERVAL_MIN_MS 100
#define INTERVAL_MAX_MS 3600000

struct watcher {
	struct hr_list node;
	struct hr_agent *a;
	struct hr_control_client *client;
	json_t *id; /* NULL: the request had none */
	bool changes;
	enum hr_kind kind; /* INVALID: any */
	char *ns;	   /* NULL: any */
	uint64_t every_ms; /* statistics; 0: none */
	struct hr_timer timer;
	uint64_t missed;
};

static void watcher_free(struct watcher *w)
{
	hr_list_del(&w->node);
	hr_timer_stop(&w->timer);
	json_decref(w->id);
	free(w->ns);
	free(w);
}

static void send_event(struct watcher *w, const char *event, json_t *doc)
{
	json_object_set_new(doc, "v", json_integer(HR_CONTROL_VERSION));
	json_object_set_new(doc, "event", json_string(event));
	json_object_set_new(doc, "missed", json_integer((json_int_t)w->missed));
	if (w->id)
		json_object_set(doc, "id", w->id);
	if (hr_control_event(w->client, doc))
		w->missed = 0;
	else
		w->missed++;
}

static void on_timer(void *ctx)
{
	_cleanup_arena_ struct hr_arena *arena = hr_arena_new();
	struct watcher *w = ctx;
	struct hr_meters m = {};

	hr_timer_start(w->a->loop, &w->timer, w->every_ms, on_timer, w);
	agent_meters(w->a, arena, &m);
	send_event(w, "statistics", hr_top_json(&m, hr_loop_now(w->a->loop)));
}

/* ---- changes ------------------------------------------------------------------------------- */

struct diff {
	struct hr_map *from; /* key -> meta; those that are still there are taken out */
	struct hr_strbuf key;
	json_t *out;
};

static const char *key_of(struct diff *d, const struct hr_meta *m)
{
	d->key.len = 0;
	hr_sb_printf(&d->key, "%d/%s/%s", (int)m->kind, m->ns, m->name);
	return d->key.data;
}

static void append(json_t *out, const struct hr_meta *m, const char *type)
{
	json_array_append_new(out, json_pack("{s:s,s:s,s:s,s:s,s:s,s:s*}", "type", type, "kind",
					     hr_kind_name(m->kind), "namespace", m->ns, "name",
					     m->name, "source", m->pos.file, "yaml", m->yaml));
}

static void add(struct diff *d, const struct hr_meta *m, const char *type)
{
	append(d->out, m, type);
}

void agent_watch_add(json_t *out, const struct hr_meta *was, const struct hr_meta *now)
{
	if (!now)
		append(out, was, "DELETED");
	else if (!was)
		append(out, now, "ADDED");
	else if (!hr_streq(was->yaml, now->yaml))
		append(out, now, "MODIFIED");
}

json_t *agent_watch_one(const struct hr_meta *m)
{
	json_t *out = json_array();

	append(out, m, "MODIFIED");
	return out;
}

static int note(void *ctx, const struct hr_meta *m)
{
	struct diff *d = ctx;

	hr_map_puts(d->from, key_of(d, m), (void *)m);
	return 0;
}

static int compare(void *ctx, const struct hr_meta *m)
{
	struct diff *d = ctx;
	const char *key = key_of(d, m);
	const struct hr_meta *was = hr_map_gets(d->from, key);

	if (!was)
		add(d, m, "ADDED");
	else if (!hr_streq(was->yaml, m->yaml))
		add(d, m, "MODIFIED");
	if (was)
		hr_map_del(d->from, key, strlen(key));
	return 0;
}

json_t *agent_watch_changes(const struct hr_agent *a, const struct hr_objects *from,
			    const struct hr_objects *to)
{
	_cleanup_map_ struct hr_map *map = hr_map_new();
	struct diff d = {.from = map};
	struct hr_map_iter it = {};

	if (hr_list_empty(&a->watchers) || !from)
		return NULL;
	d.out = json_array();
	hr_objects_each(from, note, &d);
	hr_objects_each(to, compare, &d);
	while (hr_map_next(map, &it))
		add(&d, it.value, "DELETED");
	hr_sb_free(&d.key);
	return d.out;
}

static bool wants(const struct watcher *w, const json_t *o)
{
	const char *ns = json_string_value(json_object_get(o, "namespace"));

	if (w->kind != HR_KIND_INVALID &&
	    !hr_streq(hr_kind_name(w->kind), json_string_value(json_object_get(o, "kind"))))
		return false;
	return !w->ns || !*ns || hr_streq(w->ns, ns);
}

void agent_watch_tell(struct hr_agent *a, json_t *changes)
{
	hr_list_for_each (n, &a->watchers) {
		struct watcher *w = hr_list_entry(n, struct watcher, node);
		json_t *list, *o;
		size_t i;

		if (!w->changes || !json_array_size(changes))
			continue;
		list = json_array();
		json_array_foreach(changes, i, o) if (wants(w, o)) json_array_append(list, o);
		if (json_array_size(list))
			send_event(w, "change",
				   json_pack("{s:I,s:O}", "generation", (json_int_t)a->generation,
					     "objects", list));
		json_decref(list);
	}
	json_decref(changes);
}

/* ---- the operation ------------------------------------------------------------------------- */

void agent_watch_gone(void *agent, struct hr_control_client *client)
{
	struct hr_agent *a = agent;

	hr_list_for_each (n, &a->watchers) {
		struct watcher *w = hr_list_entry(n, struct watcher, node);

		if (w->client == client)
			watcher_free(w);
	}
}

static size_t watches_of(const struct hr_agent *a, const struct hr_control_client *client)
{
	size_t count = 0;

	hr_list_for_each (n, &a->watchers)
		count += hr_list_entry(n, struct watcher, node)->client == client;
	return count;
}

json_t *agent_op_watch(struct hr_agent *a, const json_t *req, const struct hr_control_peer *peer,
		       const char **code, struct hr_strbuf *why)
{
	const char *kind = json_string_value(json_object_get(req, "kind"));
	const char *ns = json_string_value(json_object_get(req, "namespace"));
	json_int_t every = json_integer_value(json_object_get(req, "statisticsMs"));
	bool changes = !json_is_false(json_object_get(req, "changes"));
	struct watcher *w;

	if (kind && hr_kind_of(kind) == HR_KIND_INVALID)
		return agent_refuse(code, "bad-request", why, "unknown kind \"%.64s\"", kind);
	if (every && (every < INTERVAL_MIN_MS || every > INTERVAL_MAX_MS))
		return agent_refuse(code, "bad-request", why, "statisticsMs: %d to %d",
				    INTERVAL_MIN_MS, INTERVAL_MAX_MS);
	if (!changes && !every)
		return agent_refuse(code, "bad-request", why, "neither changes nor statisticsMs");
	if (watches_of(a, peer->client) >= WATCHES_MAX)
		return agent_refuse(code, "busy", why, "%d watches on one connection", WATCHES_MAX);
	w = calloc(1, sizeof(*w));
	if (!w)
		return agent_refuse(code, "failed", why, "no memory");
	w->a = a;
	w->client = peer->client;
	w->id = json_incref(json_object_get(req, "id"));
	w->changes = changes;
	w->kind = kind ? hr_kind_of(kind) : HR_KIND_INVALID;
	w->ns = ns ? strdup(ns) : NULL;
	w->every_ms = (uint64_t)every;
	hr_list_add_tail(&a->watchers, &w->node);
	if (every)
		hr_timer_start(a->loop, &w->timer, w->every_ms, on_timer, w);
	return json_pack("{s:b,s:I}", "watching", 1, "generation", (json_int_t)a->generation);
}
