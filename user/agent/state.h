/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the room: the state of the running agent, and who does what with it. Main thread. */
#pragma once

#include <signal.h>

#include "agent/agent.h"
#include "agent/workloads.h"
#include "control/control.h"
#include "core/loop.h"
#include "dns/dns.h"
#include "health/outlier.h"
#include "observe/access.h"
#include "observe/ledger.h"
#include "observe/meters.h"
#include "observe/scrape.h"
#include "plan/compile/ids.h"
#include "proxy/proxy.h"
#include "source/source.h"
#include "splitter/splitter.h"

struct hr_agent {
	struct hr_agent_opts o;
	struct hr_loop *loop;
	struct hr_kern *kern;
	struct hr_proxy *proxy;
	struct hr_live live; /* the same two, for meters */
	struct hr_dns *dns;
	struct hr_ids *ids;
	struct hr_store *store;
	struct hr_dirwatch *watch;
	struct hr_control *control;
	struct hr_scrape *scrape;
	struct hr_access_log *access;
	struct hr_workloads *workloads;
	struct hr_netns_table *netns;
	struct hr_outliers *outliers;
	struct hr_ledger *ledger;
	struct hr_timer outlier_tick, warm_tick;
	struct hr_list watchers;

	/* configuration */
	struct hr_texts files;	    /* those of the plan in effect */
	struct hr_texts stdin_text; /* of "-f -": read once */
	bool reads_stdin;
	const char **watched; /* the paths that are not "-" */
	size_t n_watched;
	const struct hr_plan *plan;   /* in effect; owned by the proxy once published */
	uint64_t generation, trimmed; /* generation after which memory was given back */
	bool none_seen;		      /* the kernel has no row of seen.c */
	uint64_t changed_at;	      /* last change of endpoints, ms of the loop */
	uint64_t digest;	      /* of the texts that were read last, good or bad */
	char *last_error;	      /* NULL: none */
	uint64_t config_errors;

	/* life */
	int signal_fd;
	sigset_t old_mask;
	struct hr_watch *signal_watch, *kern_watch;
	struct hr_timer tick;
	uint64_t ticks, drain_until, release_until;
	time_t started;
	bool ready, killed /* kill switch */, draining, released;
};

/* ---- reload.c ---- */

/*
 * Makes what `files` and the store (with n `changes` tried on top) say the plan in effect, and
 * the changes part of the store; or leaves everything as it is: then `diags` or `why` say why
 * not. `dry`: stops before anything changes. 0 or -errno.
 */
int agent_load(struct hr_agent *a, const struct hr_texts *files,
	       const struct hr_store_entry *changes, size_t n, bool dry, unsigned flags,
	       struct hr_diags *diags, struct hr_strbuf *why);
/* Reads the files for the first time and tries them, without effect. -errno: findings in *err. */
int agent_first_read(struct hr_agent *a, struct hr_strbuf *err);
/* Then makes them the plan in effect. */
int agent_first_load(struct hr_agent *a, struct hr_strbuf *err);
/* After a change of files, SIGHUP (force: also when no byte changed): says in the log, in
 * last_error and in the metric what came of it. */
void agent_reload(struct hr_agent *a, bool force);
/* The first error of a list as one line, and how many more there are. */
void agent_first_error(const struct hr_diags *diags, struct hr_strbuf *out);

/* The plan in effect made anew of the same objects: what changes of weights and of endpoints took
 * of its memory is free again. */
void agent_rebuild(struct hr_agent *a);
/* Lines of a difference of plans, into the log. Changes the text. */
void agent_log_changes(struct hr_strbuf *diff);
/* For hr_proxy_publish. */
void agent_release_plan(const struct hr_plan *plan);

/* ---- change.c ---- */

/* Changes of applied objects that only say who the endpoints of services are, without a new plan.
 * 0: in effect, not on disk yet. -EOPNOTSUPP: agent_load has it, and nothing was changed. */
int agent_change(struct hr_agent *a, const struct hr_store_entry *changes, size_t n);
/* The same of the files, which are now `t`. */
int agent_change_files(struct hr_agent *a, const struct hr_texts *t);
/* Now and then: gives back what changes left behind. */
void agent_change_tick(struct hr_agent *a);

/* ---- reweigh.c ---- */

/* `e` is an applied VirtualService with other weights in one rule, and nothing else different.
 * 0: in effect (since *written_us, CLOCK_MONOTONIC) and on disk. -EOPNOTSUPP: not to be had without
 * a new plan, nothing was changed (agent_load can). Else -errno and a sentence. */
int agent_reweigh(struct hr_agent *a, const struct hr_store_entry *e,
		  const struct hr_canary_rule *rule, uint64_t *written_us, struct hr_strbuf *why);

/* ---- meters of this moment; strings live until the next reload ---- */
void agent_meters(struct hr_agent *a, struct hr_arena *arena, struct hr_meters *m);
/* Before a plan or a workload goes, and after it has. */
void agent_ledger_sweep(struct hr_agent *a);

/* ---- ops.c and its parts ---- */
json_t *agent_op(void *ctx, const char *op, const json_t *req, const struct hr_control_peer *peer,
		 const char **code, struct hr_strbuf *why);
typedef json_t *agent_op_fn(struct hr_agent *a, const json_t *req,
			    const struct hr_control_peer *peer, const char **code,
			    struct hr_strbuf *why);
agent_op_fn agent_op_apply, agent_op_get, agent_op_list, agent_op_delete; /* ops_objects.c */
agent_op_fn agent_op_canary_create, agent_op_canary_weights, agent_op_canary_promote,
	agent_op_canary_rollback, agent_op_breaker_enable,
	agent_op_breaker_disable;				 /* ops_split.c */
agent_op_fn agent_op_canary_status, agent_op_breaker_status;	 /* ops_split_status.c */
agent_op_fn agent_op_explain;					 /* ops_explain.c */
agent_op_fn agent_op_attach, agent_op_detach, agent_op_datapath; /* ops_capture.c */
/* Refuses: *code = c, the sentence in `why`, NULL. */
json_t *agent_refuse(const char **code, const char *c, struct hr_strbuf *why, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* File of `run -f` that defines the object (kind, ns, name), NULL when none does. */
const char *agent_file_of(const struct hr_agent *a, const struct hr_store_entry *e);
/* The errors of a list, a line each. */
void agent_all_errors(const struct hr_diags *diags, struct hr_strbuf *why);
/* The VirtualService or DestinationRule of a service: the one of its name, else the first of the
 * namespace that is for its host. NULL. */
const struct hr_meta *agent_object_for(const struct hr_agent *a, enum hr_kind kind, const char *ns,
				       const char *service);

/* ---- watch.c: clients that are told what happens ---- */
agent_op_fn agent_op_watch;
/* For hr_control_opts.gone. */
void agent_watch_gone(void *agent, struct hr_control_client *client);
/* What is different in `to`: for agent_watch_tell. NULL when nobody watches, or nothing is. */
json_t *agent_watch_changes(const struct hr_agent *a, const struct hr_objects *from,
			    const struct hr_objects *to);
/* One object more for such a list: as it was and as it is, NULL where it is not there. */
void agent_watch_add(json_t *out, const struct hr_meta *was, const struct hr_meta *now);
/* The same of one object that was modified. */
json_t *agent_watch_one(const struct hr_meta *m);
/* Tells it; `changes` (may be NULL) is stolen. */
void agent_watch_tell(struct hr_agent *a, json_t *changes);

/* ---- capture.c: workloads to the kernel ---- */
int agent_enrol(struct hr_agent *a, struct hr_workload_row *row, struct hr_strbuf *why);
/* Puts the processes of an own cgroup back and removes it. */
void agent_release(struct hr_agent *a, struct hr_workload_row *row);
/* Enrols again what an agent before us had (it was killed); removes what is empty. */
void agent_adopt_workloads(struct hr_agent *a);
void agent_save_workloads(struct hr_agent *a);
/* Own cgroups whose last process went. */
void agent_reap_workloads(struct hr_agent *a);
void agent_release_all(struct hr_agent *a);
/* After a change of the plan: annotations of Pods, for those of their workloads. */
void agent_pods_say(struct hr_agent *a);
/* Row of a cgroup or of the nearest one above it; `path` is cut in the search. NULL. */
struct hr_workload_row *agent_workload_above(struct hr_agent *a, char *path);

/* ---- outlier.c: endpoints that fail are taken out of use ---- */
void agent_outliers_new(struct hr_agent *a);
/* For hr_proxy_opts.outlier: any thread. */
void agent_outlier_told(void *agent, uint32_t ep, enum hr_outlier_kind kind);
void agent_outlier_event(struct hr_agent *a, const struct hr_event *ev);
void agent_outliers_plan(struct hr_agent *a);
/* seen.c: after a change of the plan or of a workload. */
void agent_seen(struct hr_agent *a);
void agent_outliers_change(struct hr_agent *a, const struct hr_plan_changes *what);
void agent_outliers_free(struct hr_agent *a);

/* ---- netns.c: namespaces whose connections the proxy serves ---- */
struct hr_netns_table;
struct hr_netns_table *agent_netns_new(void);
void agent_netns_free(struct hr_netns_table *t);
/* For HR_WL_K8S_NS_SHIFT; from 1, 0 when there are too many. */
uint32_t agent_k8s_ns_number(struct hr_netns_table *t, const char *k8s_ns);
/* For hr_dns_opts.open_socket. */
int agent_dns_socket(void *ctx, void *netns, int family, int type);
/* Opens doors in the namespace of a process; `k8s_ns` (may be NULL): where short names are looked
 * for first. Idempotent. */
int agent_serve_pid(struct hr_agent *a, int pid, const char *k8s_ns, struct hr_strbuf *why);
/* The same for a namespace that the kernel saw for the first time, of which it waits to hear. */
void agent_serve_event(struct hr_agent *a, const struct hr_event *ev);
/* Forgets the namespaces in which no enrolled process was seen for a while. */
void agent_netns_sweep(struct hr_agent *a);
