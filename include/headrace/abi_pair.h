/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause */
/* Keys, values and counts of the same-node path (bpf/lib/pair.h). A part of abi.h, which includes
 * it. */
#pragma once

/* offers: what both ends of a connection have in common, from the client's side. */
struct hr_pair_key {
	__u8 c_ip[16];
	__u8 s_ip[16];
	__u16 c_port; /* host order */
	__u16 s_port;
	__u32 pad;
};
HR_ASSERT_SIZE(struct hr_pair_key, 40);

/* The sequence numbers make it one connection, whatever the namespaces of the addresses. */
struct hr_pair_offer {
	__u64 conn;  /* cookie of C */
	__u32 c_seq; /* C's next byte */
	__u32 s_seq; /* the server's next byte */
	__u32 kind;  /* enum hr_offer */
	__u32 pad;
};
HR_ASSERT_SIZE(struct hr_pair_offer, 24);
enum hr_offer {
	HR_OFFER_CONN = 0,
	HR_OFFER_LEARN, /* C stays ordinary: only what its server is like is to be learned */
	/* Of a pooled connection U, made by the agent before it connects: `conn` is U's cookie,
	 * c_ip of its key is zero, and the sequence numbers are looked at when U enters its slot.
	 */
	HR_OFFER_POOL,
};

/* places: where servers of this node are that may be paired, from the client's side. A client of an
 * opaque port enters the sockhash only for one of them. */
struct hr_place {
	__u8 ip[16];
	__u32 port; /* host order */
	__u32 pad;
};
HR_ASSERT_SIZE(struct hr_place, 24);

/* listeners: what its accepted sockets are; forgotten when the port is listened on anew. */
struct hr_listener_key {
	__u64 netns;
	__u32 port; /* host order */
	__u32 pad;
};
enum hr_listener {
	HR_LISTENER_UNKNOWN = 0,
	HR_LISTENER_NONBLOCK,  /* they may be paired */
	HR_LISTENER_WANTS_TCP, /* SO_ZEROCOPY or SO_OOBINLINE is set */
	HR_LISTENER_BLOCKS,
};

/* pair_counts: per-CPU array. */
enum hr_pair_count {
	HR_PAIR_MADE = 0, /* connections paired */
	HR_PAIR_BLOCKING, /* not paired: the server's sockets are blocking */
	HR_PAIR_UNKNOWN,  /* not paired: the first of their listener */
	HR_PAIR_REQUESTS, /* messages put straight into the server's queue */
	HR_PAIR_ANSWERS,  /* messages put straight into the client's queue */
	HR_PAIR_BYTES,	  /* of both */
	HR_PAIR_SPILLED,  /* times a direction went back to TCP: long queue, or short memory */
	HR_PAIR_OPAQUE,	  /* of those paired: whose bytes nobody reads */
	HR_PAIR_SENDS,	  /* messages of those, either way, put straight into the other's queue */
	HR_PAIR_OPTIONS,  /* not paired: the server's sockets have options that need TCP */
	HR_PAIR_COUNTS
};
