/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel side as the agent sees it: load, self-test, pin, write the plan, share the words.
 * All calls are for the main thread, except where a comment says "any thread".
 *
 * Pins live in one directory (default /sys/fs/bpf/headrace): every map and link, so that a killed
 * agent leaves a data path that works until the next one takes over or `cleanup` removes it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/str.h"
#include "headrace/abi.h"
#include "plan/plan.h"
#include "plan/balance/tables.h"

struct hr_kern;
struct hr_ids;

enum hr_datapath { HR_DATAPATH_AUTO, HR_DATAPATH_KERNEL, HR_DATAPATH_AGENT };

struct hr_kern_opts {
	const char *pin_dir; /* NULL: /sys/fs/bpf/headrace; bpffs is mounted when absent */
	enum hr_datapath requested;
	bool verbose; /* libbpf's own lines */
	/* events; called from hr_kern_poll */
	void (*on_event)(void *ctx, const struct hr_event *ev);
	/* one of the requests that are logged has ended; NULL: nobody wants to know */
	void (*on_access)(void *ctx, const struct hr_access_event *ev);
	void *ctx;
};

/* One row of the self-test: a sockmap behaviour tried on real sockets (DESIGN "Kernels"). */
struct hr_kern_feature {
	const char *name; /* "fionread-redirected" */
	bool ok;
	bool required;	    /* false: information, does not decide the data path */
	const char *detail; /* what was seen, "" when ok */
};

struct hr_kern_status {
	char release[128];
	enum hr_datapath requested, mode; /* mode: KERNEL or AGENT */
	char why[256];			  /* one sentence */
	/* Connections between two captured ends on this node need no TCP (bpf/lib/pair.h). */
	bool same_node;
	char same_node_why[256]; /* one sentence */
	const struct hr_kern_feature *features;
	size_t n_features;
};

/*
 * Loads the programs, runs the self-test, decides the data path. `*err` gets one clear sentence on
 * failure (missing privilege, no BTF, no cgroup2, no bpffs). With requested KERNEL a failed
 * self-test is an error; with AUTO it means mode AGENT (connect programs only).
 * -EBUSY when another agent holds the pins (*err names its pid).
 */
int hr_kern_open(struct hr_kern **out, const struct hr_kern_opts *opts, struct hr_strbuf *err);
/* Detaches and unpins everything. */
void hr_kern_close(struct hr_kern *k);
const struct hr_kern_status *hr_kern_status(const struct hr_kern *k);
/* Removes what a crashed agent left: pins, links, and cgroups without processes below the
 * one at the cgroup root that has the name of the pin directory.
 * Gives how many things went, or -errno; -EBUSY when an agent lives. Appends a line each. */
int hr_kern_cleanup(const char *pin_dir, struct hr_strbuf *out);

/* Ids are kept in a pinned map, and begin with those that a killed agent gave. Before the first
 * assignment. 0 or -errno. */
int hr_kern_keep_ids(struct hr_kern *k, struct hr_ids *ids);
/* Brings the maps from what they hold to the plan (ids assigned). New rows first, then the vhosts
 * that use them, then vips; old rows go after a grace time (hr_kern_poll does it). Only what
 * changed is written: a weight change is one element. On failure the maps still serve the old
 * plan. -ENOSPC: *what names the table. The plan must live until another one was applied: the
 * balancing tables look into it. */
int hr_kern_apply(struct hr_kern *k, const struct hr_plan *plan, const char **what);
/* The same of a plan made by hr_plan_change of `was`, which was applied last: what it costs does
 * not grow with the rest. -EOPNOTSUPP: hr_kern_apply has it. */
int hr_kern_change(struct hr_kern *k, const struct hr_plan *plan, const struct hr_plan *was,
		   const struct hr_plan_changes *what, const char **failed);
/* New weights of the plan that was applied last (hr_plan_reweigh): the rows of its rules, in place.
 * 0 or -errno; then the rows that were not written are those of before, and a call after the
 * weights were taken back writes the others back. */
int hr_kern_reweigh(struct hr_kern *k, const struct hr_plan *plan, const struct hr_reweighed *what);

/* Clusters as workloads see them (hr_plan_cluster_seen), all there are: a row that is missing
 * leaves the request to the agent. */
struct hr_kern_seen_row {
	struct hr_seen_key key;
	uint32_t cluster; /* id; its own when it sees what others do */
};
void hr_kern_seen(struct hr_kern *k, const struct hr_kern_seen_row *rows, size_t n);

/* The balancing tables, of the plan that was applied last. Main thread. */
struct hr_tables *hr_kern_balance(struct hr_kern *k);

/* One in `every` requests of the kernel goes to on_access; 0: none. */
int hr_kern_set_access_log(struct hr_kern *k, uint32_t every);
/* Those that found the ring full. */
uint64_t hr_kern_access_lost(struct hr_kern *k);

/* Kill switch: true sends new connections to door A and binds new requests. */
int hr_kern_set_agent_only(struct hr_kern *k, bool on);

/* New connections between two captured ends on this node are paired, or not any more; those that
 * are paired go on. -ENOTSUP when the self-test has found that it does not work here. */
int hr_kern_set_same_node(struct hr_kern *k, bool on);

/* ---- capture ---- */
/* Where cgroup2 is mounted (also hybrid), static string; NULL when it is not. */
const char *hr_kern_cgroup_root(void);
/* Attaches the programs to a cgroup (its descendants too). Idempotent. */
int hr_kern_enrol(struct hr_kern *k, const char *cgroup_path, uint32_t workload, uint32_t flags);
/* New connections go where they would go without us, at once. Those that are open become ordinary
 * TCP each at a moment when nobody notices (hr_kern_poll sees to it). */
int hr_kern_unenrol(struct hr_kern *k, const char *cgroup_path);
/* True when no connection that is leaving has a request with the agent or on a pooled connection,
 * or soon may have one: the sockets of the agent may go. Takes up to 20 ms. */
bool hr_kern_released(struct hr_kern *k);
/* Tells the programs the ports that serve a namespace. */
int hr_kern_netns_set(struct hr_kern *k, uint64_t netns_cookie, const struct hr_netns *v);
int hr_kern_netns_del(struct hr_kern *k, uint64_t netns_cookie);
/* DNS of the workloads there whose Kubernetes namespace has this number (HR_WL_K8S_NS_SHIFT).
 * 0, -ENOSPC or -errno. */
int hr_kern_names_set(struct hr_kern *k, uint64_t netns_cookie, uint32_t k8s_ns,
		      const struct hr_names *v);
int hr_kern_names_del(struct hr_kern *k, uint64_t netns_cookie, uint32_t k8s_ns);
/* SO_NETNS_COOKIE of the calling thread's namespace. */
int hr_netns_cookie(uint64_t *out);

/* ---- shared memory, any thread ---- */
struct hr_ep_rt *hr_kern_ep_rt(struct hr_kern *k);	     /* [HR_EPS_MAX] */
struct hr_cluster_rt *hr_kern_cluster_rt(struct hr_kern *k); /* [HR_CLUSTERS_MAX] */
struct hr_codes *hr_kern_codes(struct hr_kern *k);	     /* [HR_CODES_MAX] */
struct hr_words hr_kern_words(struct hr_kern *k);	     /* those, and the slots */
struct hr_u *hr_kern_u(struct hr_kern *k);		     /* [HR_U_SLOTS] */
struct hr_g *hr_kern_g(struct hr_kern *k);		     /* [HR_G_SLOTS] */

/* ---- sockets ---- */
/* Before a U connects to ip (IPv4: ::ffff:a.b.c.d) and port: a server on this node may be paired
 * with it, so that what is moved skips TCP. Binds it to a port. What fails leaves it to TCP. Any
 * thread. */
void hr_kern_u_offer(struct hr_kern *k, int fd, const uint8_t ip[static 16], uint16_t port);
/* Its server is on this node, but was the first of its listener: another U would be paired. */
bool hr_kern_u_taught(struct hr_kern *k, uint32_t slot);
/* Puts a connected socket into a U slot (EMPTY -> FREE, generation + 1) and remembers it for its
 * pool. `conns` (NULL: nothing is set): how many requests it may carry. The fd stays the caller's
 * and must stay open. Any thread. */
int hr_kern_u_put(struct hr_kern *k, uint32_t slot, int fd, uint32_t addr_id,
		  const struct hr_plan_conns *conns);
/* Takes it out again: word to EMPTY; for a BUSY slot the caller must have won it to DEAD first. */
int hr_kern_u_take(struct hr_kern *k, uint32_t slot);
int hr_kern_pool_set(struct hr_kern *k, const struct hr_pool_key *key, const struct hr_pool *p);
int hr_kern_pool_del(struct hr_kern *k, const struct hr_pool_key *key);
/*
 * G slot: `g` is the end that C's bytes are redirected to, `p` the agent's end of the same
 * loopback connection. The agent reads C's bytes from p; what it writes to p is redirected into
 * C's receive queue by sk_msg (injection), for the connection bound in g_tab[slot] or, for a
 * relayed moved answer, the one set by hr_kern_inject_to. Any thread.
 */
int hr_kern_g_put(struct hr_kern *k, uint32_t slot, int g, int p);
/* Takes the pair of an EMPTY slot out of the tables. */
void hr_kern_g_take(struct hr_kern *k, uint32_t slot);
/* Connections on the kernel path: each may need a slot. */
uint32_t hr_kern_conns(const struct hr_kern *k);
/* HR_EV_G_LOW comes when there are that many, once. */
void hr_kern_g_grow_at(struct hr_kern *k, uint32_t conns);
/* FREE -> BOUND by the agent itself, to inject into `conn` (relay). -EBUSY when not FREE. */
int hr_kern_inject_to(struct hr_kern *k, uint32_t slot, uint64_t conn);

/* ---- connections, any thread ---- */
int hr_kern_door_take(struct hr_kern *k, const struct hr_door_key *key, struct hr_door *out);
/* A client of door A whose FIN has come: true when it is closed, and waits for no answer. False: it
 * only half-closed; HR_EV_DOOR_CLOSED (slot: `worker`) comes when it closes. */
bool hr_kern_door_closed(struct hr_kern *k, uint64_t cookie, uint32_t worker);
int hr_kern_conn_get(struct hr_kern *k, uint64_t cookie, struct hr_conn *out);
/* Bytes in C's receive queue (sk_rmem_alloc), -ENOENT when it is gone. */
int64_t hr_kern_conn_queued(struct hr_kern *k, uint64_t cookie);
/* Bytes that may be injected into it now, likewise. */
int64_t hr_kern_conn_room(struct hr_kern *k, uint64_t cookie);
/* True when no byte of another's answer is on its way to C any more (trap 26): nothing owed by its
 * endpoint or U, no U of it in RELAY, and the psock's backlog is empty. For HR_G_WAIT_NATIVE. */
bool hr_kern_conn_quiet(struct hr_kern *k, uint64_t cookie);
/* True when what U has delivered so far is in C's receive queue: before the rest of a moved answer
 * is relayed (hr_u.left is not 0). */
bool hr_kern_conn_drained(struct hr_kern *k, uint64_t cookie);
/* The agent answers in place of E or U: what C sends meanwhile is bound and waits. HR_EV_TAKEN
 * comes with it set; cleared when the answer is in C's receive queue. */
int hr_kern_conn_owes(struct hr_kern *k, uint64_t cookie, bool owes);
/* While it is set: the head of the request. Its length, -ENOENT when C is gone, -ENODATA. */
int64_t hr_kern_conn_head(struct hr_kern *k, uint64_t cookie, char out[static HR_KHEAD_MAX]);
/* And the answer that was kept back (hr_event.bytes of it). 0 or -errno. */
int hr_kern_conn_held(struct hr_kern *k, uint64_t cookie, char out[static HR_KRESP_MAX]);
/* Never native again. */
int hr_kern_conn_kill(struct hr_kern *k, uint64_t cookie);
/* Ends C's connection both ways (an answer that was cut short): pidfd_getfd and shutdown. */
int hr_kern_conn_shutdown(struct hr_kern *k, uint64_t cookie);
/* Wakes a client that waits for EPOLLOUT (DESIGN "Wake-up"): pidfd_getfd and TCP_NOTSENT_LOWAT. */
int hr_kern_conn_wake(struct hr_kern *k, uint64_t cookie);
/* Looks at some connections, at others the next time, and wakes senders that nothing else would:
 * they were refused memory, not room. Main thread, once a second. */
void hr_kern_wake_stalled(struct hr_kern *k);

/* ---- requests to be mirrored: read by one thread, any ---- */
struct hr_copies;
typedef void (*hr_copy_fn)(void *ctx, const struct hr_copy *copy, const char *head);
/* 0 or -errno. It must be freed before `k` is. */
int hr_copies_new(struct hr_kern *k, hr_copy_fn fn, void *ctx, struct hr_copies **out);
void hr_copies_free(struct hr_copies *c);
/* For epoll, edge-triggered: a record came after a look that had found nothing. */
int hr_copies_fd(const struct hr_copies *c);
/* Calls fn for each record that is there, at most `most`; gives how many. */
unsigned hr_copies_take(struct hr_copies *c, unsigned most);

/* ---- events and counters ---- */
int hr_kern_event_fd(const struct hr_kern *k); /* for epoll */
int hr_kern_poll(struct hr_kern *k);	       /* drains events, runs deferred deletions */
int hr_kern_route_stats(struct hr_kern *k, uint32_t route_id, struct hr_stats *out);
int hr_kern_ep_stats(struct hr_kern *k, uint32_t ep_id, struct hr_stats *out);
int hr_kern_why(struct hr_kern *k, uint64_t out[static HR_WHY_MAX]);
/* Bytes in long receive queues of pairs, see HR_PAIR_NODE_MAX. */
uint64_t hr_kern_pairs_unread(struct hr_kern *k);
int hr_kern_pairs(struct hr_kern *k, uint64_t out[static HR_PAIR_COUNTS]);
uint64_t hr_kern_events_lost(struct hr_kern *k);
/* Any thread. */
void hr_kern_mishap(struct hr_kern *k, enum hr_mishap m);
void hr_kern_mishaps(struct hr_kern *k, uint64_t out[static HR_MISHAP_MAX]);
/* Entries in use per table, for status and leak tests: name, used, size. */
int hr_kern_tables(struct hr_kern *k,
		   void (*row)(void *ctx, const char *name, uint64_t used, uint64_t size),
		   void *ctx);
