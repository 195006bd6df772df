// SPDX-License-Identifier: Apache-2.0
/*
 * Who a connection comes from, as sourceNamespace and sourceLabels see it: the workload that the
 * kernel recorded with the connection. The main thread sets rows, workers take them once a
 * connection; a row that was replaced lives until its last connection has gone.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "core/log.h"
#include "proxy/internal.h"

struct px_source {
	struct px_identity id; /* first: what workers see */
	struct hr_arena *arena;
	atomic_uint refs;
};

struct px_sources {
	pthread_mutex_t lock;
	struct px_source *row[HR_WORKLOADS_MAX]; /* by id of the workload; NULL: nobody */
};

int px_sources_new(struct hr_proxy *px)
{
	px->sources = calloc(1, sizeof(*px->sources));
	if (!px->sources)
		return -ENOMEM;
	pthread_mutex_init(&px->sources->lock, NULL);
	return 0;
}

static void drop(struct px_source *s)
{
	if (s && atomic_fetch_sub(&s->refs, 1) == 1)
		hr_arena_free(s->arena);
}

void px_sources_free(struct hr_proxy *px)
{
	if (!px->sources)
		return;
	for (size_t i = 0; i < HR_WORKLOADS_MAX; i++)
		drop(px->sources->row[i]);
	pthread_mutex_destroy(&px->sources->lock);
	free(px->sources);
}

void hr_proxy_workload(struct hr_proxy *px, uint32_t id, const char *ns, const char *name,
		       const hr_kvs *labels)
{
	struct hr_arena *a = hr_arena_new();
	struct px_source *s = hr_arena_new0(a, struct px_source), *old;

	if (!id || id >= HR_WORKLOADS_MAX) {
		hr_arena_free(a);
		return;
	}
	s->arena = a;
	s->id.ns = hr_arena_strdup(a, ns);
	s->id.name = hr_arena_strdup(a, name);
	s->id.labels.data = hr_arena_array(a, struct hr_kv, labels->len + 1);
	s->id.labels.len = labels->len;
	for (size_t i = 0; i < labels->len; i++)
		s->id.labels.data[i] =
			(struct hr_kv){.key = hr_arena_strdup(a, labels->data[i].key),
				       .value = hr_arena_strdup(a, labels->data[i].value)};
	atomic_init(&s->refs, 1);
	pthread_mutex_lock(&px->sources->lock);
	old = px->sources->row[id];
	px->sources->row[id] = s;
	pthread_mutex_unlock(&px->sources->lock);
	drop(old);
}

const struct px_identity *px_source_get(struct hr_proxy *px, uint32_t id)
{
	struct px_source *s;

	if (!id || id >= HR_WORKLOADS_MAX)
		return NULL;
	pthread_mutex_lock(&px->sources->lock);
	s = px->sources->row[id];
	if (s)
		atomic_fetch_add(&s->refs, 1);
	pthread_mutex_unlock(&px->sources->lock);
	return s ? &s->id : NULL;
}

void px_source_put(const struct px_identity *id)
{
	drop((struct px_source *)id);
}

const hr_kvs *px_source_labels(const struct px_client *c, const struct hr_plan *plan)
{
	const struct px_identity *who = c->source;

	return who ? hr_plan_labels(plan, who->ns, who->name, &who->labels) : NULL;
}

const struct hr_plan_cluster *px_cluster_seen(const struct px_client *c, const struct hr_plan *plan,
					      const struct hr_plan_cluster *cluster)
{
	if (!cluster || !cluster->n_views)
		return cluster;
	return hr_plan_cluster_seen(plan, cluster, c->source ? c->source->ns : NULL,
				    px_source_labels(c, plan));
}
