// SPDX-License-Identifier: Apache-2.0
/*
 * A captured client, two servers and the agent's sockets, all in this process and in 127/8:
 *
 *	C --connect(10.96.0.0:80)--> S1 127.0.0.1	weight 100, or 0
 *	U -------------------------> S2 127.0.0.2	pooled connection, put by the test
 *	G = g ==== p					put by the test, which is the agent
 *
 * This judges what user/kern does with sockets and connections; what the programs decide has its
 * own tests.
 */
#include "kernbox.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "kern/meters.h"
#include "planbox.h"

#define ASK "GET /a/0 HTTP/1.1\r\nHost: s0\r\n\r\n"
#define ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"

struct world {
	struct hr_kern *k;
	int listen1, listen2;
	struct sockaddr_in at1, at2;
	int c, s1;	 /* client, and its accepted socket at S1 */
	uint64_t cookie; /* of c */
};

static void join(const char *cgroup)
{
	char path[PATH_MAX], pid[16];

	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	snprintf(pid, sizeof(pid), "%d", getpid());
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_int_equal(write(fd, pid, strlen(pid)), strlen(pid));
}

static int listen_on(const char *ip, struct sockaddr_in *at)
{
	socklen_t len = sizeof(*at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*at = (struct sockaddr_in){.sin_family = AF_INET};
	inet_pton(AF_INET, ip, &at->sin_addr);
	assert_int_equal(bind(fd, (struct sockaddr *)at, len), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)at, &len), 0);
	return fd;
}

static int connect_to(const struct sockaddr_in *at)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (const struct sockaddr *)at, sizeof(*at)), 0);
	return fd;
}

static void plan_weight(struct world *w, uint32_t weight)
{
	struct hr_plan *p = planbox_make((struct planbox){
		.vhosts = 1, .conds = 1, .eps = 1, .weight = weight, .variant = 'a'});
	const struct sockaddr_in *at[] = {&w->at1, &w->at2};
	const char *what;

	for (int i = 0; i < 2; i++) {
		memcpy(p->eps.data[i].addr.ip + 12, &at[i]->sin_addr, 4);
		p->eps.data[i].port = ntohs(at[i]->sin_port);
	}
	assert_int_equal(hr_kern_apply(w->k, p, &what), 0);
	planbox_in_use(p);
}

static bool readable(int fd, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, ms) == 1;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void hear(int fd, const char *text)
{
	char buf[512] = "";
	size_t got = 0;

	while (got < strlen(text)) {
		if (!readable(fd, 1000))
			fail_msg("wanted \"%s\", heard \"%s\"", text, buf);
		ssize_t n = recv(fd, buf + got, sizeof(buf) - 1 - got, 0);

		assert_true(n > 0);
		got += (size_t)n;
	}
	assert_string_equal(buf, text);
}

static void client_connects(struct world *w)
{
	struct sockaddr_in vip = {.sin_family = AF_INET, .sin_port = htons(80)};
	struct pollfd p = {.events = POLLOUT};
	socklen_t len = sizeof(w->cookie);

	inet_pton(AF_INET, "10.96.0.0", &vip.sin_addr);
	join(box_cgroup_path(BOX_CGROUP));
	w->c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (connect(w->c, (struct sockaddr *)&vip, sizeof(vip)))
		assert_int_equal(errno, EINPROGRESS);
	join(hr_kern_cgroup_root());
	p.fd = w->c;
	assert_int_equal(poll(&p, 1, 1000), 1);
	assert_int_equal(getsockopt(w->c, SOL_SOCKET, SO_COOKIE, &w->cookie, &len), 0);
	w->s1 = accept(w->listen1, NULL, NULL);
	assert_true(w->s1 >= 0);
}

static int setup(void **state)
{
	static struct world w;
	struct hr_netns ns = {.door_port = 1, .door6_port = 1, .ready = 1};
	uint64_t netns;

	w = (struct world){.k = box_open(HR_DATAPATH_KERNEL)};
	*state = &w;
	box_cgroup(BOX_CGROUP);
	w.listen1 = listen_on("127.0.0.1", &w.at1);
	w.listen2 = listen_on("127.0.0.2", &w.at2);
	assert_int_equal(hr_netns_cookie(&netns), 0);
	assert_int_equal(hr_kern_netns_set(w.k, netns, &ns), 0);
	assert_int_equal(hr_kern_enrol(w.k, box_cgroup_path(BOX_CGROUP), 1, 0), 0);
	plan_weight(&w, 100);
	client_connects(&w);
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	close(w->c);
	close(w->s1);
	close(w->listen1);
	close(w->listen2);
	hr_kern_close(w->k);
	planbox_in_use(NULL);
	return box_wipe(NULL);
}

/* Puts a G pair; `p` is the agent's end. */
static int put_g(struct world *w, uint32_t slot, int *g)
{
	struct sockaddr_in at;
	_cleanup_close_ int l = listen_on("127.0.0.1", &at);
	int p;

	*g = connect_to(&at);
	p = accept(l, NULL, NULL);
	assert_int_equal(hr_kern_g_put(w->k, slot, *g, p), 0);
	assert_int_equal(hr_kern_g_put(w->k, slot, *g, p), -EBUSY);
	return p;
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void native_exchange(struct world *w)
{
	say(w->c, ASK);
	hear(w->s1, ASK);
	say(w->s1, ANSWER "ok");
	hear(w->c, ANSWER "ok");
}

static void test_native(void **state)
{
	struct world *w = *state;
	uint64_t why[HR_WHY_MAX];
	struct hr_stats st;
	struct hr_conn c;

	native_exchange(w);
	assert_int_equal(hr_kern_conn_get(w->k, w->cookie, &c), 0);
	assert_int_equal(c.state, HR_CONN_NATIVE);
	assert_int_equal(c.pid, getpid());
	assert_int_equal(hr_kern_route_stats(w->k, 1, &st), 0);
	assert_int_equal(st.requests, 1);
	assert_int_equal(st.status[2], 1);
	assert_int_equal(hr_kern_why(w->k, why), 0);
	assert_int_equal(why[HR_WHY_NATIVE], 1);
	assert_true(hr_kern_conn_quiet(w->k, w->cookie));
	assert_int_equal(hr_kern_conn_queued(w->k, w->cookie), 0);
	assert_int_equal(hr_kern_conn_wake(w->k, w->cookie), 0);
	close(w->c);
	w->c = -1;
	assert_int_equal(hr_kern_conn_get(w->k, w->cookie, &c), -ENOENT);
	assert_int_equal(hr_kern_conn_queued(w->k, w->cookie), -ENOENT);
	assert_int_equal(hr_kern_conn_kill(w->k, w->cookie), -ENOENT);
	assert_int_equal(hr_kern_conn_wake(w->k, w->cookie), -ENOENT);
}

/* An answer that is owed makes the connection not quiet; unread bytes count. */
static void test_owed(void **state)
{
	struct world *w = *state;

	say(w->c, ASK);
	hear(w->s1, ASK);
	assert_false(hr_kern_conn_quiet(w->k, w->cookie));
	say(w->s1, ANSWER "ok");
	assert_true(readable(w->c, 1000));
	assert_true(hr_kern_conn_quiet(w->k, w->cookie));
	assert_true(hr_kern_conn_queued(w->k, w->cookie) > 0);
	hear(w->c, ANSWER "ok");
	assert_int_equal(hr_kern_conn_queued(w->k, w->cookie), 0);
}

/* One request over U, and the slot is free again with the generation it had. */
static void test_moved(void **state)
{
	struct world *w = *state;
	struct hr_pool pool = {.nchunks = 1, .chunk = {32}};
	_cleanup_close_ int u = connect_to(&w->at2), s2 = accept(w->listen2, NULL, NULL);
	struct hr_u *slot = &hr_kern_u(w->k)[32];
	uint64_t netns;

	assert_int_equal(hr_netns_cookie(&netns), 0);
	assert_int_equal(hr_kern_u_put(w->k, 32, u, 257, NULL), 0);
	assert_int_equal(hr_kern_u_put(w->k, 32, u, 257, NULL), -EBUSY);
	assert_int_equal(HR_WORD_STATE(slot->word), HR_U_FREE);
	assert_int_equal(hr_kern_pool_set(w->k, &(struct hr_pool_key){netns, 257, 0}, &pool), 0);
	plan_weight(w, 0);
	for (int i = 0; i < 3; i++) {
		say(w->c, ASK);
		hear(s2, ASK);
		assert_int_equal(HR_WORD_STATE(slot->word), HR_U_BUSY);
		assert_int_equal(hr_kern_u_take(w->k, 32), -EBUSY);
		say(s2, ANSWER "u2");
		hear(w->c, ANSWER "u2");
	}
	assert_int_equal(HR_WORD_STATE(slot->word), HR_U_FREE);
	plan_weight(w, 100);
	native_exchange(w);
	assert_int_equal(hr_kern_u_take(w->k, 32), 0);
	assert_int_equal(hr_kern_u_take(w->k, 32), -ENOENT);
	assert_int_equal(box_used(w->k, "u_slots"), 0);
	assert_int_equal(hr_kern_pool_del(w->k, &(struct hr_pool_key){netns, 257, 0}), 0);
	assert_int_equal(hr_kern_u_put(w->k, 32, u, 257, NULL), 0); /* the slot can be used again */
	assert_int_equal(HR_WORD_GEN(slot->word), 2);
	assert_int_equal(hr_kern_u_take(w->k, 32), 0);
}

/* A head in two pieces goes to the agent, which answers by injection and lets go. */
static void test_bound(void **state)
{
	struct world *w = *state;
	_cleanup_close_ int g = -1, p = put_g(w, 0, &g);
	struct hr_g *slot = &hr_kern_g(w->k)[0];
	uint64_t word;

	say(w->c, "GET /a/0 HT");
	hear(p, "GET /a/0 HT");
	assert_int_equal(HR_G_STATE(slot->word), HR_G_BOUND);
	assert_int_equal(slot->conn, w->cookie);
	say(w->c, "TP/1.1\r\nHost: s0\r\n\r\n");
	hear(p, "TP/1.1\r\nHost: s0\r\n\r\n");
	say(p, ANSWER "gg");
	assert_true(readable(w->c, 1000));
	assert_true(hr_kern_conn_queued(w->k, w->cookie) > 0);
	hear(w->c, ANSWER "gg");
	word = slot->word;
	assert_int_equal(HR_G_BYTES(word), strlen(ASK));
	slot->word = HR_G_WORD(HR_G_FREE, HR_G_GEN(word) + 1, 0);
	native_exchange(w);
}

/* Killed: the endpoint's connection is not used again, requests go to the agent. */
static void test_kill(void **state)
{
	struct world *w = *state;
	_cleanup_close_ int g = -1, p = put_g(w, 0, &g);

	native_exchange(w);
	assert_int_equal(hr_kern_conn_kill(w->k, w->cookie), 0);
	say(w->c, ASK);
	hear(p, ASK);
	assert_false(readable(w->s1, 50));
}

/* The agent takes a slot itself, to pass on an answer that U holds. */
static void test_inject_to(void **state)
{
	struct world *w = *state;
	_cleanup_close_ int g = -1, p = put_g(w, 0, &g);

	native_exchange(w);
	assert_int_equal(hr_kern_inject_to(w->k, 0, w->cookie), 0);
	assert_int_equal(hr_kern_inject_to(w->k, 0, w->cookie), -EBUSY);
	assert_int_equal(hr_kern_inject_to(w->k, 1, w->cookie), -EBUSY);
	say(p, "relayed");
	hear(w->c, "relayed");
}

/* The data path ends while a connection lives: it goes on as ordinary TCP. */
static void test_close_under_connection(void **state)
{
	struct world *w = *state;

	say(w->c, ASK);
	hear(w->s1, ASK);
	say(w->s1, ANSWER);
	assert_true(readable(w->c, 1000));
	hr_kern_close(w->k); /* with bytes that C has not read */
	hear(w->c, ANSWER);
	say(w->s1, "ok");
	hear(w->c, "ok");
	say(w->c, "any bytes at all");
	hear(w->s1, "any bytes at all");
	w->k = box_open(HR_DATAPATH_KERNEL);
}

/* Captured no more: the answer that is on its way is still read through us, then C is plain TCP,
 * and nothing of it is left in the tables. */
static void test_unenrol_under_connection(void **state)
{
	struct world *w = *state;

	say(w->c, ASK);
	hear(w->s1, ASK);
	assert_int_equal(hr_kern_unenrol(w->k, box_cgroup_path(BOX_CGROUP)), 0);
	assert_int_equal(box_count(BOX_PINS "/links"),
			 4); /* sockops, the shield, the gate, options */
	assert_false(hr_kern_released(w->k));
	usleep(300 * 1000);
	assert_true(hr_kern_released(w->k)); /* it needs no agent: not waited for any longer */
	say(w->s1, ANSWER "ok");
	assert_true(readable(w->c, 1000));
	assert_int_equal(hr_kern_poll(w->k), 0);
	assert_int_equal(box_used(w->k, "conns"), 1);
	hear(w->c, ANSWER "ok");
	assert_int_equal(hr_kern_poll(w->k), 0);
	assert_int_equal(box_used(w->k, "conns"), 0);
	assert_int_equal(box_used(w->k, "cl_hash"), 0);
	assert_int_equal(box_count(BOX_PINS "/links"), 0);
	say(w->c, "any bytes at all");
	hear(w->s1, "any bytes at all");
}

/* A request with the agent: its sockets must not go yet. */
static void test_unenrol_while_bound(void **state)
{
	struct world *w = *state;
	_cleanup_close_ int g = -1, p = put_g(w, 0, &g);
	struct hr_g *slot = &hr_kern_g(w->k)[0];

	say(w->c, "GET /a/0 HT");
	hear(p, "GET /a/0 HT");
	assert_int_equal(hr_kern_unenrol(w->k, box_cgroup_path(BOX_CGROUP)), 0);
	assert_false(hr_kern_released(w->k));
	say(w->c, "TP/1.1\r\nHost: s0\r\n\r\n");
	hear(p, "TP/1.1\r\nHost: s0\r\n\r\n");
	say(p, ANSWER "gg");
	hear(w->c, ANSWER "gg");
	slot->word = HR_G_WORD(HR_G_FREE, HR_G_GEN(slot->word) + 1, 0);
	assert_true(hr_kern_released(w->k));
	assert_int_equal(box_used(w->k, "conns"), 0);
	native_exchange(w);
}

/* ---- kill -9 -------------------------------------------------------------------------------- */

/* In a child: the agent that will be killed. Gives its pid once it serves. */
static pid_t doomed_agent(struct world *w, bool with_g)
{
	int ready[2];
	char c;

	assert_int_equal(pipe(ready), 0);
	pid_t pid = fork();

	if (!pid) {
		struct hr_netns ns = {.door_port = 1, .door6_port = 1, .ready = 1};
		uint64_t netns;
		int g;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		w->k = box_open(HR_DATAPATH_KERNEL);
		hr_netns_cookie(&netns);
		hr_kern_netns_set(w->k, netns, &ns);
		hr_kern_enrol(w->k, box_cgroup_path(BOX_CGROUP), 1, 0);
		plan_weight(w, 100);
		if (with_g)
			put_g(w, 0, &g);
		hr_kern_ep_rt(w->k)[1].inflight.by.agent += 5; /* requests that it carries itself */
		hr_kern_cluster_rt(w->k)[1].inflight.by.agent += 5;
		(void)!write(ready[1], "r", 1);
		pause();
		_exit(0);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	return pid;
}

static void kill_agent(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static int setup_doomed(void **state)
{
	static struct world w;

	w = (struct world){};
	*state = &w;
	box_cgroup(BOX_CGROUP);
	w.listen1 = listen_on("127.0.0.1", &w.at1);
	w.listen2 = listen_on("127.0.0.2", &w.at2);
	return 0;
}

/* A keep-alive connection lives through the death of the agent and obeys the next one's plan. */
static void test_killed_and_restarted(void **state)
{
	struct world *w = *state;
	struct hr_pool pool = {.nchunks = 1};
	pid_t pid = doomed_agent(w, false);
	uint64_t netns;

	client_connects(w);
	native_exchange(w);
	kill_agent(pid);
	native_exchange(w);
	say(w->c, ASK);
	w->k = box_open(HR_DATAPATH_KERNEL);
	assert_int_equal(hr_kern_ep_rt(w->k)[1].inflight.word, 1); /* ours, natively */
	assert_int_equal(hr_kern_cluster_rt(w->k)[1].inflight.word, 1);
	hear(w->s1, ASK);
	say(w->s1, ANSWER "ok");
	hear(w->c, ANSWER "ok");
	assert_int_equal(hr_kern_ep_rt(w->k)[1].inflight.word, 0);
	plan_weight(w, 0);

	_cleanup_close_ int u = connect_to(&w->at2), s2 = accept(w->listen2, NULL, NULL);

	assert_int_equal(hr_netns_cookie(&netns), 0);
	assert_int_equal(hr_kern_u_put(w->k, 0, u, 257, NULL), 0);
	assert_int_equal(hr_kern_pool_set(w->k, &(struct hr_pool_key){netns, 257, 0}, &pool), 0);
	say(w->c, ASK);
	hear(s2, ASK);
	say(s2, ANSWER "u2");
	hear(w->c, ANSWER "u2");
	assert_int_equal(hr_kern_u_take(w->k, 0), 0);
}

/* Bytes that the dead agent had: an end for the client, not a hang. */
static void test_killed_while_bound(void **state)
{
	struct world *w = *state;
	pid_t pid = doomed_agent(w, true);
	char byte;

	client_connects(w);
	say(w->c, "GET /a/0 HT");
	kill_agent(pid);
	assert_false(readable(w->c, 50));
	w->k = box_open(HR_DATAPATH_KERNEL);
	assert_true(readable(w->c, 1000));
	assert_int_equal(recv(w->c, &byte, 1, 0), 0);
	assert_int_equal(box_used(w->k, "g_tab"), 0);
}

struct counted {
	uint64_t rows, own,
		others; /* requests in a row of route 1 or endpoint 1, in that for all */
};

static void count_meter(void *ctx, const struct hr_meter_key *key, const struct hr_meter *m)
{
	struct counted *n = ctx;

	n->rows++;
	if (key->flags == HR_FLAG_OTHER)
		n->others += hr_meter_requests(m);
	else
		n->own += hr_meter_requests(m);
}

/* No row is left for a new kind of request: it is counted all the same, in the row for all. */
static void test_meters_full(void **state)
{
	_cleanup_close_ int fd = bpf_obj_get(BOX_PINS "/maps/meters");
	_cleanup_free_ void *zero =
		calloc((size_t)libbpf_num_possible_cpus(), sizeof(struct hr_meter));
	struct hr_meter_key key = {.route = 1000};
	struct world *w = *state;
	struct counted before = {}, after = {};

	native_exchange(w);
	hr_kern_meters(w->k, &(struct hr_meter_sink){.ctx = &before, .meter = count_meter});
	assert_int_equal(before.own, 1);
	for (; !bpf_map_update_elem(fd, &key, zero, BPF_NOEXIST); key.route++)
		assert_true(key.route < 1000 + HR_METERS_MAX);
	assert_int_equal(errno, E2BIG);
	native_exchange(w);
	say(w->c, "GET /nowhere HTTP/1.1\r\nHost: s0\r\n\r\n");
	assert_true(readable(w->c, 1000)); /* 404, of no endpoint: a row that is not there */
	hr_kern_meters(w->k, &(struct hr_meter_sink){.ctx = &after, .meter = count_meter});
	assert_int_equal(after.rows, HR_METERS_MAX);
	assert_int_equal(after.own, 2);
	assert_int_equal(after.others, before.others + 1);
}

#define TRAFFIC_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define KILL_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup_doomed, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TRAFFIC_TEST(test_native),
		TRAFFIC_TEST(test_meters_full),
		TRAFFIC_TEST(test_owed),
		TRAFFIC_TEST(test_moved),
		TRAFFIC_TEST(test_bound),
		TRAFFIC_TEST(test_kill),
		TRAFFIC_TEST(test_inject_to),
		TRAFFIC_TEST(test_close_under_connection),
		TRAFFIC_TEST(test_unenrol_under_connection),
		TRAFFIC_TEST(test_unenrol_while_bound),
		KILL_TEST(test_killed_and_restarted),
		KILL_TEST(test_killed_while_bound),
	};

	return box_run(tests, HR_ARRAY_SIZE(tests));
}
