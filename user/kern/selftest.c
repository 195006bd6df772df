// SPDX-License-Identifier: Apache-2.0
/*
 * The self-test: each trial builds the same rig of real sockets, does what the data path will do
 * to them, and says what it saw. No wait is longer than ST_WAIT_MS, for on a bad kernel data is
 *lost.
 *
 *	C ====== E	client and the endpoint it is connected to; C has sk_msg and a verdict
 *	U ====== F	pooled connection to another endpoint; what F sends is handed to C
 *	P ====== G	what the agent writes to P is injected into C
 */
#include "kern/selftest_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#include <bpf/bpf.h>

#include "core/cleanup.h"
#include "lib/selftest.h"
#include "selftest.skel.h"

/* Long, because a busy machine must not be taken for a bad kernel; what works does not wait. */
#define TOTAL_MS 4000

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

bool st_fail(struct rig *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->detail, HR_SELFTEST_DETAIL, fmt, ap);
	va_end(ap);
	return false;
}

bool st_wait_for(struct rig *r, int end, short events)
{
	uint64_t now = now_ms();
	int ms = now >= r->deadline ? 0 : (int)HR_MIN((uint64_t)ST_WAIT_MS, r->deadline - now);
	struct pollfd p = {.fd = r->fd[end], .events = events};

	return poll(&p, 1, ms) == 1 && (p.revents & events);
}

/* ---- the rig -------------------------------------------------------------------------------- */

static int connect_pair(int *a, int *b)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	_cleanup_close_ int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(sin);
	int one = 1;

	if (l < 0 || bind(l, (struct sockaddr *)&sin, len) || listen(l, 1) ||
	    getsockname(l, (struct sockaddr *)&sin, &len))
		return -errno;
	*a = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*a < 0 || connect(*a, (struct sockaddr *)&sin, len))
		return -errno;
	*b = accept4(l, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (*b < 0 || fcntl(*a, F_SETFL, O_NONBLOCK))
		return -errno;
	setsockopt(*a, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(*b, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return 0;
}

int st_put_socket(struct bpf_map *map, const void *key, int fd)
{
	__u64 v = (__u64)fd;

	return bpf_map_update_elem(bpf_map__fd(map), key, &v, BPF_ANY);
}

int st_set_mode(struct rig *r, int end, enum st_mode mode)
{
	struct st_sock s = {.key = r->key, .mode = mode};

	return bpf_map_update_elem(bpf_map__fd(r->skel->maps.st_socks), &r->fd[end], &s, BPF_ANY);
}

static int set_mode(struct rig *r, enum st_mode mode)
{
	return st_set_mode(r, C, mode);
}

static void rig_close(struct rig *r)
{
	for (int i = 0; i < ENDS; i++) {
		if (r->fd[i] >= 0)
			close(r->fd[i]);
		r->fd[i] = -1;
	}
}

static bool rig_open(struct rig *r)
{
	socklen_t len = sizeof(r->key);
	__u32 slot = 0;
	int err;

	for (int i = 0; i < ENDS; i += 2) {
		err = connect_pair(&r->fd[i], &r->fd[i + 1]);
		if (err)
			return st_fail(r, "no connection over loopback: %s", strerror(-err));
	}
	if (getsockopt(r->fd[C], SOL_SOCKET, SO_COOKIE, &r->key, &len))
		return st_fail(r, "no socket cookie: %s", strerror(errno));
	if (set_mode(r, ST_PASS))
		return st_fail(r, "socket storage cannot be written: %s", strerror(errno));
	if (st_put_socket(r->skel->maps.st_conns, &r->key, r->fd[C]) ||
	    st_put_socket(r->skel->maps.st_upstream, &slot, r->fd[U]) ||
	    st_put_socket(r->skel->maps.st_injector, &slot, r->fd[P]))
		return st_fail(r, "socket does not enter a sockmap: %s", strerror(errno));
	r->words[ST_WORD_TARGET] = r->key;
	return true;
}

/* ---- what trials are made of ---------------------------------------------------------------- */

bool st_say(struct rig *r, int end, const char *text)
{
	ssize_t n = (ssize_t)strlen(text);

	if (send(r->fd[end], text, (size_t)n, MSG_NOSIGNAL) != n)
		return st_fail(r, "send \"%s\": %s", text, strerror(errno));
	return true;
}

bool st_hear(struct rig *r, int end, const char *text)
{
	size_t want = strlen(text), got = 0;
	char buf[512];

	while (got < want) {
		if (!st_wait_for(r, end, POLLIN))
			return st_fail(r, "\"%s\" did not arrive (%zu of %zu bytes)", text, got,
				       want);
		ssize_t n = recv(r->fd[end], buf + got, sizeof(buf) - 1 - got, 0);

		if (n <= 0)
			return st_fail(r, "recv for \"%s\": %s", text, n ? strerror(errno) : "end");
		got += (size_t)n;
	}
	buf[got] = '\0';
	if (strcmp(buf, text))
		return st_fail(r, "heard \"%.40s\" for \"%.40s\"", buf, text);
	return true;
}

bool st_fionread_is(struct rig *r, int end, const char *when, size_t want)
{
	int n = -1;

	if (!st_wait_for(r, end, POLLIN))
		return st_fail(r, "no wake-up for %s data", when);
	if (ioctl(r->fd[end], FIONREAD, &n) || n != (int)want)
		return st_fail(r, "FIONREAD gives %d for %zu bytes of %s data", n, want, when);
	return true;
}

/* C asks, E answers: nothing is redirected, but the programs run. */
static bool native(struct rig *r, const char *answer)
{
	return !set_mode(r, ST_SELF) && st_say(r, C, "native?") && st_hear(r, E, "native?") &&
	       st_say(r, E, answer);
}

/* C asks, the request goes out through U, what F answers comes back to C. */
static bool moved(struct rig *r, const char *answer)
{
	return !set_mode(r, ST_MOVE) && st_say(r, C, "moved?") && st_hear(r, F, "moved?") &&
	       st_say(r, F, answer);
}

static bool rmem_is(struct rig *r, bool empty, __u32 *out)
{
	__u32 info[SK_MEMINFO_VARS];
	socklen_t len = sizeof(info);

	if (getsockopt(r->fd[C], SOL_SOCKET, SO_MEMINFO, info, &len))
		return st_fail(r, "SO_MEMINFO: %s", strerror(errno));
	*out = info[SK_MEMINFO_RMEM_ALLOC];
	return !empty || *out == 0 ||
	       st_fail(r, "%u bytes of receive memory after all was read", *out);
}

/* ---- trials --------------------------------------------------------------------------------- */

static bool try_mmap_arrays(struct rig *r)
{
	__u64 runs = r->words[ST_WORD_RUNS];

	if (!native(r, "x") || !st_hear(r, C, "x"))
		return false;
	return r->words[ST_WORD_RUNS] > runs ||
	       st_fail(r, "what the program wrote is not seen in the mapping");
}

static bool try_lpm_trie(struct rig *r)
{
	struct st_prefix shorter = {.bits = 8 * 4, .value = "/api"};
	struct st_prefix longer = {.bits = 8 * 6, .value = "/api/v"};
	int fd = bpf_map__fd(r->skel->maps.st_prefixes);
	__u64 four = 4, six = 6;

	if (bpf_map_update_elem(fd, &shorter, &four, BPF_ANY) ||
	    bpf_map_update_elem(fd, &longer, &six, BPF_ANY))
		return st_fail(r, "a prefix cannot be written: %s", strerror(errno));
	if (!native(r, "x") || !st_hear(r, C, "x"))
		return false;
	return r->words[ST_WORD_PREFIX] == 6 ||
	       st_fail(r, "the longest prefix was not found (got %llu)",
		       (unsigned long long)r->words[ST_WORD_PREFIX]);
}

static bool try_native(struct rig *r)
{
	return native(r, "native!") && st_hear(r, C, "native!");
}

static bool try_moved(struct rig *r)
{
	return moved(r, "moved!") && st_hear(r, C, "moved!");
}

/* Kernels before 6.12.75, 6.18.14 and 6.19 lose native data here. */
static bool try_native_after_moved(struct rig *r)
{
	for (int i = 0; i < 4; i++)
		if (!try_moved(r) || !try_native(r))
			return false;
	return try_native(r);
}

static bool try_fionread_native(struct rig *r)
{
	for (int i = 0; i < 2; i++)
		if (!native(r, "12345") || !st_fionread_is(r, C, "native", 5) ||
		    !st_hear(r, C, "12345") || !try_moved(r))
			return false;
	return true;
}

static bool try_fionread_redirected(struct rig *r)
{
	for (int i = 0; i < 2; i++)
		if (!moved(r, "1234567") || !st_fionread_is(r, C, "redirected", 7) ||
		    !st_hear(r, C, "1234567") || !try_native(r))
			return false;
	return true;
}

bool st_epoll_wakes(struct rig *r, int ep, const char *what)
{
	struct epoll_event ev;
	int n = epoll_wait(ep, &ev, 1, ST_WAIT_MS);

	return (n == 1 && (ev.events & EPOLLIN)) || st_fail(r, "no edge for %s data", what);
}

static bool try_epoll_wake(struct rig *r)
{
	struct epoll_event want = {.events = EPOLLIN | EPOLLET};
	_cleanup_close_ int ep = epoll_create1(EPOLL_CLOEXEC);

	if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, r->fd[C], &want))
		return st_fail(r, "epoll: %s", strerror(errno));
	return native(r, "a") && st_epoll_wakes(r, ep, "native") && st_hear(r, C, "a") &&
	       moved(r, "b") && st_epoll_wakes(r, ep, "redirected") && st_hear(r, C, "b") &&
	       native(r, "c") && st_epoll_wakes(r, ep, "native") && st_hear(r, C, "c");
}

/* Native bytes that C holds unread are read before what is injected after them. */
static bool try_order(struct rig *r)
{
	return native(r, "first ") && st_fionread_is(r, C, "native", 6) &&
	       st_say(r, P, "second ") && st_fionread_is(r, C, "native and injected", 13) &&
	       st_say(r, P, "third") && st_hear(r, C, "first second third");
}

static bool try_local_reply(struct rig *r)
{
	if (set_mode(r, ST_LOCAL) || !st_say(r, C, "longer than the reply that it gets, or not?") ||
	    !st_hear(r, C, ST_REPLY) || !st_say(r, C, "short") || !st_hear(r, C, ST_REPLY))
		return false;
	return try_native(r); /* and nothing of both went to E */
}

/* Added to what C sends, in one packet: FIONREAD tells before more could have come. */
static bool edited(struct rig *r, enum st_mode mode, int end)
{
	const char *want = "first " ST_ADDED "last";

	return !set_mode(r, mode) && st_say(r, C, "first last") &&
	       st_fionread_is(r, end, "edited", strlen(want)) && st_hear(r, end, want);
}

static bool try_edit(struct rig *r)
{
	return edited(r, ST_EDIT, E) && edited(r, ST_EDIT_MOVE, F) && try_native(r) &&
	       edited(r, ST_EDIT, E) && try_moved(r);
}

static bool try_egress_self(struct rig *r)
{
	return try_moved(r) && !set_mode(r, ST_SELF) && st_say(r, C, "one ") &&
	       st_say(r, C, "two") && st_hear(r, E, "one two");
}

static bool try_inject(struct rig *r)
{
	return st_say(r, P, "injected") && st_hear(r, C, "injected") && try_native(r) &&
	       st_say(r, P, "again") && st_hear(r, C, "again");
}

static bool try_inject_accounting(struct rig *r)
{
	char text[401];
	__u32 mem;

	memset(text, 'i', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	if (!st_say(r, P, text) || !st_fionread_is(r, C, "injected", 400) ||
	    !rmem_is(r, false, &mem))
		return false;
	if (mem < 400 || mem > 4096)
		return st_fail(r, "400 injected bytes count as %u in sk_rmem_alloc", mem);
	return st_hear(r, C, text) && rmem_is(r, true, &mem);
}

bool st_ends(struct rig *r, int end)
{
	char byte;

	if (!st_wait_for(r, end, POLLIN) || recv(r->fd[end], &byte, 1, 0) != 0)
		return st_fail(r, "the end of the stream was not seen");
	return true;
}

static bool try_fin_after_response(struct rig *r)
{
	if (!try_moved(r) || !native(r, "last"))
		return false;
	shutdown(r->fd[E], SHUT_WR);
	return st_hear(r, C, "last") && st_ends(r, C);
}

/* An answer for a client that has gone is dropped and U stays usable. */
static bool try_drop_on_closed(struct rig *r)
{
	if (!moved(r, "to a living client") || !st_hear(r, C, "to a living client"))
		return false;
	if (set_mode(r, ST_MOVE) || !st_say(r, C, "asked") || !st_hear(r, F, "asked"))
		return false;
	close(r->fd[C]);
	close(r->fd[E]);
	r->fd[C] = r->fd[E] = -1;
	if (!st_say(r, F, "to nobody"))
		return false;
	if (connect_pair(&r->fd[C], &r->fd[E]))
		return st_fail(r, "no connection over loopback: %s", strerror(errno));
	socklen_t len = sizeof(r->key);

	if (getsockopt(r->fd[C], SOL_SOCKET, SO_COOKIE, &r->key, &len) || set_mode(r, ST_MOVE) ||
	    st_put_socket(r->skel->maps.st_conns, &r->key, r->fd[C]))
		return st_fail(r, "a second client cannot enter: %s", strerror(errno));
	usleep(2000); /* the dropped bytes are verdicted before the target changes */
	r->words[ST_WORD_TARGET] = r->key;
	return try_moved(r);
}

static void *shut_soon(void *fd)
{
	usleep(5000);
	shutdown(*(int *)fd, SHUT_WR);
	return NULL;
}

/* Trap 22. Information only: blocking clients go to door A in any case. */
static bool try_blocking_recv(struct rig *r)
{
	struct timeval tv = {.tv_usec = 1000 * ST_WAIT_MS};
	pthread_t th;
	char buf[16];
	ssize_t n;
	int err;

	if (fcntl(r->fd[C], F_SETFL, 0) ||
	    setsockopt(r->fd[C], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) || !native(r, "") ||
	    pthread_create(&th, NULL, shut_soon, &r->fd[C]))
		return st_fail(r, "could not be tried");
	uint64_t t0 = now_ms();

	n = recv(r->fd[C], buf, sizeof(buf), 0);
	err = errno;
	t0 = now_ms() - t0;
	pthread_join(th, NULL);
	return !(n < 0 && err == EAGAIN && t0 < ST_WAIT_MS / 2) ||
	       st_fail(r, "a blocking recv() gave EAGAIN after %u ms: blocking clients use door A",
		       (unsigned)t0);
}

static const struct {
	const char *name;
	st_trial_fn run;
	bool required;
} trials[] = {
	{"mmap-arrays", try_mmap_arrays, true},
	{"lpm-trie", try_lpm_trie, true},
	{"native", try_native, true},
	{"moved", try_moved, true},
	{"native-after-moved", try_native_after_moved, true},
	{"fionread-native", try_fionread_native, true},
	{"fionread-redirected", try_fionread_redirected, true},
	{"epoll-wake", try_epoll_wake, true},
	{"order", try_order, true},
	{"local-reply", try_local_reply, true},
	{"header-edit", try_edit, true},
	{"egress-to-self", try_egress_self, true},
	{"inject", try_inject, true},
	{"inject-accounting", try_inject_accounting, true},
	{"fin-after-response", try_fin_after_response, true},
	{"drop-on-closed", try_drop_on_closed, true},
	{"blocking-recv", try_blocking_recv, false},
	{"same-node", st_near, false},
	{"same-node-order", st_near_order, false},
	{"same-node-spill", st_near_spill, false},
	{"same-node-end", st_near_end, false},
};
_Static_assert(HR_ARRAY_SIZE(trials) < HR_SELFTEST_ROWS, "a row each, and one for the load");

/* ---- driver --------------------------------------------------------------------------------- */

static char *add_row(struct hr_selftest *t, const char *name, bool required)
{
	struct hr_kern_feature *f = &t->rows[t->n];

	*f = (struct hr_kern_feature){
		.name = name, .required = required, .detail = t->details[t->n]};
	return t->details[t->n++];
}

static int attach(struct selftest_bpf *s)
{
	const struct {
		struct bpf_program *prog;
		struct bpf_map *map;
		enum bpf_attach_type type;
	} at[] = {
		{s->progs.st_route, s->maps.st_conns, BPF_SK_MSG_VERDICT},
		{s->progs.st_reply, s->maps.st_conns, BPF_SK_SKB_STREAM_VERDICT},
		{s->progs.st_hand_over, s->maps.st_upstream, BPF_SK_SKB_STREAM_VERDICT},
		{s->progs.st_inject, s->maps.st_injector, BPF_SK_MSG_VERDICT},
		{s->progs.st_serve, s->maps.st_servers, BPF_SK_MSG_VERDICT},
		{s->progs.st_reply, s->maps.st_servers, BPF_SK_SKB_STREAM_VERDICT},
	};

	for (size_t i = 0; i < HR_ARRAY_SIZE(at); i++)
		if (bpf_prog_attach(bpf_program__fd(at[i].prog), bpf_map__fd(at[i].map), at[i].type,
				    0))
			return -errno;
	return 0;
}

/* Loads and attaches; the row "load" appears only when this fails. */
static int start(struct rig *r)
{
	int err;

	r->skel = selftest_bpf__open_and_load();
	if (!r->skel) {
		err = -errno;
		st_fail(r, "the kernel refuses the programs: %s", strerror(-err));
		return err;
	}
	err = attach(r->skel);
	if (err) {
		st_fail(r, "a program cannot be attached to a sockmap: %s", strerror(-err));
		return err;
	}
	void *p = mmap(NULL, (size_t)getpagesize(), PROT_READ | PROT_WRITE, MAP_SHARED,
		       bpf_map__fd(r->skel->maps.st_words), 0);

	if (p == MAP_FAILED) {
		err = -errno;
		st_fail(r, "an array map cannot be mapped: %s", strerror(-err));
		return err;
	}
	r->words = p;
	return 0;
}

int hr_selftest_run(struct hr_selftest *t)
{
	struct rig r = {.fd = {-1, -1, -1, -1, -1, -1}};
	char why[HR_SELFTEST_DETAIL] = "";
	int err;

	memset(t, 0, sizeof(*t));
	r.detail = why;
	err = start(&r);
	if (err)
		strcpy(add_row(t, "load", true), why);
	r.deadline = now_ms() + TOTAL_MS; /* loading is not a part of it */
	for (size_t i = 0; !err && i < HR_ARRAY_SIZE(trials); i++) {
		r.detail = add_row(t, trials[i].name, trials[i].required);
		t->rows[i].ok = rig_open(&r) && trials[i].run(&r);
		if (t->rows[i].ok)
			r.detail[0] = '\0';
		else if (!r.detail[0])
			st_fail(&r, "socket storage cannot be written: %s", strerror(errno));
		rig_close(&r);
	}
	if (r.words)
		munmap((void *)(uintptr_t)r.words, (size_t)getpagesize());
	selftest_bpf__destroy(r.skel);
	for (size_t i = 0; i < t->n; i++)
		if (t->rows[i].required && !t->rows[i].ok)
			return -ENOTSUP;
	return 0;
}
