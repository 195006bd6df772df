// SPDX-License-Identifier: Apache-2.0
/*
 * Many connections at once, bodies that carry their own id, plans that change meanwhile: nothing
 * is lost, mixed up, or left behind.
 */
#include "proxy/internal.h"

#include "rig.h"

static struct rig r;
static atomic_int wrong, served;
static atomic_bool over;

#define TO(service) "route: [{destination: {host: " service ", port: {number: 80}}}]"
#define VS(http)                                                                            \
	"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: web}\n" \
	"spec: {hosts: [web], http: [" http "]}\n---\n"

/* What one client does again and again: small, chunked, uploads, faults, goes away. */
static bool one_request(int fd, struct answer *a, unsigned id, unsigned kind)
{
	char q[512], want[64], body[300];
	size_t n = 1 + id % 250;

	snprintf(want, sizeof(want), "c%u", id);
	switch (kind % 4) {
	case 0:
	case 1:
		snprintf(q, sizeof(q), "GET /id/c%u HTTP/1.1\r\nHost: web\r\n\r\n", id);
		break;
	case 2:
		memset(body, 'a' + id % 26, n);
		snprintf(want, sizeof(want), "c%u%zu %u", id, n, sum_add(0, body, n));
		snprintf(q, sizeof(q),
			 "POST /id/c%u HTTP/1.1\r\nHost: web\r\nContent-Length: %zu\r\n\r\n%.*s",
			 id, n, (int)n, body);
		break;
	default:
		snprintf(want, sizeof(want), "hello world");
		snprintf(q, sizeof(q), "GET /chunks HTTP/1.1\r\nHost: web\r\n\r\n");
	}
	if (!o_send(fd, q, strlen(q)) || !cl_answer(fd, a, false))
		return false;
	return a->status == 200 && !strcmp(a->body, want);
}

static void *client(void *ctx)
{
	unsigned seed = (unsigned)(uintptr_t)ctx;
	struct answer a = {};
	int fd = cl_open(&r);

	for (unsigned i = 0; !over; i++) {
		unsigned id = seed * 1000000 + i;

		if (!one_request(fd, &a, id, (id * 2654435761u) >> 20)) {
			fprintf(stderr, "client %u request %u: %d %s\n", seed, i, a.status,
				a.body ? a.body : "");
			atomic_fetch_add(&wrong, 1);
		}
		atomic_fetch_add(&served, 1);
		if (i % 97 == 96) {
			if (i % 2)
				o_send(fd, GET("/slow/5/leave"), strlen(GET("/slow/5/leave")));
			close(fd);
			fd = cl_open(&r);
			a.nrest = 0;
		}
	}
	close(fd);
	cl_free(&a);
	return NULL;
}

static void test_plans_under_load(void **state)
{
	enum { CLIENTS = 32, PLANS = 50 };
	pthread_t t[CLIENTS];
	int before = rig_released;

	(void)state;
	for (uintptr_t i = 0; i < CLIENTS; i++)
		pthread_create(&t[i], NULL, client, (void *)(i + 1));
	for (int i = 0; i < PLANS; i++) {
		rig_publish(&r, i % 2 ? VS("{match: [{uri: {prefix: /id}}], " TO("web") "}, {" TO(
						"web") "}")
				      : "");
		hr_proxy_tick(r.px);
		usleep(40000);
	}
	over = true;
	for (int i = 0; i < CLIENTS; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(wrong, 0);
	assert_true(served > 1000);
	/* all but the current plan are gone, at the latest with the requests that held them */
	for (int i = 0; i < 100 && rig_released - before < PLANS; i++) {
		usleep(10000);
		hr_proxy_tick(r.px);
	}
	assert_int_equal(rig_released - before, PLANS);
}

/* A request finishes on the plan it began with: its destination is gone from the new one. */
static void test_request_keeps_its_plan(void **state)
{
	struct answer a = {};
	int fd = cl_open(&r);

	(void)state;
	cl_send(fd, GET("/slow/300/kept"));
	usleep(50000);
	rig_publish(&r, VS("{" TO("empty") "}"));
	hr_proxy_tick(r.px);
	assert_true(cl_answer(fd, &a, false));
	assert_string_equal(a.body, "kept");
	cl_send(fd, GET("/id/x"));
	assert_true(cl_answer(fd, &a, false));
	assert_int_equal(a.status, 503);
	close(fd);
	rig_publish(&r, "");
	cl_free(&a);
}

static void test_nothing_left(void **state)
{
	struct hr_proxy_stats s = {};

	(void)state;
	for (int i = 0; i < 300; i++) {
		hr_proxy_stats(r.px, &s);
		if (!s.connections && !s.active_requests)
			break;
		usleep(10000);
	}
	assert_int_equal(s.connections, 0);
	assert_int_equal(s.active_requests, 0);
	assert_true(s.requests >= (uint64_t)served);
	assert_int_equal(s.why[HR_WHY_DATAPATH], s.requests);
	assert_int_equal(r.records, s.requests);
	/* numbers in flight never drift, whatever the end of a request was */
	for (size_t i = 0; i < HR_EPS_MAX; i++)
		assert_int_equal(r.px->ep_rt[i].inflight.word, 0);
	for (size_t i = 0; i < HR_CLUSTERS_MAX; i++) {
		assert_int_equal(r.px->cluster_rt[i].inflight.word, 0);
		assert_int_equal(r.px->cluster_rt[i].pending, 0);
	}
}

/* A connection that begins to speak HTTP/2 when the others were told that it is over learns it,
 * too: nobody would wait for less than the whole time of a drain. */
static void test_goaway(void **state)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
	int fd = cl_open(&r);
	char got[256];
	ssize_t n;
	size_t all = 0;

	(void)state;
	hr_proxy_goaway(r.px);
	usleep(20000);
	assert_true(o_send(fd, preface, sizeof(preface) - 1));
	while ((n = recv(fd, got + all, sizeof(got) - all, 0)) > 0)
		all += (size_t)n;
	assert_int_equal(n, 0);
	assert_non_null(memmem(got, all, "\0\0\x8\7", 4)); /* a GOAWAY frame */
	close(fd);
}

static void asleep(void *ctx)
{
	(void)ctx;
	usleep(100000);
}

/* Drain: what runs is finished with Connection: close, then nothing is open. A request that is here
 * when the worker gets to it, unread, is no idle connection. */
static void test_drain(void **state)
{
	struct answer a = {};
	int busy = cl_open(&r), idle = cl_open(&r), early = cl_open(&r);

	(void)state;
	cl_send(early, GET("/id/x"));
	assert_true(cl_answer(early, &a, false));
	cl_send(idle, GET("/id/x"));
	assert_true(cl_answer(idle, &a, false));
	cl_send(busy, GET("/slow/300/last"));
	usleep(50000);
	for (unsigned i = 0; i < r.px->n_workers; i++)
		hr_loop_post(r.px->workers[i].loop, asleep, NULL);
	hr_proxy_drain(r.px);
	cl_send(early, GET("/id/early"));
	assert_true(cl_answer(early, &a, false));
	assert_string_equal(a.body, "early");
	assert_true(cl_at_end(early));
	close(early);
	assert_true(cl_at_end(idle));
	assert_false(hr_proxy_idle(r.px));
	assert_true(cl_answer(busy, &a, false));
	assert_string_equal(a.body, "last");
	assert_true(a.close);
	assert_true(cl_at_end(busy));
	close(busy);
	close(idle);
	for (int i = 0; i < 300 && !hr_proxy_idle(r.px); i++)
		usleep(10000);
	assert_true(hr_proxy_idle(r.px));
	cl_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plans_under_load),
		cmocka_unit_test(test_request_keeps_its_plan),
		cmocka_unit_test(test_nothing_left),
		cmocka_unit_test(test_goaway),
		cmocka_unit_test(test_drain),
	};

	rig_start(&r, "");
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	rig_stop(&r);
	assert_int_equal(failed, 0);
	return failed;
}
