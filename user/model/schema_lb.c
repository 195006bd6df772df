// SPDX-License-Identifier: Apache-2.0
/* Rows of LoadBalancerSettings (networking/v1alpha3). */
#include <string.h>

#include "core/cleanup.h"
#include "model/schema_int.h"

static const struct hr_word simple_words[] = {
	{"UNSPECIFIED", 0, HR_ST_KERNEL, "as if not set: LEAST_REQUEST"},
	{"LEAST_REQUEST", HR_LB_LEAST_REQUEST, HR_ST_KERNEL, NULL},
	{"LEAST_CONN", HR_LB_LEAST_REQUEST, HR_ST_KERNEL, "old name of LEAST_REQUEST"},
	{"ROUND_ROBIN", HR_LB_ROUND_ROBIN, HR_ST_KERNEL, NULL},
	{"RANDOM", HR_LB_RANDOM, HR_ST_KERNEL, NULL},
	{"PASSTHROUGH", HR_LB_PASSTHROUGH, HR_ST_KERNEL, "the address that the client asked for"},
	{NULL, 0, 0, NULL}};

#define LB(field, type, status, member, ...) \
	HR_ROW(field, type, status, HR_AT(struct hr_load_balancer, member), __VA_ARGS__)

/* ---- consistentHash ---- */

static void set_hash_name(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n,
			  void *obj)
{
	struct hr_load_balancer *lb = obj;

	lb->hash_name = hr_dec_string(x, f, n);
	lb->hash = (enum hr_hash_kind)f->min;
}

static void set_source_ip(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n,
			  void *obj)
{
	struct hr_load_balancer *lb = obj;

	(void)f;
	if (n->type != HR_NODE_SCALAR || hr_scalar_kind(n) != HR_SCALAR_BOOL)
		hr_dec_say(x, HR_SEV_ERROR, n->pos, "bad-value", "expected true or false");
	else if (hr_scalar_bool(n))
		lb->hash = HR_HASH_SOURCE_IP;
}

static void set_cookie(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n,
		       void *obj)
{
	((struct hr_load_balancer *)obj)->hash = HR_HASH_COOKIE;
	hr_decode_message(x, f->msg, n, obj);
}

static void set_maglev(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n,
		       void *obj)
{
	((struct hr_load_balancer *)obj)->maglev = true;
	hr_decode_message(x, f->msg, n, obj);
}

static const struct hr_field attribute_fields[] = {
	HR_ROW("name", STRING, AGENT, .flags = HR_F_REQUIRED, .check = hr_check_header_name,
	       HR_AT(struct hr_kv, key)),
	HR_ROW("value", STRING, AGENT, .check = hr_check_header_value, HR_AT(struct hr_kv, value)),
	HR_END};
static const struct hr_message attribute = {.name = "HTTPCookie.Attribute",
					    .fields = attribute_fields,
					    .size = sizeof(struct hr_kv),
					    HR_POS(struct hr_kv)};
static const struct hr_field cookie_fields[] = {
	LB("name", STRING, KERNEL, hash_name, .flags = HR_F_REQUIRED,
	   .check = hr_check_header_name),
	LB("path", STRING, AGENT, cookie_path, .check = hr_check_header_value),
	LB("ttl", DURATION, AGENT, cookie_ttl,
	   .why = "0s: a session cookie; the agent makes it for a request without"),
	LB("attributes", MESSAGES, AGENT, cookie_attributes, .msg = &attribute), HR_END};
static const struct hr_message cookie = {.name = "ConsistentHashLB.HTTPCookie",
					 .fields = cookie_fields};

/* Envoy's bound of a ring; the largest prime that a table may have. */
#define RING_MAX 8388608
#define MAGLEV_MAX 1048573
_Static_assert(MAGLEV_MAX <= HR_TABLE_MAX, "a table fits");

static const struct hr_field ring_fields[] = {
	LB("minimumRingSize", INT, KERNEL, ring_size, .min = 0, .max = RING_MAX), HR_END};
static const struct hr_message ring = {.name = "ConsistentHashLB.RingHash", .fields = ring_fields};
static bool prime(uint64_t n)
{
	for (uint64_t d = 2; d * d <= n; d++)
		if (n % d == 0)
			return false;
	return n > 1;
}

static void maglev_check(struct hr_dec *x, const struct hr_ynode *n, void *obj)
{
	const struct hr_ynode *size = hr_node_get(n, "tableSize");
	uint64_t given = ((const struct hr_load_balancer *)obj)->maglev_size, less = given,
		 more = given;

	if (!size || !given || prime(given))
		return;
	while (less > 2 && !prime(less))
		less--;
	while (more < MAGLEV_MAX && !prime(more))
		more++;
	hr_dec_say_at(x, "tableSize", HR_SEV_ERROR, size->pos, "bad-value",
		      "must be a prime number, such as %llu or %llu, found %llu",
		      (unsigned long long)HR_MAX(less, (uint64_t)2), (unsigned long long)more,
		      (unsigned long long)given);
}

static const struct hr_field maglev_fields[] = {LB("tableSize", INT, KERNEL, maglev_size, .min = 0,
						   .max = MAGLEV_MAX, .why = "a prime number"),
						HR_END};
static const struct hr_message maglev = {
	.name = "ConsistentHashLB.MagLev", .fields = maglev_fields, .check = maglev_check};

static void hash_check(struct hr_dec *x, const struct hr_ynode *n, void *obj)
{
	const struct hr_ynode *old = hr_node_get(n, "minimumRingSize");
	struct hr_load_balancer *lb = obj;

	if (old && (hr_node_get(n, "ringHash") || lb->maglev))
		hr_dec_say_at(x, "minimumRingSize", HR_SEV_WARNING, old->pos, "no-effect",
			      "has no effect beside %s", lb->maglev ? "maglev" : "ringHash");
	else if (old)
		lb->ring_size = lb->old_ring_size;
	if (lb->hash == HR_HASH_NONE)
		hr_dec_say(x, HR_SEV_ERROR, n->pos, "missing",
			   "one of httpHeaderName, httpCookie, useSourceIp and "
			   "httpQueryParameterName must be set");
}

static const struct hr_field hash_fields[] = {
	HR_ROW("httpHeaderName", STRING, KERNEL, .oneof = 1, .flags = HR_F_LOWER,
	       .check = hr_check_header_name, .set = set_hash_name, .min = HR_HASH_HEADER,
	       HR_NOWHERE),
	HR_ROW("httpCookie", MESSAGE, KERNEL, .oneof = 1, .msg = &cookie, .set = set_cookie,
	       HR_NOWHERE),
	HR_ROW("useSourceIp", BOOL, KERNEL, .oneof = 1, .set = set_source_ip, HR_NOWHERE),
	HR_ROW("httpQueryParameterName", STRING, KERNEL, .oneof = 1, .check = hr_check_nonempty,
	       .set = set_hash_name, .min = HR_HASH_QUERY, HR_NOWHERE),
	HR_ROW("ringHash", MESSAGE, KERNEL, .oneof = 2, .msg = &ring, .off = 0),
	HR_ROW("maglev", MESSAGE, KERNEL, .oneof = 2, .msg = &maglev, .set = set_maglev,
	       HR_NOWHERE),
	LB("minimumRingSize", INT, KERNEL, old_ring_size, .min = 0, .max = RING_MAX,
	   .flags = HR_F_DEPRECATED, .why = "use ringHash.minimumRingSize"),
	HR_END};
static const struct hr_message consistent_hash = {.name = "LoadBalancerSettings.ConsistentHashLB",
						  .fields = hash_fields,
						  .check = hash_check};

/* ---- locality ---- */

/* map<string, uint32>, kept as decimal text */
static void set_weight_map(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n,
			   void *obj)
{
	struct hr_locality_distribute *d = obj;
	int64_t sum = 0, v;

	(void)f;
	if (!hr_dec_is(x, n, HR_NODE_MAP))
		return;
	if (n->count > HR_ITEMS_MAX) {
		hr_dec_say(x, HR_SEV_ERROR, n->pos, "limit", "more than %d localities",
			   HR_ITEMS_MAX);
		return;
	}
	d->to.data = hr_dec_list(x, n->count, sizeof(*d->to.data));
	for (const struct hr_ynode *c = n->first; c; c = c->next) {
		const char *why = c->type == HR_NODE_SCALAR ? hr_scalar_int(c, 0, 100, &v)
							    : "expected a number";

		if (why) {
			hr_dec_say(x, HR_SEV_ERROR, c->pos, "bad-value", "%s, 0 to 100", why);
			return;
		}
		sum += v;
		d->to.data[d->to.len++] =
			(struct hr_kv){hr_arena_strdup(x->arena, c->key),
				       hr_arena_strdup(x->arena, c->value), c->pos};
	}
	if (sum != 100)
		hr_dec_say(x, HR_SEV_ERROR, n->pos, "bad-value",
			   "the weights of a locality must sum to 100, not %lld", (long long)sum);
}

static const struct hr_field distribute_fields[] = {
	HR_ROW("from", STRING, CONTROL, .check = hr_check_locality,
	       HR_AT(struct hr_locality_distribute, from)),
	HR_ROW("to", STRING_MAP, CONTROL, .set = set_weight_map, HR_NOWHERE), HR_END};
static const struct hr_message distribute = {.name = "LocalityLoadBalancerSetting.Distribute",
					     .fields = distribute_fields,
					     .size = sizeof(struct hr_locality_distribute)};
static const struct hr_field failover_fields[] = {
	HR_ROW("from", STRING, CONTROL, .check = hr_check_nonempty,
	       HR_AT(struct hr_locality_failover, from)),
	HR_ROW("to", STRING, CONTROL, .check = hr_check_nonempty,
	       HR_AT(struct hr_locality_failover, to)),
	HR_END};
static const struct hr_message failover = {.name = "LocalityLoadBalancerSetting.Failover",
					   .fields = failover_fields,
					   .size = sizeof(struct hr_locality_failover)};
/* KEY or KEY=VALUE. */
static void check_priority_label(struct hr_dec *x, const struct hr_ynode *n, const char *v)
{
	if (*v == '=' || !*v || strchr(v, ' '))
		hr_dec_say(x, HR_SEV_ERROR, n->pos, "bad-value",
			   "\"%.80s\" is no label (KEY, or KEY=VALUE)", v);
}

/* Of a list of labels, one that says what the fields beside it say. */
static void refuse_topology(struct hr_dec *x, const struct hr_ynode *n, const hr_strs *labels,
			    const char *why)
{
	static const char *const topology[] = {"topology.kubernetes.io/region",
					       "topology.kubernetes.io/zone",
					       "topology.istio.io/subzone"};
	const struct hr_ynode *list = hr_node_get(n, "failoverPriority"), *item = list->first;

	for (size_t i = 0; i < labels->len && item; i++, item = item->next)
		for (size_t k = 0; k < HR_ARRAY_SIZE(topology); k++)
			if (hr_streq(labels->data[i], topology[k]))
				hr_dec_say_at(x, "failoverPriority", HR_SEV_ERROR, item->pos,
					      "bad-value", "\"%s\" %s", topology[k], why);
}

/* A region cannot stand in for itself. */
static void failover_check(struct hr_dec *x, const struct hr_ynode *n,
			   const struct hr_load_balancer *lb)
{
	for (size_t i = 0; i < lb->failover.len; i++)
		if (hr_streq(lb->failover.data[i].from, lb->failover.data[i].to))
			hr_dec_say(x, HR_SEV_ERROR, n->pos, "bad-value",
				   "failover from \"%.80s\" to itself", lb->failover.data[i].from);
}

/* Do they hold a place in common? REGION/ZONE/SUBZONE, where a star, or nothing, is any. */
static bool overlap(const char *a, const char *b)
{
	for (;;) {
		size_t n = strcspn(a, "/"), m = strcspn(b, "/");

		if (!n || !m || *a == '*' || *b == '*')
			return true;
		if (n != m || memcmp(a, b, n) != 0)
			return false;
		a += n + (a[n] == '/');
		b += m + (b[m] == '/');
	}
}

static void overlap_check(struct hr_dec *x, const struct hr_ynode *n,
			  const struct hr_load_balancer *lb)
{
	for (size_t i = 0; i < lb->distribute.len; i++) {
		const struct hr_locality_distribute *d = &lb->distribute.data[i];

		for (size_t k = 0; d->from && k < i; k++)
			if (lb->distribute.data[k].from &&
			    overlap(d->from, lb->distribute.data[k].from))
				hr_dec_say_at(
					x, "distribute", HR_SEV_WARNING, n->pos, "overlap",
					"from \"%.80s\" and \"%.80s\" overlap: the first counts",
					lb->distribute.data[k].from, d->from);
		for (size_t k = 0; k < d->to.len; k++)
			for (size_t j = 0; j < k; j++)
				if (overlap(d->to.data[k].key, d->to.data[j].key))
					hr_dec_say_at(x, "distribute", HR_SEV_WARNING,
						      d->to.data[k].pos, "overlap",
						      "to \"%.80s\" and \"%.80s\" overlap: the "
						      "first counts",
						      d->to.data[j].key, d->to.data[k].key);
	}
}

static void locality_check(struct hr_dec *x, const struct hr_ynode *n, void *obj)
{
	struct hr_load_balancer *lb = obj;

	lb->locality_set = true;
	failover_check(x, n, lb);
	overlap_check(x, n, lb);
	if (lb->failover.len && lb->failover_priority.len)
		refuse_topology(x, n, &lb->failover_priority,
				"beside failover: leave out one of them");
	if (lb->distribute.len && lb->failover_priority.len)
		hr_dec_say_at(x, "failoverPriority", HR_SEV_ERROR,
			      hr_node_get(n, "failoverPriority")->pos, "conflict",
			      "only one of distribute and failoverPriority can be set");
}

static const struct hr_field locality_fields[] = {
	LB("distribute", MESSAGES, CONTROL, distribute, .oneof = 1, .max = HR_ITEMS_MAX,
	   .msg = &distribute),
	LB("failover", MESSAGES, CONTROL, failover, .oneof = 1, .msg = &failover),
	LB("failoverPriority", STRINGS, CONTROL, failover_priority, .max = HR_FAILOVER_LABELS_MAX,
	   .check = check_priority_label),
	LB("enabled", BOOL, CONTROL, locality_enabled, .min = 0), HR_END};
static const struct hr_message locality = {
	.name = "LocalityLoadBalancerSetting", .fields = locality_fields, .check = locality_check};

static void zone_check(struct hr_dec *x, const struct hr_ynode *n, void *obj)
{
	struct hr_load_balancer *lb = obj;

	lb->zone_aware = lb->locality_set = true;
	failover_check(x, n, lb);
	if (lb->failover_priority.len)
		refuse_topology(x, n, &lb->failover_priority,
				"is what zoneAwareLbSetting does by itself");
}

static const struct hr_field zone_fields[] = {
	LB("enabled", BOOL, CONTROL, locality_enabled, .min = 0),
	LB("failover", MESSAGES, CONTROL, failover, .msg = &failover),
	LB("failoverPriority", STRINGS, CONTROL, failover_priority, .max = HR_FAILOVER_LABELS_MAX,
	   .check = check_priority_label),
	HR_ROW("minClusterSize", INT, CONTROL, .min = 1, .max = INT64_MAX,
	       .why = "no effect: zones of a region are alike", HR_NOWHERE),
	HR_END};
static const struct hr_message zone_aware = {
	.name = "ZoneAwareLoadBalancerSetting", .fields = zone_fields, .check = zone_check};

/* ---- warmup, LoadBalancerSettings ---- */

#define WARMUP_MAX_MS (24 * 3600 * 1000LL)
static const struct hr_field warmup_fields[] = {
	LB("duration", DURATION, KERNEL, warmup_ms, .flags = HR_F_REQUIRED, .min = 1000,
	   .max = WARMUP_MAX_MS, .why = "with ROUND_ROBIN and LEAST_REQUEST (Envoy); 1s to 24h"),
	LB("minimumPercent", DOUBLE, KERNEL, warmup_min_percent, .min = 0, .max = 100,
	   .why = "10 when not set"),
	LB("aggression", DOUBLE, KERNEL, warmup_aggression, .min = 0, .max = 100,
	   .why = "above 0; 1 when not set: linear"),
	HR_END};

static void warmup_check(struct hr_dec *x, const struct hr_ynode *n, void *obj)
{
	const struct hr_ynode *a = hr_node_get(n, "aggression");
	const struct hr_load_balancer *lb = obj;

	if (a && lb->warmup_aggression == 0)
		hr_dec_say_at(x, "aggression", HR_SEV_ERROR, a->pos, "bad-value",
			      "must be above 0, 1 is linear");
}

static const struct hr_message warmup = {
	.name = "WarmupConfiguration", .fields = warmup_fields, .check = warmup_check};

static void lb_init(void *obj)
{
	struct hr_load_balancer *lb = obj;

	lb->cookie_ttl = lb->warmup_ms = -1;
	lb->locality_enabled = -1;
	lb->warmup_min_percent = lb->warmup_aggression = -1;
}

static void lb_check(struct hr_dec *x, const struct hr_ynode *n, void *obj)
{
	const struct hr_load_balancer *lb = obj;
	const struct hr_ynode *w = hr_node_get(n, "warmup");

	w = w ? w : hr_node_get(n, "warmupDurationSecs");
	if (w && (lb->hash != HR_HASH_NONE || lb->simple == HR_LB_RANDOM ||
		  lb->simple == HR_LB_PASSTHROUGH))
		hr_dec_say(x, HR_SEV_WARNING, w->pos, "no-effect",
			   "warmup has no effect here: only ROUND_ROBIN and LEAST_REQUEST warm up");
}

static const struct hr_field lb_fields[] = {
	LB("simple", ENUM, KERNEL, simple, .oneof = 1, .words = simple_words),
	HR_ROW("consistentHash", MESSAGE, KERNEL, .oneof = 1, .flags = HR_F_LENIENT_WINS,
	       .msg = &consistent_hash, .off = 0),
	HR_ROW("localityLbSetting", MESSAGE, KERNEL, .oneof = 3, .msg = &locality, .off = 0),
	HR_ROW("zoneAwareLbSetting", MESSAGE, KERNEL, .oneof = 3, .msg = &zone_aware,
	       .why = "the client's region first, zones of a region alike: what Istio does where "
		      "ISTIO_META_ENABLE_SELF_DISCOVERY is not set",
	       .off = 0),
	HR_ROW("warmup", MESSAGE, KERNEL, .oneof = 2, .msg = &warmup, .off = 0),
	LB("warmupDurationSecs", DURATION, KERNEL, warmup_ms, .oneof = 2, .min = 1000,
	   .max = WARMUP_MAX_MS, .flags = HR_F_DEPRECATED, .why = "use warmup.duration"),
	HR_END};
const struct hr_message hr_msg_load_balancer = {.name = "LoadBalancerSettings",
						.fields = lb_fields,
						.size = sizeof(struct hr_load_balancer),
						.init = lb_init,
						.check = lb_check,
						HR_SET(struct hr_load_balancer)};
