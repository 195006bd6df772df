// SPDX-License-Identifier: Apache-2.0
/*
 * Trials of the same-node path: E, the server's end, is in a sockhash as well, and each end puts
 * bytes straight into the other's receive queue ("near"), in turn with ordinary ones ("native").
 */
#include "kern/selftest_rig.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <bpf/bpf.h>

#include "core/cleanup.h"

static bool join(struct rig *r)
{
	r->words[ST_WORD_CLIENT_SK] = r->words[ST_WORD_SERVER_SK] = 0;
	if (st_put_socket(r->skel->maps.st_servers, &r->key, r->fd[E]))
		return st_fail(r, "the server's socket does not enter a sockmap: %s",
			       strerror(errno));
	return true;
}

static bool says(struct rig *r, int end, enum st_mode mode, const char *text)
{
	if (st_set_mode(r, end, mode))
		return st_fail(r, "socket storage cannot be written: %s", strerror(errno));
	return st_say(r, end, text);
}

static bool passes(struct rig *r, int from, enum st_mode mode, const char *text)
{
	return says(r, from, mode, text) && st_hear(r, from == C ? E : C, text);
}

/* A request and an answer, ordinary ones. */
static bool native_turn(struct rig *r)
{
	return passes(r, C, ST_SELF, "native?") && passes(r, E, ST_SELF, "native!");
}

static bool near_seen(struct rig *r, int ep, int from, const char *text)
{
	int to = from == C ? E : C;

	return says(r, from, ST_NEAR, text) && st_epoll_wakes(r, ep, "redirected") &&
	       st_fionread_is(r, to, "redirected", strlen(text)) && st_hear(r, to, text);
}

bool st_near(struct rig *r)
{
	struct epoll_event want = {.events = EPOLLIN | EPOLLET};
	_cleanup_close_ int ep_c = epoll_create1(EPOLL_CLOEXEC);
	_cleanup_close_ int ep_e = epoll_create1(EPOLL_CLOEXEC);

	if (ep_c < 0 || ep_e < 0 || !join(r) || !native_turn(r))
		return r->detail[0] ? false : st_fail(r, "epoll: %s", strerror(errno));
	if (epoll_ctl(ep_c, EPOLL_CTL_ADD, r->fd[C], &want) ||
	    epoll_ctl(ep_e, EPOLL_CTL_ADD, r->fd[E], &want))
		return st_fail(r, "epoll: %s", strerror(errno));
	for (int i = 0; i < 3; i++)
		if (!near_seen(r, ep_e, C, "near?") || !near_seen(r, ep_c, E, "near!!") ||
		    !says(r, C, ST_SELF, "native?") || !st_epoll_wakes(r, ep_e, "native") ||
		    !st_hear(r, E, "native?") || !says(r, E, ST_SELF, "native!") ||
		    !st_epoll_wakes(r, ep_c, "native") || !st_hear(r, C, "native!"))
			return false;
	return true;
}

/* Bytes under way are what the two sequence numbers say, whatever was redirected before. */
static bool gap_is(struct rig *r, int from, __u64 want)
{
	__u64 gap = r->words[from == C ? ST_WORD_CLIENT_GAP : ST_WORD_SERVER_GAP];

	return gap == want || st_fail(r, "%llu bytes seem to be under way, not %llu",
				      (unsigned long long)gap, (unsigned long long)want);
}

static bool ordered(struct rig *r, int from)
{
	int to = from == C ? E : C;

	return says(r, from, ST_SELF, "one ") && st_fionread_is(r, to, "native", 4) &&
	       says(r, from, ST_SELF, "two ") && gap_is(r, from, 4) && st_hear(r, to, "one two ") &&
	       passes(r, from, ST_NEAR, "three") && gap_is(r, from, 0) &&
	       passes(r, from, ST_SELF, "four") && gap_is(r, from, 0) &&
	       passes(r, from, ST_NEAR, "five") && gap_is(r, from, 0);
}

bool st_near_order(struct rig *r)
{
	return join(r) && native_turn(r) && native_turn(r) && ordered(r, C) && ordered(r, E) &&
	       ordered(r, C);
}

/* ---- a reader that is behind ---- */

#define BLOCK 65536
#define NEAR_BLOCKS 18

static unsigned char pattern(size_t at)
{
	return (unsigned char)(at * 31 + at / 251);
}

static bool fill_queue(struct rig *r, size_t *sent)
{
	static unsigned char block[BLOCK];

	for (int i = 0; i < NEAR_BLOCKS + 8; i++) {
		ssize_t n;

		if (st_set_mode(r, C, i < NEAR_BLOCKS ? ST_NEAR : ST_SELF))
			return st_fail(r, "socket storage cannot be written: %s", strerror(errno));
		for (size_t j = 0; j < BLOCK; j++)
			block[j] = pattern(*sent + j);
		n = send(r->fd[C], block, BLOCK, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN)
			return st_fail(r, "send into a long queue: %s", strerror(errno));
		if (n > 0)
			*sent += (size_t)n;
		if (i < NEAR_BLOCKS && n != BLOCK)
			return st_fail(r, "a redirect of %d bytes was cut short", BLOCK);
	}
	return true;
}

static bool drain_queue(struct rig *r, size_t want)
{
	static unsigned char buf[BLOCK];
	size_t got = 0;

	while (got < want) {
		if (!st_wait_for(r, E, POLLIN))
			return st_fail(r, "%zu of %zu bytes came", got, want);
		ssize_t n = recv(r->fd[E], buf, sizeof(buf), 0);

		if (n <= 0)
			return st_fail(r, "recv: %s", n ? strerror(errno) : "end");
		for (ssize_t i = 0; i < n; i++)
			if (buf[i] != pattern(got + (size_t)i))
				return st_fail(r, "wrong byte at %zu", got + (size_t)i);
		got += (size_t)n;
	}
	return true;
}

/* What is redirected counts in sk_rmem_alloc; ordinary bytes behind it come after it; once all is
 * read the direction may redirect again. */
bool st_near_spill(struct rig *r)
{
	__u32 info[SK_MEMINFO_VARS];
	socklen_t len = sizeof(info);
	size_t sent = 0;

	if (!join(r) || !native_turn(r) || !fill_queue(r, &sent))
		return false;
	if (getsockopt(r->fd[E], SOL_SOCKET, SO_MEMINFO, info, &len))
		return st_fail(r, "SO_MEMINFO: %s", strerror(errno));
	if (info[SK_MEMINFO_RMEM_ALLOC] < NEAR_BLOCKS * BLOCK)
		return st_fail(r, "%u bytes of receive memory for %d redirected ones",
			       info[SK_MEMINFO_RMEM_ALLOC], NEAR_BLOCKS * BLOCK);
	if (!drain_queue(r, sent) || !passes(r, C, ST_NEAR, "near again") || !gap_is(r, C, 0))
		return false;
	if (getsockopt(r->fd[E], SOL_SOCKET, SO_MEMINFO, info, &len) || info[SK_MEMINFO_RMEM_ALLOC])
		return st_fail(r, "%u bytes of receive memory after all was read",
			       info[SK_MEMINFO_RMEM_ALLOC]);
	return true;
}

/* The end of a stream does not come before bytes that were redirected. */
bool st_near_end(struct rig *r)
{
	if (!join(r) || !native_turn(r) || !says(r, C, ST_NEAR, "last?"))
		return false;
	shutdown(r->fd[C], SHUT_WR);
	if (!st_hear(r, E, "last?") || !st_ends(r, E) || !says(r, E, ST_NEAR, "last!"))
		return false;
	shutdown(r->fd[E], SHUT_RDWR);
	return st_hear(r, C, "last!") && st_ends(r, C);
}
