/* SPDX-License-Identifier: Apache-2.0 */
/* The rig: load, the plan by hand, capture, and what tests ask about. */
#include "rig.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rig_internal.h"

#define MAP(name) bpf_map__fd(rig_skel->maps.name)

struct headrace_bpf *rig_skel;
struct hr_u *rig_u;
struct hr_g *rig_g;
struct hr_ep_rt *rig_ep_rt;
struct hr_cluster_rt *rig_cluster_rt;
static struct hr_slots *rig_slots;
uint64_t rig_netns;
uint64_t *rig_beat_at;

bool rig_near;

static char cgroup[256], home[512];
static int cgroup_fd = -1, door_fd = -1;
static uint16_t door_port, dns_port, dns6_port;
static struct bpf_link *links[16];

static int say(const char *what)
{
	fprintf(stderr, "rig: %s: %s\n", what, strerror(errno));
	return -1;
}

static int warn_only(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, fmt, ap) : 0;
}

static int set(int map, const void *key, const void *value)
{
	return bpf_map_update_elem(map, key, value, BPF_ANY) ? say("map update") : 0;
}

static void *map_memory(const struct bpf_map *m, size_t row)
{
	size_t size = row * bpf_map__max_entries(m);
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(m), 0);

	return p == MAP_FAILED ? NULL : p;
}

/* ---- the plan ---------------------------------------------------------------------------------
 */

static int add_vip(uint16_t port, uint8_t proto, uint8_t flags, uint32_t cluster)
{
	struct hr_vip vip = {
		.vhost = 1, .cluster = cluster, .port = 80, .proto = proto, .flags = flags};
	struct hr_vip_key key = {.port_be = htons(port)};
	uint8_t v4[4];

	inet_pton(AF_INET, RIG_VIP4, v4);
	key.ip[10] = key.ip[11] = 0xff;
	memcpy(key.ip + 12, v4, 4);
	if (set(MAP(vips), &key, &vip))
		return -1;
	inet_pton(AF_INET6, RIG_VIP6, key.ip);
	return set(MAP(vips), &key, &vip);
}

/* Endpoint `ep` has the address `addr_id` and stands in the cluster's slot `index`: page `cluster`.
 */
static int add_member(uint32_t cluster, uint32_t index, uint32_t ep, uint32_t addr_id)
{
	struct hr_member_key member = {.cluster = cluster, .addr_id = addr_id};

	rig_ep_rt[ep].addr_id = addr_id;
	rig_ep_rt[ep].cluster = cluster;
	rig_ep_rt[ep].weight = 1;
	rig_ep_rt[ep].family = addr_id == 3 ? 6 : 4;
	rig_slots[cluster].ep[index] = ep;
	return set(MAP(members), &member, &ep);
}

static int add_cluster(uint32_t id, uint32_t n, uint8_t lb, uint32_t max_requests)
{
	struct hr_cluster c = {.lb = lb, .max_requests = max_requests};

	rig_cluster_rt[id].table = HR_TABLE(id, n, 1);
	return set(MAP(clusters), &id, &c);
}

/* Addresses 1 and 2 are IPv4; 3 is the IPv6 side of server 1. */
static int add_addr(uint32_t addr_id, int family, uint16_t port)
{
	struct hr_ep_addr a = {.port_be = htons(port)};

	a.ip[15] = 1;
	if (family == AF_INET) {
		a.ip[10] = a.ip[11] = 0xff;
		a.ip[12] = 127;
	}
	return set(MAP(addrs), &addr_id, &a);
}

static const struct {
	const char *to;
	uint8_t action;
	uint32_t cluster;
	uint16_t reply;
	uint32_t timeout_ms, flags;
} by_header[] = {
	{RIG_TO_TWO, HR_ACT_ROUTE, 2, 0, 0, 0},
	{RIG_TO_DENY, HR_ACT_LOCAL, 0, HR_REPLY_FIRST_FREE, 0, 0},
	{RIG_TO_AGENT, HR_ACT_AGENT, 0, 0, 0, 0},
	{RIG_TO_RR, HR_ACT_ROUTE, 3, 0, 0, 0},
	{RIG_TO_NONE, HR_ACT_ROUTE, 4, 0, 0, 0},
	{RIG_TO_FULL, HR_ACT_ROUTE, 5, 0, 0, 0},
	{RIG_TO_TIMED, HR_ACT_ROUTE, 1, 0, RIG_TIMEOUT_MS, 0},
	{RIG_TO_TIMED2, HR_ACT_ROUTE, 2, 0, RIG_TIMEOUT_MS, 0},
	{RIG_TO_PATIENT, HR_ACT_ROUTE, 1, 0, RIG_PATIENCE_MS, 0},
	{RIG_TO_PATIENT2, HR_ACT_ROUTE, 2, 0, RIG_PATIENCE_MS, 0},
	{RIG_TO_RETRY, HR_ACT_ROUTE, 1, 0, 0, HR_RULE_REPLAY | HR_RULE_RETRY_STATUS},
	{RIG_TO_RETRY2, HR_ACT_ROUTE, 2, 0, 0, HR_RULE_REPLAY | HR_RULE_RETRY_STATUS},
	{RIG_TO_HELD, HR_ACT_ROUTE, 1, 0, 0,
	 HR_RULE_REPLAY | HR_RULE_RETRY_STATUS | HR_RULE_HELD_ONLY},
	{RIG_TO_EDIT, HR_ACT_ROUTE, 1, 0, 0, HR_RULE_EDIT},
	{RIG_TO_EDIT2, HR_ACT_ROUTE, 2, 0, 0, HR_RULE_EDIT},
};
#define N_HEADER (sizeof(by_header) / sizeof(by_header[0]))

/* What the rule asks of the agent: a deadline, retries of 500 to 599. */
static void watch(struct hr_rule *r, uint32_t index)
{
	if (index >= N_HEADER)
		return;
	r->timeout_ms = by_header[index].timeout_ms;
	r->flags = by_header[index].flags;
	for (int status = 500; (r->flags & HR_RULE_RETRY_STATUS) && status < 600; status++)
		r->retry_status[(status - 100) / 64] |= 1ULL << (status - 100) % 64;
}

static int add_edit(uint32_t index)
{
	struct hr_edit_key key = {.table = 1, .index = index};
	struct hr_edit e = {.len = sizeof(RIG_ADDED) - 1,
			    .n_absent = 1,
			    .absent = {{.name = RIG_GONE, .len = sizeof(RIG_GONE) - 1}},
			    .text = RIG_ADDED};

	return set(MAP(edits), &key, &e);
}

static int add_rule(uint32_t index, uint8_t action, uint32_t cluster, uint16_t reply)
{
	struct hr_rule_key key = {.table = 1, .index = index};
	struct hr_rule r = {
		.route = index + 1,
		.action = action,
		.ndst = cluster ? 1 : 0,
		.total = cluster ? 100 : 0,
		.status = reply ? 403 : 0,
		.reply = reply,
		.dst = {{.cluster = cluster, .cum = 100}},
		.why = action == HR_ACT_AGENT ? HR_WHY_RULE : 0,
	};

	watch(&r, index);
	if ((r.flags & HR_RULE_EDIT) && add_edit(index))
		return -1;
	return set(MAP(rules), &key, &r);
}

static int add_reply(uint32_t index, uint16_t status, const char *text)
{
	struct hr_reply r = {.status = status};

	r.head_len = snprintf(r.bytes, sizeof(r.bytes),
			      "HTTP/1.1 %u X\r\nContent-Length: %zu\r\n\r\n", status, strlen(text));
	strcat(r.bytes, text);
	r.len = strlen(r.bytes);
	return set(MAP(replies), &index, &r);
}

/* Dimension 0 is the path, 1 the header x-to. */
static int set_vhost(void)
{
	struct hr_vhost vh = {.table = 1, .nblocks = 1, .ndims = 2, .nrules = N_HEADER + 2};
	uint32_t id = 1;

	vh.dims[0] = (struct hr_dim){.kind = HR_DIM_PATH, .flags = HR_DIM_HAS_PREFIX};
	vh.dims[1] = (struct hr_dim){
		.kind = HR_DIM_HEADER, .flags = HR_DIM_HAS_EXACT, .name_len = 4, .name = "x-to"};
	return set(MAP(vhosts), &id, &vh);
}

/* Rules: the header's, /p/, everything. */
static int add_rules(void)
{
	struct hr_block_key bk = {.table = 1};
	static struct hr_block b;
	struct hr_cond c = {};
	struct hr_prefix_key pk = {.bits = 8 * (8 + 3), .table = 1, .value = "/p/"};

	b.valid.w[0] = (1 << (N_HEADER + 2)) - 1;
	b.free[0].w[0] = b.valid.w[0] & ~(1ULL << N_HEADER);
	b.free[1].w[0] = 3ULL << N_HEADER;
	for (uint32_t i = 0; i < N_HEADER; i++) {
		struct hr_cond_key ck = {.table = 1, .dim = 1, .len = strlen(by_header[i].to)};

		strcpy(ck.value, by_header[i].to);
		c.pos.w[0] = 1ULL << i;
		if (set(MAP(conds), &ck, &c) ||
		    add_rule(i, by_header[i].action, by_header[i].cluster, by_header[i].reply))
			return -1;
	}
	c.pos.w[0] = 1ULL << N_HEADER;
	return set(MAP(prefix_conds), &pk, &c) || add_rule(N_HEADER, HR_ACT_ROUTE, 2, 0) ||
			       add_rule(N_HEADER + 1, HR_ACT_ROUTE, 1, 0) ||
			       set(MAP(blocks), &bk, &b) || set_vhost()
		       ? -1
		       : 0;
}

static bool agent_only_now;

/* Under another epoch each time. */
static struct hr_config config(bool agent_only)
{
	static uint32_t epoch;

	agent_only_now = agent_only;
	return (struct hr_config){.abi = HR_ABI_VERSION,
				  .agent_only = agent_only,
				  .epoch = ++epoch,
				  .flags = HR_CFG_ANSWER_LOST | (rig_near ? HR_CFG_SAME_NODE : 0)};
}

static int add_plan(const uint16_t port[3])
{
	struct hr_netns ns = {
		.door_port = door_port, .dns_port = dns_port, .dns6_port = dns6_port, .ready = 1};
	struct hr_config cfg = config(false);
	uint32_t zero = 0;

	/* cluster 1: server 1 by IPv4 and IPv6; 2: server 2; 3: both; 4: empty; 5: one request */
	if (add_addr(1, AF_INET, port[0]) || add_addr(2, AF_INET, port[1]) ||
	    add_addr(3, AF_INET6, port[2]) || add_cluster(1, 2, HR_LB_LEAST_REQUEST, 0) ||
	    add_member(1, 0, 1, 1) || add_member(1, 1, 5, 3) ||
	    add_cluster(2, 1, HR_LB_RANDOM, 0) || add_member(2, 0, 2, 2) ||
	    add_cluster(3, 2, HR_LB_ROUND_ROBIN, 0) || add_member(3, 0, 3, 1) ||
	    add_member(3, 1, 4, 2) || add_cluster(4, 0, HR_LB_RANDOM, 0) ||
	    add_cluster(5, 1, HR_LB_RANDOM, 1) || add_member(5, 0, 6, 1))
		return -1;
	if (add_vip(RIG_PORT, HR_PROTO_HTTP1, 0, 1) ||
	    add_vip(RIG_PORT_AUTO, HR_PROTO_AUTO, 0, 1) ||
	    add_vip(RIG_PORT_TCP, HR_PROTO_TCP, 0, 1) ||
	    add_vip(RIG_PORT_NEAR_TCP, HR_PROTO_TCP, HR_VIP_NEAR_TCP, 1) ||
	    add_vip(RIG_PORT_DOOR, HR_PROTO_HTTP1, HR_VIP_AGENT, 1) ||
	    add_vip(RIG_PORT_EMPTY, HR_PROTO_HTTP1, 0, 4))
		return -1;
	if (add_reply(HR_REPLY_NR, 404, "no route") || add_reply(HR_REPLY_UH, 503, "no endpoint") ||
	    add_reply(HR_REPLY_UO, 503, "overflow") || add_reply(HR_REPLY_END, 503, "ended") ||
	    add_reply(HR_REPLY_FIRST_FREE, 403, "denied by the rig's rule"))
		return -1;
	return add_rules() || set(MAP(netns), &rig_netns, &ns) || set(MAP(config), &zero, &cfg) ? -1
												: 0;
}

/* ---- load and attach --------------------------------------------------------------------------
 */

static int load(void)
{
	libbpf_set_print(warn_only);
	rig_skel = headrace_bpf__open();
	if (!rig_skel)
		return say("open");
	bpf_map__set_max_entries(rig_skel->maps.ep_stats, 64);
	if (headrace_bpf__load(rig_skel))
		return say("load");
	rig_u = map_memory(rig_skel->maps.u_tab, sizeof(*rig_u));
	rig_g = map_memory(rig_skel->maps.g_tab, sizeof(*rig_g));
	rig_ep_rt = map_memory(rig_skel->maps.ep_rt, sizeof(*rig_ep_rt));
	rig_cluster_rt = map_memory(rig_skel->maps.cluster_rt, sizeof(*rig_cluster_rt));
	rig_slots = map_memory(rig_skel->maps.slots, sizeof(*rig_slots));
	rig_beat_at = map_memory(rig_skel->maps.beat, 4096);
	return rig_u && rig_g && rig_ep_rt && rig_cluster_rt && rig_slots && rig_beat_at
		       ? 0
		       : say("mmap");
}

static int make_cgroup(void)
{
	const char *root = access("/sys/fs/cgroup/unified", F_OK) ? "/sys/fs/cgroup"
								  : "/sys/fs/cgroup/unified";
	char line[400] = "";
	FILE *f = fopen("/proc/self/cgroup", "r");

	while (f && fgets(line, sizeof(line), f) && strncmp(line, "0::", 3))
		;
	if (f)
		fclose(f);
	line[strcspn(line, "\n")] = '\0';
	snprintf(home, sizeof(home), "%s%s/cgroup.procs", root, line + 3);
	snprintf(cgroup, sizeof(cgroup), "%s/bpf-rig-%d", root, getpid());
	return mkdir(cgroup, 0755) ? say(cgroup) : 0;
}

static int attach(void)
{
	struct bpf_program *p;
	size_t n = 0;

	cgroup_fd = open(cgroup, O_RDONLY | O_DIRECTORY);
	bpf_object__for_each_program(p, rig_skel->obj)
	{
		switch (bpf_program__type(p)) {
		case BPF_PROG_TYPE_CGROUP_SOCK_ADDR:
		case BPF_PROG_TYPE_CGROUP_SOCK:
		case BPF_PROG_TYPE_CGROUP_SKB:
		case BPF_PROG_TYPE_SOCK_OPS:
			links[n] = bpf_program__attach_cgroup(p, cgroup_fd);
			if (!links[n++])
				return say(bpf_program__name(p));
			break;
		default:
			break;
		}
	}
	if (bpf_prog_attach(bpf_program__fd(rig_skel->progs.route), MAP(cl_hash),
			    BPF_SK_MSG_VERDICT, 0) ||
	    bpf_prog_attach(bpf_program__fd(rig_skel->progs.reply_c), MAP(cl_hash),
			    BPF_SK_SKB_STREAM_VERDICT, 0) ||
	    bpf_prog_attach(bpf_program__fd(rig_skel->progs.reply_u), MAP(u_map),
			    BPF_SK_SKB_STREAM_VERDICT, 0) ||
	    bpf_prog_attach(bpf_program__fd(rig_skel->progs.serve), MAP(s_hash), BPF_SK_MSG_VERDICT,
			    0) ||
	    bpf_prog_attach(bpf_program__fd(rig_skel->progs.serve_in), MAP(s_hash),
			    BPF_SK_SKB_STREAM_VERDICT, 0) ||
	    bpf_prog_attach(bpf_program__fd(rig_skel->progs.inject), MAP(p_map), BPF_SK_MSG_VERDICT,
			    0))
		return say("attach to sockmaps");
	return 0;
}

int rig_start(void)
{
	struct rlimit files = {65536, 65536};
	socklen_t len = sizeof(rig_netns);
	uint16_t port[3] = {};
	int s = socket(AF_INET, SOCK_STREAM, 0);

	setrlimit(RLIMIT_NOFILE, &files);
	if (getsockopt(s, SOL_SOCKET, SO_NETNS_COOKIE, &rig_netns, &len))
		return say("netns cookie");
	close(s);
	if (make_cgroup())
		return -1;
	if (rig_serve_dns(AF_INET, &dns_port) || rig_serve_dns(AF_INET6, &dns6_port))
		return say("dns");
	if (rig_serve(1, AF_INET, &port[0]) || rig_serve(2, AF_INET, &port[1]) ||
	    rig_serve(1, AF_INET6, &port[2]))
		return say("servers");
	door_fd = rig_listen(AF_INET, &door_port);
	if (door_fd < 0 || load() || add_plan(port) || attach())
		return -1;
	rig_pairs_bound(HR_PAIR_NODE_MAX);
	rig_beat(true);
	return rig_agent_start(port) ? say("agent") : 0;
}

void rig_stop(void)
{
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		bpf_link__destroy(links[i]);
	headrace_bpf__destroy(rig_skel);
	close(cgroup_fd);
	for (int i = 0; i < 100 && rmdir(cgroup) && errno == EBUSY; i++)
		usleep(10000);
}

static int enter(const char *path)
{
	int fd = open(path, O_WRONLY), r = fd < 0 || write(fd, "0", 1) != 1 ? say(path) : 0;

	close(fd);
	return r;
}

int rig_enter_cgroup(void)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	return enter(path);
}

void rig_leave_cgroup(void)
{
	enter(home);
}

/* ---- what tests ask and set -------------------------------------------------------------------
 */

void rig_agent_only(bool on)
{
	struct hr_config cfg = config(on);
	uint32_t zero = 0;

	set(MAP(config), &zero, &cfg);
}

void rig_deny_all(bool on)
{
	struct hr_vhost vh = {.table = 2, .nblocks = 1, .nrules = 1};
	struct hr_block_key bk = {.table = 2};
	struct hr_rule_key rk = {.table = 2};
	struct hr_rule deny = {
		.route = 1, .action = HR_ACT_LOCAL, .status = 403, .reply = HR_REPLY_FIRST_FREE};
	struct hr_block b = {.valid.w[0] = 1};
	uint32_t id = 1;

	set(MAP(rules), &rk, &deny);
	set(MAP(blocks), &bk, &b);
	if (on)
		set(MAP(vhosts), &id, &vh);
	else
		set_vhost();
	rig_agent_only(agent_only_now);
}

/* The words of slots that are not in use. */
void rig_no_agent(bool on)
{
	for (int i = 0; i < RIG_G; i++) {
		uint32_t gen = HR_G_GEN(rig_g[i].word);
		uint64_t from = HR_G_WORD(on ? HR_G_FREE : HR_G_EMPTY, gen, 0);

		__atomic_compare_exchange_n(&rig_g[i].word, &from,
					    HR_G_WORD(on ? HR_G_EMPTY : HR_G_FREE, gen, 0), false,
					    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	}
}

void rig_beat(bool on)
{
	*rig_beat_at = on ? UINT64_MAX / 2 : 0;
}

void rig_pool_block(bool on)
{
	for (int i = 0; i < RIG_U; i++) {
		struct hr_u *u = &rig_u[HR_U_CHUNK + i];

		u->word = HR_WORD(on ? HR_U_EMPTY : HR_U_FREE, HR_WORD_GEN(u->word));
	}
}

static uint64_t counter(int map, uint32_t key)
{
	int n = libbpf_num_possible_cpus();
	uint64_t v[n], sum = 0;

	if (bpf_map_lookup_elem(map, &key, v))
		return ~0ULL;
	for (int i = 0; i < n; i++)
		sum += v[i];
	return sum;
}

uint64_t rig_why(enum hr_why w)
{
	return counter(MAP(why), w);
}

uint64_t rig_pairs(enum hr_pair_count what)
{
	return counter(MAP(pair_counts), what);
}

int64_t rig_pairs_held(void)
{
	return __atomic_load_n(&rig_skel->bss->pair_held, __ATOMIC_RELAXED);
}

void rig_pairs_bound(int64_t bytes)
{
	__atomic_store_n(&rig_skel->bss->pair_node_max, bytes, __ATOMIC_RELAXED);
}

static void stats(int map, uint32_t id, struct hr_stats *out)
{
	int n = libbpf_num_possible_cpus();
	struct hr_stats v[n];

	memset(out, 0, sizeof(*out));
	if (bpf_map_lookup_elem(map, &id, v))
		return;
	for (int i = 0; i < n; i++)
		for (size_t j = 0; j < sizeof(*out) / 8; j++)
			((uint64_t *)out)[j] += ((uint64_t *)&v[i])[j];
}

void rig_route_stats(uint32_t route, struct hr_stats *out)
{
	stats(MAP(route_stats), route, out);
}

void rig_ep_stats(uint32_t ep, struct hr_stats *out)
{
	stats(MAP(ep_stats), ep, out);
}

int rig_conns(void)
{
	uint64_t key, next;
	int n = rig_skel->bss->conns_used; /* the programs' own count */

	for (void *at = NULL; !bpf_map_get_next_key(MAP(conns), at, &next); at = &key) {
		key = next;
		n++;
	}
	return n;
}

int rig_inflight(void)
{
	int n = 0;

	for (int i = 0; i < 16; i++) {
		const union hr_inflight *both[] = {&rig_ep_rt[i].inflight,
						   &rig_cluster_rt[i].inflight};

		for (int k = 0; k < 2; k++)
			n += abs((int)both[k]->by.kernel) + abs((int)both[k]->by.agent);
	}
	return n;
}

int rig_busy(void)
{
	int n = 0;

	for (int i = 0; i < 2 * HR_U_CHUNK; i++)
		n += HR_WORD_STATE(rig_u[i].word) > HR_U_FREE;
	for (int i = 0; i < RIG_G; i++)
		n += HR_G_STATE(rig_g[i].word) == HR_G_BOUND;
	return n;
}

uint16_t rig_door_port(void)
{
	return door_port;
}

bool rig_door(uint16_t port, struct hr_door *out)
{
	struct hr_door_key key = {.netns = rig_netns, .port = port, .family = AF_INET};

	return !bpf_map_lookup_and_delete_elem(MAP(doors), &key, out);
}
