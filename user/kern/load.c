// SPDX-License-Identifier: Apache-2.0
/* From nothing to programs in the kernel, and back. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "kern/capture.h"
#include "kern/internal.h"
#include "kern/pins.h"
#include "kern/takeover.h"

#define DEFAULT_PIN_DIR "/sys/fs/bpf/headrace"
/* Memory that the per-CPU counters of endpoints may take, bytes: many CPUs get fewer rows. */
#define EP_STATS_BYTES (128ULL << 20)

/* libbpf has one printer for the whole process, without context. */
static bool verbose;
static char last_warning[256];

static int on_libbpf_line(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	if (verbose)
		return level == LIBBPF_DEBUG ? 0 : vfprintf(stderr, fmt, ap);
	/* the first warning names the program or the map; what follows is a log dump */
	if (level == LIBBPF_WARN && !last_warning[0]) {
		vsnprintf(last_warning, sizeof(last_warning), fmt, ap);
		last_warning[strcspn(last_warning, "\n")] = '\0';
	}
	return 0;
}

/* ---- programs ------------------------------------------------------------------------------- */

/* The agent path needs connect() and who connected; older kernels may refuse all else. */
static bool needed_by_agent_path(const struct bpf_program *p)
{
	switch (bpf_program__type(p)) {
	case BPF_PROG_TYPE_CGROUP_SOCK_ADDR:
	case BPF_PROG_TYPE_CGROUP_SOCK:
	case BPF_PROG_TYPE_SOCK_OPS:
	case BPF_PROG_TYPE_SYSCALL:
		return true;
	default:
		return false;
	}
}

static int attach_to_sockmaps(struct hr_kern *k, struct hr_strbuf *err)
{
	const struct {
		struct bpf_program *prog;
		struct bpf_map *map;
		enum bpf_attach_type type;
	} at[] = {
		{k->skel->progs.route, k->skel->maps.cl_hash, BPF_SK_MSG_VERDICT},
		{k->skel->progs.reply_c, k->skel->maps.cl_hash, BPF_SK_SKB_STREAM_VERDICT},
		{k->skel->progs.reply_u, k->skel->maps.u_map, BPF_SK_SKB_STREAM_VERDICT},
		{k->skel->progs.inject, k->skel->maps.p_map, BPF_SK_MSG_VERDICT},
		{k->skel->progs.serve, k->skel->maps.s_hash, BPF_SK_MSG_VERDICT},
		{k->skel->progs.serve_in, k->skel->maps.s_hash, BPF_SK_SKB_STREAM_VERDICT},
	};

	if (k->status.mode != HR_DATAPATH_KERNEL)
		return 0;
	for (size_t i = 0; i < HR_ARRAY_SIZE(at); i++) {
		if (!bpf_prog_attach(bpf_program__fd(at[i].prog), bpf_map__fd(at[i].map),
				     at[i].type, 0))
			continue;
		int e = -errno;

		hr_sb_printf(err, "the program %s cannot be attached to %s: %s",
			     bpf_program__name(at[i].prog), bpf_map__name(at[i].map), strerror(-e));
		return e;
	}
	return 0;
}

/* ---- load ----------------------------------------------------------------------------------- */

static int set_pin_paths(struct hr_kern *k)
{
	char path[PATH_MAX + 64];
	struct bpf_map *m;

	snprintf(path, sizeof(path), "%s/maps", k->pin_dir);
	if (mkdir(path, 0700) && errno != EEXIST)
		return -errno;
	bpf_object__for_each_map(m, k->skel->obj)
	{
		const char *name = bpf_map__name(m);

		/* variables are state as any table is; .rodata belongs to one load of the programs
		 */
		if (m == k->skel->maps.bss)
			name = "bss";
		else if (bpf_map__is_internal(m))
			continue;
		snprintf(path, sizeof(path), "%s/maps/%s", k->pin_dir, name);
		if (bpf_map__set_pin_path(m, path))
			return -errno;
	}
	return 0;
}

/* Whoever takes the data path down has to look at connections: also when we are dead by then. */
static int pin_programs(struct hr_kern *k, struct hr_strbuf *err)
{
	const struct bpf_program *pin[] = {k->skel->progs.peek_conn, k->skel->progs.peek_retire};
	char path[PATH_MAX + 64];
	int e = 0;

	snprintf(path, sizeof(path), "%s/progs", k->pin_dir);
	if (mkdir(path, 0700) && errno != EEXIST)
		e = -errno;
	for (size_t i = 0; !e && i < HR_ARRAY_SIZE(pin); i++) {
		snprintf(path, sizeof(path), "%s/progs/%s", k->pin_dir, bpf_program__name(pin[i]));
		unlink(path);
		if (bpf_obj_pin(bpf_program__fd(pin[i]), path))
			e = -errno;
	}
	if (e)
		hr_sb_printf(err, "cannot pin to %s: %s", path, strerror(-e));
	return e;
}

static void size_counters(struct hr_kern *k)
{
	uint64_t row = sizeof(struct hr_stats) * (uint64_t)libbpf_num_possible_cpus();
	uint64_t n = HR_MIN(EP_STATS_BYTES / row, (uint64_t)HR_EPS_MAX);

	bpf_map__set_max_entries(k->skel->maps.ep_stats, (__u32)n);
	row = sizeof(struct hr_meter) * (uint64_t)libbpf_num_possible_cpus();
	n = HR_MIN(HR_METERS_BYTES / row, (uint64_t)HR_METERS_MAX);
	bpf_map__set_max_entries(k->skel->maps.meters, (__u32)n);
}

static int load_once(struct hr_kern *k)
{
	struct bpf_program *p;
	int e;

	last_warning[0] = '\0';
	k->skel = headrace_bpf__open();
	if (!k->skel)
		return -errno;
	if (k->status.mode == HR_DATAPATH_AGENT)
		bpf_object__for_each_program(p, k->skel->obj)
			bpf_program__set_autoload(p, needed_by_agent_path(p));
	size_counters(k);
	e = set_pin_paths(k);
	if (!e)
		e = headrace_bpf__load(k->skel);
	if (e) {
		headrace_bpf__destroy(k->skel);
		k->skel = NULL;
	}
	return e;
}

/* Pins of another version do not fit our tables: they go, and we start fresh. */
static int load(struct hr_kern *k, struct hr_strbuf *err)
{
	int e;

	k->adopted = kern_pins_fit(k->pin_dir) && k->status.mode == HR_DATAPATH_KERNEL;
	if (!k->adopted)
		kern_evict(k->pin_dir, NULL);
	e = load_once(k);
	if (e && k->adopted) {
		k->adopted = false;
		kern_evict(k->pin_dir, NULL);
		e = load_once(k);
	}
	if (e) {
		kern_evict(k->pin_dir, NULL);
		hr_sb_printf(err, "the kernel refuses the programs: %s (-v shows why)",
			     last_warning[0] ? last_warning : strerror(-e));
	}
	return e;
}

/* ---- which data path ------------------------------------------------------------------------ */

__attribute__((format(printf, 3, 4))) static void decide(struct hr_kern *k, enum hr_datapath mode,
							 const char *why, ...)
{
	va_list ap;

	va_start(ap, why);
	k->status.mode = mode;
	vsnprintf(k->status.why, sizeof(k->status.why), why, ap);
	va_end(ap);
}

static const struct hr_kern_feature *first_failure(const struct hr_selftest *t)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->rows[i].required && !t->rows[i].ok)
			return &t->rows[i];
	return NULL;
}

#define SAME_NODE_ROWS "same-node"

/* Trials of its own decide whether bytes may skip TCP where both ends are here. */
static void choose_same_node(struct hr_kern *k)
{
	const struct hr_selftest *t = &k->selftest;
	struct hr_kern_status *st = &k->status;

	st->same_node = st->mode == HR_DATAPATH_KERNEL;
	snprintf(st->same_node_why, sizeof(st->same_node_why), "%s",
		 st->same_node ? "the self-test passed" : "there is no kernel path");
	for (size_t i = 0; st->same_node && i < t->n; i++) {
		const struct hr_kern_feature *f = &t->rows[i];

		if (f->ok || strncmp(f->name, SAME_NODE_ROWS, strlen(SAME_NODE_ROWS)))
			continue;
		st->same_node = false;
		snprintf(st->same_node_why, sizeof(st->same_node_why),
			 "the self-test failed: %s: %s", f->name, f->detail);
		hr_warn("same node: connections on one node use TCP: %s", st->same_node_why);
	}
	k->same_node_works = st->same_node;
}

static int choose_datapath(struct hr_kern *k, struct hr_strbuf *err)
{
	const struct hr_kern_feature *bad;

	if (k->opts.requested == HR_DATAPATH_AGENT) {
		decide(k, HR_DATAPATH_AGENT, "asked for by --datapath=agent");
		return 0;
	}
	hr_selftest_run(&k->selftest);
	k->status.features = k->selftest.rows;
	k->status.n_features = k->selftest.n;
	bad = first_failure(&k->selftest);
	if (!bad) {
		decide(k, HR_DATAPATH_KERNEL, "the self-test passed");
		return 0;
	}
	if (k->opts.requested == HR_DATAPATH_KERNEL) {
		hr_sb_printf(err, "--datapath=kernel, but the self-test failed: %s: %s", bad->name,
			     bad->detail);
		return -ENOTSUP;
	}
	decide(k, HR_DATAPATH_AGENT, "the self-test failed: %s: %s", bad->name, bad->detail);
	return 0;
}

static int load_best(struct hr_kern *k, struct hr_strbuf *err)
{
	_cleanup_sb_ struct hr_strbuf first = {};
	int e = load(k, &first);

	if (e && k->status.mode == HR_DATAPATH_KERNEL && k->opts.requested == HR_DATAPATH_AUTO) {
		decide(k, HR_DATAPATH_AGENT, "%s", hr_sb_str(&first));
		return load(k, err);
	}
	if (e)
		hr_sb_add(err, hr_sb_str(&first));
	return e;
}

/* ---- open, close ---------------------------------------------------------------------------- */

static int lock(struct hr_kern *k, struct hr_strbuf *err)
{
	long pid = 0;
	int e = kern_make_pin_dir(k->pin_dir, err);

	if (e)
		return e;
	e = kern_lock(k->pin_dir, &k->lock_fd, &pid);
	if (e == -EBUSY && pid)
		hr_sb_printf(err, "another headrace runs, pid %ld", pid);
	else if (e == -EBUSY)
		hr_sb_printf(err, "another headrace holds %s", k->pin_dir);
	else if (e)
		hr_sb_printf(err, "cannot lock %s: %s", k->pin_dir, strerror(-e));
	return e;
}

static int on_ring(void *ctx, void *data, size_t len)
{
	struct hr_kern *k = ctx;

	if (len >= sizeof(struct hr_event) && k->opts.on_event && !k->muted)
		k->opts.on_event(k->opts.ctx, data);
	return 0;
}

/* Of one look at most: this ring is filled by traffic, and other events wait meanwhile. */
#define TRAFFIC_AT_ONCE 256

static int on_access_ring(void *ctx, void *data, size_t len)
{
	struct hr_kern *k = ctx;

	if (len >= sizeof(struct hr_access_event) && k->opts.on_access && !k->muted)
		k->opts.on_access(k->opts.ctx, data);
	return ++k->access_seen % TRAFFIC_AT_ONCE ? 0 : -EAGAIN;
}

static int open_rings(struct hr_kern *k, struct hr_strbuf *err)
{
	int e = 0;

	k->ring = ring_buffer__new(KERN_MAP_FD(k, events), on_ring, k, NULL);
	if (!k->ring)
		e = -errno;
	else
		e = ring_buffer__add(k->ring, KERN_MAP_FD(k, access_events), on_access_ring, k);
	if (e)
		hr_sb_printf(err, "the event rings cannot be read: %s", strerror(-e));
	return e;
}

/* Everything after the load, in an order that never shows traffic a half-made state. */
static int start(struct hr_kern *k, struct hr_strbuf *err)
{
	int e = kern_map_shared(k, err);
	struct hr_config before = {};
	__u32 zero = 0;

	if (!e)
		e = open_rings(k, err);
	if (!e)
		e = pin_programs(k, err);
	if (!e)
		e = attach_to_sockmaps(k, err);
	if (e)
		return e;
	e = kern_apply_init(k);
	if (e)
		return e;
	choose_same_node(k);
	if (bpf_map_lookup_elem(KERN_MAP_FD(k, config), &zero, &before))
		return -errno;
	k->config = (struct hr_config){
		.epoch = before.epoch,
		.abi = HR_ABI_VERSION,
		.agent_only = k->status.mode == HR_DATAPATH_AGENT,
		.flags = HR_CFG_ANSWER_LOST | (k->status.same_node ? HR_CFG_SAME_NODE : 0) |
			 (k->status.mode == HR_DATAPATH_AGENT ? HR_CFG_DOOR_ONLY : 0),
	};
	k->skel->bss->pair_node_max = HR_PAIR_NODE_MAX;
	if (k->adopted)
		kern_take_over(k);
	e = kern_write_config(k);
	if (e)
		hr_sb_printf(err, "the table config cannot be written: %s", strerror(-e));
	return e;
}

int hr_kern_open(struct hr_kern **out, const struct hr_kern_opts *opts, struct hr_strbuf *err)
{
	struct hr_kern *k = calloc(1, sizeof(*k));
	struct utsname uts;
	int e;

	if (!k)
		return -ENOMEM;
	k->opts = *opts;
	k->lock_fd = -1;
	snprintf(k->pin_dir, sizeof(k->pin_dir), "%s",
		 opts->pin_dir ? opts->pin_dir : DEFAULT_PIN_DIR);
	k->opts.pin_dir = k->pin_dir;
	k->status.requested = opts->requested;
	if (!uname(&uts))
		snprintf(k->status.release, sizeof(k->status.release), "%s", uts.release);
	verbose = opts->verbose;
	libbpf_set_print(on_libbpf_line);

	e = kern_check_host(err);
	if (!e)
		e = lock(k, err);
	if (!e)
		e = choose_datapath(k, err);
	if (!e)
		e = load_best(k, err);
	if (!e)
		e = start(k, err);
	if (e) {
		hr_kern_close(k);
		return e;
	}
	*out = k;
	return 0;
}

void hr_kern_close(struct hr_kern *k)
{
	if (!k)
		return;
	if (k->skel) {
		kern_detach_all(k);
		kern_evict(k->pin_dir, NULL);
	}
	ring_buffer__free(k->ring);
	if (k->skel)
		kern_unmap_shared(k);
	kern_apply_free(k);
	headrace_bpf__destroy(k->skel);
	if (k->lock_fd >= 0) {
		rmdir(k->pin_dir); /* stays when it holds what another agent left */
		close(k->lock_fd);
	}
	free(k);
}

const struct hr_kern_status *hr_kern_status(const struct hr_kern *k)
{
	return &k->status;
}

int kern_write_config(struct hr_kern *k)
{
	__u32 zero = 0;

	k->config.epoch++;
	return bpf_map_update_elem(KERN_MAP_FD(k, config), &zero, &k->config, BPF_ANY);
}

int hr_kern_set_access_log(struct hr_kern *k, uint32_t every)
{
	k->config.access_log = every;
	return kern_write_config(k);
}

int hr_kern_set_agent_only(struct hr_kern *k, bool on)
{
	__u32 before = k->config.agent_only;
	int e;

	k->config.agent_only = on || k->status.mode == HR_DATAPATH_AGENT;
	e = kern_write_config(k);
	if (e)
		k->config.agent_only = before;
	return e;
}

int hr_kern_set_same_node(struct hr_kern *k, bool on)
{
	__u32 before = k->config.flags;
	int e;

	if (on && !k->same_node_works)
		return -ENOTSUP;
	k->config.flags = (before & ~(__u32)HR_CFG_SAME_NODE) | (on ? HR_CFG_SAME_NODE : 0);
	e = kern_write_config(k);
	if (e) {
		k->config.flags = before;
		return e;
	}
	k->status.same_node = on;
	snprintf(k->status.same_node_why, sizeof(k->status.same_node_why), "%s",
		 on ? "the self-test passed" : "switched off by `headrace datapath`");
	return 0;
}
