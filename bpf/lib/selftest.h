/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause */
/* What the self-test's programs and their driver (user/kern/selftest.c) agree on. */
#pragma once

#include <linux/types.h>

enum st_mode {
	ST_PASS,
	ST_MOVE,      /* egress of the pooled connection */
	ST_SELF,      /* egress of the connection itself */
	ST_LOCAL,     /* answered in place with ST_REPLY */
	ST_NEAR,      /* straight into the other end's receive queue */
	ST_EDIT,      /* native, with ST_ADDED in the middle */
	ST_EDIT_MOVE, /* the same, through U */
};

/* Socket storage of the client's socket, and of its server's, written by user space. */
struct st_sock {
	__u64 key; /* cookie: its key in st_conns */
	__u32 mode;
	__u32 pad;
};

/* Words of the shared array. */
enum {
	ST_WORD_TARGET, /* cookie of the client that answers go to */
	ST_WORD_RUNS,	/* runs of st_route */
	ST_WORD_PREFIX, /* what the trie gave for /api/v2 */
	/* addresses of both ends, each left there by its own sk_msg */
	ST_WORD_CLIENT_SK,
	ST_WORD_SERVER_SK,
	/* native bytes under way before the newest send: write_seq less the other's copied_seq */
	ST_WORD_CLIENT_GAP,
	ST_WORD_SERVER_GAP,
	ST_WORDS
};

struct st_prefix {
	__u32 bits;
	char value[8];
};

#define ST_REPLY "HTTP/1.1 404 Not Found\r\n\r\n"
#define ST_ADDED "x-added: by the kernel\r\n"
#define ST_ADDED_LEN (sizeof(ST_ADDED) - 1)
#define ST_EDIT_AT 6 /* byte of the message before which it goes */
#define ST_REPLY_LEN (sizeof(ST_REPLY) - 1)
