/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Opaque connections of the kernel path in numbers. TCP itself counts their bytes; what has come
 * since the last look is added to the row when somebody asks (tally.bpf.c), when the client says
 * its last, and when the connection is closed. Exact: SYN and FIN, which TCP counts as bytes, are
 * not.
 */
#pragma once

#include "lib/count.h"

static const struct hr_tcp_meter fresh_tcp_meter;

/* `now` bytes in all: adds what is new. Looks at the same time do not add it twice. */
static __always_inline void tally_more(__u64 *seen, __u64 now, __u64 *to)
{
	__u64 old = *seen;

	if ((__s64)(now - old) > 0 && __sync_val_compare_and_swap(seen, old, now) == old)
		__sync_fetch_and_add(to, now - old);
}

/* 1: it is an opaque connection by now. The protocol of an unnamed port shows itself later. */
static __always_inline int tally_opened(struct tally *t, const struct conn *c,
					struct hr_tcp_meter *m)
{
	if (t->opened)
		return 1;
	if (!c || c->pub.state != HR_CONN_TUNNEL)
		return 0;
	if (!__sync_lock_test_and_set(&t->opened, 1))
		__sync_fetch_and_add(&m->opened, 1);
	return 1;
}

/* Adds up to now; gives its row, NULL: it is no opaque connection. */
static __always_inline struct hr_tcp_meter *tally_look(struct tally *t, __u64 cookie)
{
	struct conn *c = bpf_map_lookup_elem(&conns, &cookie);
	struct hr_tcp_meter *m = meter_of(&tcp_meters, &t->key, &fresh_tcp_meter);
	struct tcp_sock *tp = (struct tcp_sock *)t->sk;
	struct sock *sk = (struct sock *)tp;
	__u64 tx, rx;

	if (!m || !tp || !tally_opened(t, c, m))
		return NULL;
	if (c) { /* what has skipped TCP (lib/opaque.h) */
		t->near_tx = c->tx;
		t->near_rx = c->rx;
	}
	tx = BPF_CORE_READ(tp, bytes_acked) - t->acked0 +
	     (BPF_CORE_READ(tp, write_seq) - BPF_CORE_READ(tp, snd_una));
	rx = BPF_CORE_READ(tp, bytes_received) -
	     (BPF_CORE_READ(sk, __sk_common.skc_flags) >>
		      bpf_core_enum_value(enum sock_flags, SOCK_DONE) &
	      1);   /* a FIN has come */
	if (!t->sk) /* closed meanwhile: what was read may be anything */
		return NULL;
	if (!t->fin)
		tally_more(&t->tx, tx + t->near_tx, &m->tx);
	tally_more(&t->rx, rx + t->near_rx, &m->rx);
	return m;
}

/* Established. `opaque` 0: it may turn out to be. */
static __always_inline void tally_begin(const struct dial *d, struct tcp_sock *tp, __u64 cookie,
					int opaque)
{
	struct hr_member_key member = {.cluster = d->cluster, .addr_id = d->addr_id};
	__u32 *ep = bpf_map_lookup_elem(&members, &member);
	struct tally t = {
		.key = {.workload = d->workload, .ep = ep ? *ep : 0, .proto = HR_METER_TCP},
		.sk = (__u64)tp,
		.acked0 = tp->bytes_acked,
		.opened = opaque,
	};
	struct hr_tcp_meter *m;

	if (bpf_map_update_elem(&tallies, &cookie, &t, BPF_NOEXIST) || !opaque)
		return;
	m = meter_of(&tcp_meters, &t.key, &fresh_tcp_meter);
	if (m)
		__sync_fetch_and_add(&m->opened, 1);
}

/* The client sends no more: what TCP counts from here on is its FIN. */
static __always_inline void tally_fin(__u64 cookie)
{
	struct tally *t = bpf_map_lookup_elem(&tallies, &cookie);

	if (!t || t->fin)
		return;
	tally_look(t, cookie);
	t->fin = 1;
}

static __always_inline void tally_end(__u64 cookie)
{
	struct tally *t = bpf_map_lookup_elem(&tallies, &cookie);
	struct hr_tcp_meter *m = t ? tally_look(t, cookie) : NULL;

	if (!t)
		return;
	if (!m && t->opened)
		m = meter_of(&tcp_meters, &t->key, &fresh_tcp_meter);
	t->sk = 0;
	if (m)
		__sync_fetch_and_add(&m->closed, 1);
	bpf_map_delete_elem(&tallies, &cookie);
}
