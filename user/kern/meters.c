// SPDX-License-Identifier: Apache-2.0
/* Rows of istio_* metrics out of the kernel. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "kern/internal.h"
#include "kern/meters.h"

/* A walk over a table of per-CPU values (or of one value): each row's sum, and its end if it is to
 * go. The next key is read before the current row goes. */
struct walk {
	int fd;
	size_t key_len, words, copies;
	const struct hr_meter_sink *to;
	void (*row)(const struct hr_meter_sink *to, const void *key, const uint64_t *sum);
};

static void visit(const struct walk *w, const void *key, uint64_t *rows)
{
	/* the row of its own is what all these keys begin with */
	const bool take = w->to->take && w->to->take(w->to->ctx, key);
	int e = take ? bpf_map_lookup_and_delete_elem(w->fd, key, rows)
		     : bpf_map_lookup_elem(w->fd, key, rows);

	if (e)
		return;
	for (size_t i = w->words; i < w->copies * w->words; i++)
		rows[i % w->words] += rows[i];
	w->row(w->to, key, rows);
}

static void walk(const struct walk *w)
{
	_cleanup_free_ uint64_t *rows = calloc(w->copies * w->words, sizeof(*rows));
	char key[sizeof(struct hr_odd_key)], next[sizeof(key)];
	bool more = rows && !bpf_map_get_next_key(w->fd, NULL, next);

	/* a table that changes may be begun anew by the kernel: not for ever */
	for (size_t n = 0; more && n < 2 * (HR_METERS_MAX + HR_ODD_CODES_MAX); n++) {
		memcpy(key, next, w->key_len);
		more = !bpf_map_get_next_key(w->fd, key, next);
		visit(w, key, rows);
	}
}

static void meter_row(const struct hr_meter_sink *to, const void *key, const uint64_t *sum)
{
	if (to->meter)
		to->meter(to->ctx, key, (const struct hr_meter *)sum);
}

static void odd_row(const struct hr_meter_sink *to, const void *key, const uint64_t *sum)
{
	if (to->odd)
		to->odd(to->ctx, key, *sum);
}

static void tcp_row(const struct hr_meter_sink *to, const void *key, const uint64_t *sum)
{
	if (to->tcp)
		to->tcp(to->ctx, key, (const struct hr_tcp_meter *)sum);
}

/* Open connections say what they have carried. Without a kernel path there are none. */
static void tally(struct hr_kern *k)
{
	char packet[14 + 8] = {};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet, .data_size_in = sizeof(packet));

	if (k->status.mode == HR_DATAPATH_KERNEL)
		bpf_prog_test_run_opts(bpf_program__fd(k->skel->progs.tally_all), &opts);
}

void hr_kern_meters(struct hr_kern *k, const struct hr_meter_sink *to)
{
	size_t cpus = (size_t)HR_MAX(libbpf_num_possible_cpus(), 1);
	const struct walk meters = {.fd = KERN_MAP_FD(k, meters),
				    .key_len = sizeof(struct hr_meter_key),
				    .words = sizeof(struct hr_meter) / 8,
				    .copies = cpus,
				    .to = to,
				    .row = meter_row};
	const struct walk odd = {.fd = KERN_MAP_FD(k, odd_codes),
				 .key_len = sizeof(struct hr_odd_key),
				 .words = 1,
				 .copies = cpus,
				 .to = to,
				 .row = odd_row};
	const struct walk tcp = {.fd = KERN_MAP_FD(k, tcp_meters),
				 .key_len = sizeof(struct hr_meter_key),
				 .words = sizeof(struct hr_tcp_meter) / 8,
				 .copies = 1,
				 .to = to,
				 .row = tcp_row};

	tally(k);
	walk(&odd); /* first: a request that ends meanwhile is counted in `meters` afterwards */
	walk(&meters);
	walk(&tcp);
}

/* Programs may enter new rows meanwhile. */
static void empty(int fd, size_t max)
{
	char key[sizeof(struct hr_odd_key)];

	while (max-- && !bpf_map_get_next_key(fd, NULL, key))
		if (bpf_map_delete_elem(fd, key))
			break;
}

/* The row that takes what finds no other must be there before the table is full. Counters begin
 * with the process that shows them, so those of an agent that was killed go. */
int kern_meters_init(struct hr_kern *k)
{
	size_t cpus = (size_t)HR_MAX(libbpf_num_possible_cpus(), 1);
	_cleanup_free_ void *zero = calloc(cpus, sizeof(struct hr_meter));
	const struct hr_meter_key other = {.flags = HR_FLAG_OTHER};
	const struct hr_meter_key other_tcp = {.flags = HR_FLAG_OTHER, .proto = HR_METER_TCP};

	if (!zero)
		return -ENOMEM;
	empty(KERN_MAP_FD(k, odd_codes), HR_ODD_CODES_MAX);
	empty(KERN_MAP_FD(k, meters), HR_METERS_MAX);
	empty(KERN_MAP_FD(k, tcp_meters), HR_METERS_MAX);
	empty(KERN_MAP_FD(k, tallies), HR_CONNS_MAX);
	if (bpf_map_update_elem(KERN_MAP_FD(k, tcp_meters), &other_tcp, zero, BPF_ANY))
		return -errno;
	return bpf_map_update_elem(KERN_MAP_FD(k, meters), &other, zero, BPF_ANY) ? -errno : 0;
}
