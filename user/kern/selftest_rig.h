/* SPDX-License-Identifier: Apache-2.0 */
/* What the trials of the self-test stand on: selftest.c has them, and says what the letters are. */
#pragma once

#include "kern/selftest.h"
#include "lib/selftest.h"
#include "selftest.skel.h"

/* Long, because a busy machine must not be taken for a bad kernel; what works does not wait. */
#define ST_WAIT_MS 800

enum { C, E, U, F, P, G, ENDS };

struct rig {
	struct selftest_bpf *skel;
	volatile __u64 *words; /* the shared array, mapped */
	uint64_t deadline;     /* of the whole test, monotonic ms */
	int fd[ENDS];
	__u64 key; /* cookie of C */
	char *detail;
};

/* false: the trial failed and r->detail says why */
typedef bool (*st_trial_fn)(struct rig *r);

/* Says why; false. */
__attribute__((format(printf, 2, 3))) bool st_fail(struct rig *r, const char *fmt, ...);
bool st_wait_for(struct rig *r, int end, short events);
int st_put_socket(struct bpf_map *map, const void *key, int fd);
/* What the program on that end (C or E) does with what it sends. */
int st_set_mode(struct rig *r, int end, enum st_mode mode);
bool st_say(struct rig *r, int end, const char *text);
bool st_hear(struct rig *r, int end, const char *text);
bool st_fionread_is(struct rig *r, int end, const char *when, size_t want);
bool st_epoll_wakes(struct rig *r, int ep, const char *what);
/* The end of the stream is seen there. */
bool st_ends(struct rig *r, int end);

/* selftest_near.c: both ends on this node */
bool st_near(struct rig *r);
bool st_near_order(struct rig *r);
bool st_near_spill(struct rig *r);
bool st_near_end(struct rig *r);
