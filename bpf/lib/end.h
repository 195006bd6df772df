/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ENDED: nobody can carry what C sends (no agent slot, no agent). The verdict "drop" would stay on
 * the socket, and its client see EACCES for good; so the message is taken away or turned into a
 * 503 that closes, and the agent, if there is one, shuts C down.
 */
#pragma once

#include "lib/local.h"
#include "lib/stages.h"

/* Takes the message away: its sender believes it sent. "Pass" of nothing cannot be cut short; nor
 * can a redirect of nothing to C itself, in place of one that the kernel remembers. */
static __always_inline int swallow(struct sk_msg_md *msg, struct conn *c, __u64 cookie)
{
	bpf_msg_apply_bytes(msg, 0);
	if (c && (c->mark & CONN_M_REDIRECTED))
		bpf_msg_redirect_hash(msg, &cl_hash, &cookie, 0);
	return bpf_msg_pop_data(msg, 0, msg->size, 0) ? SK_DROP : SK_PASS;
}

/* C has been closed or reset: what is sent now fails as in ordinary TCP (EPIPE). */
static __always_inline int after_close(struct sk_msg_md *msg)
{
	struct sock *sk = (struct sock *)bpf_skc_to_tcp_sock(msg->sk);

	if (!sk || sk->__sk_common.skc_state != BPF_TCP_CLOSE)
		return swallow(msg, NULL, 0);
	bpf_msg_apply_bytes(msg, 0);
	return SK_PASS;
}

/* Lets nothing come any more of answers that are owed. False: C has a part of one already, or may
 * have, and another cannot be put behind it. */
static __always_inline int withdraw(struct conn *c, __u64 cookie)
{
	struct hr_u *u = moved_pending(c, cookie);

	if (c->pub.state == HR_CONN_BOUND && c->g_rx)
		return 0;
	if (c->native_owed && c->rx)
		return 0;
	if (u && (u->left || HR_WORD_STATE(u->word) != HR_U_BUSY))
		return 0;
	if (u)
		u_abandon(c, cookie, 0);
	if (!settled(c) || (u && (u->left || HR_WORD_STATE(u->word) != HR_U_DEAD)))
		return 0;
	if (c->native_owed)
		native_done(c, cookie, bpf_ktime_get_ns(), 503, 1);
	c->native_owed = 0;
	c->pub.owed = 0;
	return 1;
}

static __noinline int give_up(struct sk_msg_md *msg, struct conn *c, __u64 cookie)
{
	int clean = withdraw(c, cookie);

	count_mishap(HR_MISHAP_CUT);
	conn_end(c, cookie, 0);
	if (clean && local_reply(msg, cookie, HR_REPLY_END, 0) > 0)
		return SK_PASS;
	return swallow(msg, c, cookie);
}
