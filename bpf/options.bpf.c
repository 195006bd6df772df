/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * cgroup/setsockopt: options that a socket in a sockhash cannot keep are refused there, and their
 * owner goes on without them: EOPNOTSUPP, as where the kernel does not have them.
 *
 *	SO_ZEROCOPY	sk_msg takes a copy of what is sent; the completions would never come
 *	TCP_ULP		(kTLS) what a program passes on would be the plain text
 *
 * Set before connect(), or on the listener, they keep the connection out of the sockhash instead.
 */
#include "lib/opaque.h"

#define SO_ZEROCOPY 60
#define TCP_ULP 31
#define EOPNOTSUPP 95

/* To switch it off is everybody's right. */
static __always_inline int asks_zerocopy(const struct bpf_sockopt *ctx)
{
	const int *on = ctx->optval;

	if (ctx->level != SOL_SOCKET || ctx->optname != SO_ZEROCOPY)
		return 0;
	return (void *)(on + 1) > ctx->optval_end || *on;
}

static __always_inline int in_sockhash(struct bpf_sock *sk)
{
	struct dial *d = sk ? bpf_sk_storage_get(&dials, sk, NULL, 0) : NULL;

	return (d && d->entered) || (sk && bpf_sk_storage_get(&serve_store, sk, NULL, 0));
}

SEC("cgroup/setsockopt")
int set_option(struct bpf_sockopt *ctx)
{
	int ulp = ctx->level == IPPROTO_TCP && ctx->optname == TCP_ULP;

	if ((ulp || asks_zerocopy(ctx)) && in_sockhash(ctx->sk)) {
		bpf_set_retval(-EOPNOTSUPP);
		return 0;
	}
	ctx->optlen = 0; /* the kernel reads the caller's value, of any length */
	return 1;
}

char LICENSE[] SEC("license")
= "Dual BSD/GPL";
