// SPDX-License-Identifier: Apache-2.0
/*
 * The agent's life: what is opened in which order, what the main loop reacts to, and how all of it
 * goes away again. What can be refused without touching the system is done first.
 */
#include "agent/agent.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

#include "agent/cgroup.h"
#include "agent/notify.h"
#include "agent/state.h"
#include "core/cleanup.h"
#include "core/log.h"

#define TICK_MS 1000
#define SWEEP_TICKS 15
#define DRAIN_LOOK_MS 20

static const char *mode_name(const struct hr_agent *a)
{
	return hr_kern_status(a->kern)->mode == HR_DATAPATH_KERNEL ? "kernel" : "agent";
}

/* ---- events -------------------------------------------------------------------------------- */

static void on_kern_event(void *ctx, const struct hr_event *ev)
{
	struct hr_agent *a = ctx;

	if (ev->kind == HR_EV_NETNS)
		agent_serve_event(a, ev);
	else if (ev->kind == HR_EV_OUTLIER)
		agent_outlier_event(a, ev);
	else
		hr_proxy_event(a->proxy, ev);
}

static void on_kern_access(void *ctx, const struct hr_access_event *ev)
{
	struct hr_agent *a = ctx;

	if (a->access && a->plan)
		hr_access_kernel(a->access, a->plan, ev);
}

static void on_kern(void *ctx, uint32_t events)
{
	struct hr_agent *a = ctx;

	(void)events;
	hr_kern_poll(a->kern);
}

static void on_tick(void *ctx)
{
	struct hr_agent *a = ctx;

	hr_timer_start(a->loop, &a->tick, TICK_MS, on_tick, a);
	hr_kern_poll(a->kern);
	hr_proxy_tick(a->proxy);
	agent_reap_workloads(a);
	/* the plan before this one is gone by now: its memory is somebody else's */
	agent_change_tick(a);
	if (a->trimmed != a->generation && a->ticks % 2) {
		malloc_trim(0);
		a->trimmed = a->generation;
	}
	if (++a->ticks % SWEEP_TICKS == 0)
		agent_netns_sweep(a);
}

static void on_files(void *ctx)
{
	struct hr_agent *a = ctx;

	if (!a->draining)
		agent_reload(a, false);
}

/* Connections of the kernel path first: they need the pools until they are ordinary TCP. Then the
 * proxy's own. */
static bool drained(struct hr_agent *a)
{
	if (!a->released) {
		if (!hr_kern_released(a->kern) && hr_loop_now(a->loop) < a->release_until)
			return false;
		a->released = true;
		hr_proxy_drain(a->proxy);
	}
	return hr_proxy_idle(a->proxy);
}

static void on_drain_tick(void *ctx)
{
	struct hr_agent *a = ctx;
	bool idle = drained(a);

	hr_kern_poll(a->kern);
	hr_proxy_tick(a->proxy);
	if (!idle && hr_loop_now(a->loop) < a->drain_until) {
		hr_timer_start(a->loop, &a->tick, DRAIN_LOOK_MS, on_drain_tick, a);
		return;
	}
	if (!idle)
		hr_warn("still open requests after %u s: closed", a->o.drain_s);
	hr_loop_stop(a->loop);
}

/* New connections go where they would go without us; open ones are finished. */
static void begin_drain(struct hr_agent *a)
{
	if (a->draining) { /* asked twice: now */
		hr_loop_stop(a->loop);
		return;
	}
	hr_info("stopping: open requests are finished, at most %u s", a->o.drain_s);
	agent_notify("STOPPING=1");
	a->draining = true;
	a->ready = false;
	agent_release_all(a);
	hr_proxy_goaway(
		a->proxy); /* else those would be waited for: they do not end by themselves */
	agent_save_workloads(a);
	a->drain_until = hr_loop_now(a->loop) + a->o.drain_s * 1000ull;
	a->release_until = hr_loop_now(a->loop) + a->o.drain_s * 500ull;
	on_drain_tick(a);
}

static void reread(struct hr_agent *a)
{
	agent_notify("RELOADING=1");
	agent_reload(a, true);
	if (a->access)
		hr_access_reopen(a->access);
	agent_notify("READY=1");
}

static void on_signal(void *ctx, uint32_t events)
{
	struct hr_agent *a = ctx;
	struct signalfd_siginfo si;

	(void)events;
	while (read(a->signal_fd, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo != SIGHUP)
			begin_drain(a);
		else if (!a->draining)
			reread(a);
	}
}

/* ---- metrics and meters -------------------------------------------------------------------- */

static void list_workloads(struct hr_agent *a, struct hr_arena *arena, bool count,
			   struct hr_meters *m)
{
	m->workloads.data = hr_arena_array(arena, struct hr_meters_workload, a->workloads->n + 1);
	hr_list_for_each (n, &a->workloads->rows) {
		struct hr_workload_row *row = hr_list_entry(n, struct hr_workload_row, node);
		ssize_t procs = count ? agent_cgroup_pids(row->cgroup, NULL, NULL) : 0;

		m->workloads.data[m->workloads.len++] = (struct hr_meters_workload){
			.id = row->id,
			.ns = row->ns,
			.name = row->name,
			.cgroup = row->cgroup,
			.labels = &row->labels,
			.processes = procs > 0 ? (size_t)procs : 0,
			.agent_only = row->flags & HR_WL_AGENT,
			.same_node_off = row->pod_off || (row->flags & HR_WL_SAME_NODE_OFF),
		};
	}
}

void agent_meters(struct hr_agent *a, struct hr_arena *arena, struct hr_meters *m)
{
	*m = (struct hr_meters){
		.plan = a->plan,
		.ready = a->ready,
		.started = a->started,
		.last_error = a->last_error,
		.config_errors = a->config_errors,
		.kern = hr_kern_status(a->kern),
		.killed = a->killed,
		.outliers = a->outliers,
	};
	m->access_dropped =
		a->access ? hr_access_dropped(a->access) + hr_kern_access_lost(a->kern) : 0;
	m->mode = a->killed ? HR_DATAPATH_AGENT : m->kern->mode;
	m->ledger = a->ledger;
	list_workloads(a, arena, true, m);
	hr_meters_live(m, &a->live);
}

void agent_ledger_sweep(struct hr_agent *a)
{
	_cleanup_arena_ struct hr_arena *arena = hr_arena_new();
	struct hr_meters m = {.plan = a->plan};

	if (!a->live.kern || !a->live.proxy)
		return;
	list_workloads(a, arena, false, &m);
	hr_meters_rows(&m, &a->live);
	hr_ledger_sweep(a->ledger, &m);
}

static int on_scrape(void *ctx, struct hr_slice path, struct hr_strbuf *body, const char **type)
{
	_cleanup_arena_ struct hr_arena *arena = hr_arena_new();
	struct hr_agent *a = ctx;
	struct hr_meters m;

	if (hr_slice_eq(path, HR_SLICE("/healthz"))) {
		hr_sb_add(body, a->ready ? "ok\n" : "not ready\n");
		return a->ready ? 200 : 503;
	}
	if (hr_slice_eq(path, HR_SLICE("/"))) {
		hr_sb_add(body, "headrace " HR_VERSION "\n/stats/prometheus\n/healthz\n");
		return 200;
	}
	if (!hr_slice_eq(path, HR_SLICE("/stats/prometheus")) &&
	    !hr_slice_eq(path, HR_SLICE("/metrics")))
		return 404;
	agent_meters(a, arena, &m);
	hr_metrics_text(&m, body);
	*type = "text/plain; version=0.0.4; charset=utf-8";
	return 200;
}

/* ---- start --------------------------------------------------------------------------------- */

static int open_loop(struct hr_agent *a)
{
	struct rlimit files;
	sigset_t mask;
	int r;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	/* before any thread exists: all of them inherit it */
	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGHUP);
	sigprocmask(SIG_BLOCK, &mask, &a->old_mask);
	a->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	r = a->signal_fd < 0 ? -errno : hr_loop_new(&a->loop);
	return r < 0 ? r
		     : hr_watch_add(a->loop, a->signal_fd, EPOLLIN, on_signal, a, &a->signal_watch);
}

static int open_control(struct hr_agent *a, struct hr_strbuf *err)
{
	const struct hr_control_opts opts = {.loop = a->loop,
					     .path = a->o.socket,
					     .handle = agent_op,
					     .gone = agent_watch_gone,
					     .ctx = a};

	return hr_control_new(&a->control, &opts, err);
}

static int open_kern(struct hr_agent *a, struct hr_strbuf *err)
{
	const struct hr_kern_opts opts = {
		.pin_dir = a->o.pin_dir,
		.requested = a->o.datapath,
		.verbose = a->o.verbose,
		.on_event = on_kern_event,
		.on_access = on_kern_access,
		.ctx = a,
	};
	int r = hr_kern_open(&a->kern, &opts, err);

	if (r < 0)
		return r;
	r = hr_kern_keep_ids(a->kern, a->ids);
	if (r < 0) {
		hr_sb_printf(err, "the table ids cannot be used: %s", strerror(-r));
		return r;
	}
	a->live.kern = a->kern;
	return hr_watch_add(a->loop, hr_kern_event_fd(a->kern), EPOLLIN, on_kern, a,
			    &a->kern_watch);
}

static int open_proxy(struct hr_agent *a, struct hr_strbuf *err)
{
	struct hr_proxy_opts opts = {.workers = a->o.workers,
				     .kern = a->kern,
				     .outlier = agent_outlier_told,
				     .outlier_ctx = a};
	int r = 0;

	if (a->o.access_log) {
		r = hr_access_open(&a->access, a->o.access_log, err);
		opts.access = hr_access_write;
		opts.ctx = a->access;
	}
	if (r == 0)
		r = hr_kern_set_access_log(a->kern, a->o.access_every);
	if (r == 0) {
		r = hr_proxy_new(&a->proxy, &opts);
		if (r < 0)
			hr_sb_printf(err, "cannot start the proxy: %s", strerror(-r));
	}
	a->live.proxy = a->proxy;
	if (r == 0)
		agent_outliers_new(a);
	return r;
}

static int open_dns(struct hr_agent *a, struct hr_strbuf *err)
{
	const struct hr_dns_opts opts = {.open_socket = agent_dns_socket, .ctx = a};
	int r = hr_dns_new(&a->dns, a->loop, &opts);

	if (r < 0)
		hr_sb_printf(err, "cannot start the DNS server: %s", strerror(-r));
	a->live.dns = a->dns;
	return r;
}

static int open_metrics(struct hr_agent *a, struct hr_strbuf *err)
{
	_cleanup_sb_ struct hr_strbuf why = {};
	int r = 0;

	if (a->o.metrics)
		r = hr_scrape_new(&a->scrape, a->loop, a->o.metrics, on_scrape, a, &why);
	if (r < 0 && a->o.metrics_required) {
		hr_sb_add(err, hr_sb_str(&why));
		return r;
	}
	if (r < 0)
		hr_warn("%s: no metrics", hr_sb_str(&why));
	return 0;
}

static int open_watch(struct hr_agent *a)
{
	const struct hr_dirwatch_opts opts = {
		.loop = a->loop,
		.paths = a->watched,
		.n = a->n_watched,
		.changed = on_files,
		.ctx = a,
	};

	return a->n_watched ? hr_dirwatch_new(&a->watch, &opts) : 0;
}

static void sort_paths(struct hr_agent *a)
{
	a->watched = calloc(a->o.n_paths + 1, sizeof(char *));
	if (!a->watched)
		abort();
	for (size_t i = 0; i < a->o.n_paths; i++) {
		if (hr_streq(a->o.paths[i], "-"))
			a->reads_stdin = true;
		else
			a->watched[a->n_watched++] = a->o.paths[i];
	}
}

static bool counted(void *ctx, enum hr_id_kind kind, uint32_t id)
{
	struct hr_agent *a = ctx;
	const union hr_inflight *n = kind == HR_ID_EP ? &hr_proxy_ep_rt(a->proxy)[id].inflight
						      : &hr_proxy_cluster_rt(a->proxy)[id].inflight;

	return __atomic_load_n(&n->word, __ATOMIC_RELAXED) != 0;
}

static int start(struct hr_agent *a, struct hr_strbuf *err)
{
	_cleanup_sb_ struct hr_strbuf why = {};
	int r = open_loop(a);

	if (r == 0)
		r = open_control(a, err);
	if (r == 0)
		r = hr_store_open(&a->store, a->o.store_dir, err);
	/* before the kernel side is touched: a killed agent's may still be at work there */
	if (r == 0)
		r = agent_first_read(a, err);
	if (r == 0)
		r = open_kern(a, err);
	if (r == 0)
		r = open_proxy(a, err);
	if (r == 0)
		r = open_dns(a, err);
	if (r == 0)
		hr_ids_set_busy(a->ids, counted, a);
	if (r == 0)
		r = agent_first_load(a, err);
	if (r == 0)
		r = open_metrics(a, err);
	if (r == 0)
		r = open_watch(a);
	if (r < 0)
		return r;
	/* without it only processes of other namespaces are served, and they say so themselves */
	if (agent_serve_pid(a, getpid(), NULL, &why) < 0)
		hr_warn("%s", hr_sb_str(&why));
	agent_adopt_workloads(a);
	return 0;
}

static void say_ready(struct hr_agent *a)
{
	const struct hr_kern_status *st = hr_kern_status(a->kern);

	a->ready = true;
	if (st->mode == HR_DATAPATH_AGENT && st->requested == HR_DATAPATH_AUTO)
		hr_warn("the agent carries all requests, the kernel path is off: %s", st->why);
	printf("headrace %s ready: pid %d, datapath %s (%s), %zu objects, socket %s\n", HR_VERSION,
	       (int)getpid(), mode_name(a), st->why, a->plan->objects->total, a->o.socket);
	fflush(stdout);
	agent_notify("READY=1");
}

/* ---- stop ---------------------------------------------------------------------------------- */

static void finish(struct hr_agent *a)
{
	hr_timer_stop(&a->tick);
	hr_dirwatch_free(a->watch);
	hr_scrape_free(a->scrape);
	if (a->kern)
		agent_release_all(a);
	hr_dns_free(a->dns);
	agent_outliers_free(a);
	if (a->proxy)
		hr_proxy_free(a->proxy);
	hr_watch_del(a->kern_watch);
	if (a->kern)
		hr_kern_close(a->kern);
	hr_access_close(a->access);
	hr_store_free(a->store);
	hr_ids_free(a->ids);
	agent_netns_free(a->netns);
	hr_workloads_free(a->workloads);
	hr_ledger_free(a->ledger);
	/* last: while it is held, no second agent starts into what we are still removing */
	hr_control_free(a->control);
	hr_watch_del(a->signal_watch);
	hr_loop_free(a->loop);
	hr_closep(&a->signal_fd);
	sigprocmask(SIG_SETMASK, &a->old_mask, NULL);
	hr_texts_free(&a->files);
	hr_texts_free(&a->stdin_text);
	free(a->watched);
	free(a->last_error);
}

int hr_agent_run(const struct hr_agent_opts *o, struct hr_strbuf *err)
{
	struct hr_agent a = {.o = *o, .signal_fd = -1, .started = time(NULL)};
	int r;

	hr_list_init(&a.watchers);
	a.ids = hr_ids_new();
	a.workloads = hr_workloads_new();
	a.ledger = hr_ledger_new();
	a.netns = agent_netns_new();
	sort_paths(&a);
	r = start(&a, err);
	if (r == 0) {
		say_ready(&a);
		on_tick(&a); /* at once: the programs rely on an agent that shows that it lives */
		r = hr_loop_run(a.loop);
		a.ready = false;
	}
	if (r < 0 && !err->len)
		hr_sb_printf(err, "cannot start: %s", strerror(-r));
	if ((r == -EACCES || r == -EPERM) && geteuid() != 0)
		hr_sb_add(err, "; the agent needs root, or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON "
			       "and its directories");
	finish(&a);
	if (r == 0)
		hr_info("stopped");
	return r;
}
