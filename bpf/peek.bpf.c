// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What the agent asks about a client's connection: run on demand (BPF_PROG_TYPE_SYSCALL), attached
 * to nothing. Fields of kernel structs are read through the address in `conns`; the entry is looked
 * up again afterwards, because the answer is only worth something when the socket outlived the
 * read.
 */
#include "lib/maps.h"
#include "lib/peek.h"
#include "lib/spill.h"
#include "lib/stages.h"

/* Bit of struct socket's flags: poll() for output is waited for. */
#define SOCK_NOSPACE 2

/* As the kernel sees it when it wakes a sender: its wake-up comes with no event, when it was memory
 * that had been short. */
static __always_inline int sender_stalled(struct sock *sk)
{
	struct socket *sock = BPF_CORE_READ(sk, sk_socket);
	__s64 queued = BPF_CORE_READ(sk, sk_wmem_queued);

	return sock && (BPF_CORE_READ(sock, flags) & 1UL << SOCK_NOSPACE) &&
	       3 * queued < 2 * (__s64)BPF_CORE_READ(sk, sk_sndbuf);
}

#define PRESUMED_OVER_NS (200 * 1000 * 1000ULL)

static __always_inline struct conn *living(__u64 cookie)
{
	struct conn *c = bpf_map_lookup_elem(&conns, &cookie);

	return c && c->pub.sk ? c : 0;
}

/* An answer whose end cannot be seen: its client has read all there is and asks for more, and its
 * server has been silent for a while. */
static __always_inline int presumed_over(const struct conn *c, __u32 queued)
{
	return c->rstate == RESP_UNKNOWN && !queued &&
	       bpf_ktime_get_ns() - c->rx_at > PRESUMED_OVER_NS;
}

/* Those that were long, and have been read since. */
static __always_inline void look_at_queues(struct conn *c, __u32 queued)
{
	struct sock *peer = (struct sock *)c->pair.peer;
	__u32 theirs = peer ? queue_of(peer) : 0;

	/* S may be gone, and its memory another's */
	if (theirs > 2 * HR_PAIR_QUEUE_MAX)
		theirs = 0;
	queue_account(c, TO_CLIENT, queued);
	queue_account(c, TO_SERVER, theirs);
}

SEC("syscall")
int peek_conn(struct hr_peek *p)
{
	struct conn *c = living(p->cookie);

	if (!c)
		return PEEK_GONE;
	__u64 addr = c->pub.sk;

	p->owed = c->pub.owed;
	p->queued = queue_of((struct sock *)addr);
	/* in this order: nothing is owed any more, then what was owed has come */
	p->owes = c->agent_owes;
	p->quiet = (!p->owed || presumed_over(c, p->queued)) && !moved_pending(c, p->cookie) &&
		   !p->owes;
	p->drained = !sock_locked(addr) && settled(c);
	p->quiet &= p->drained;
	p->stalled = sender_stalled((struct sock *)addr);
	if (p->queued > HR_PAIR_SMALL || c->pair.held[TO_SERVER] || c->pair.held[TO_CLIENT])
		look_at_queues(c, p->queued);
	p->crowded = pair_held > pair_node_max;
	c = living(p->cookie);
	return c && c->pub.sk == addr ? PEEK_OK : PEEK_GONE;
}

/* In place: user space could only replace the element, under the feet of a running program. */
SEC("syscall")
int peek_kill(struct hr_peek *p)
{
	struct conn *c = living(p->cookie);

	if (!c)
		return PEEK_GONE;
	conn_flag(c, HR_CONN_F_DEAD);
	return PEEK_OK;
}

/* The agent answers in place of E or U (1), or has answered (0). */
SEC("syscall")
int peek_owes(struct hr_peek *p)
{
	struct conn *c = living(p->cookie);

	if (!c)
		return PEEK_GONE;
	if (!p->owes)
		c->pub.owed = 0;
	__sync_lock_test_and_set(&c->agent_owes, p->owes);
	return PEEK_OK;
}

/* The data path ends while C holds bytes that only its psock has: it stays where it is, and is
 * ordinary TCP for everybody from here on. */
SEC("syscall")
int peek_retire(struct hr_peek *p)
{
	struct conn *c = living(p->cookie);

	if (!c)
		return PEEK_GONE;
	c->pub.state = HR_CONN_TUNNEL;
	c->vip_flags &= ~HR_VIP_NEAR_TCP;
	queue_hold(c, TO_SERVER, 0);
	queue_hold(c, TO_CLIENT, 0);
	return PEEK_OK;
}
