// SPDX-License-Identifier: Apache-2.0
/*
 * Mirrors. The primary and its mirror are the same origin here, so a request that is copied is one
 * that the origin sees twice.
 *
 *	client --> proxy --> web (origin)      the answer
 *	             \-----> web | empty | stuck (accepts, never answers)
 */
#include "rig.h"

static struct rig r;

#define VS(http)                                                                            \
	"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: web}\n" \
	"spec: {hosts: [web], http: [" http "]}\n---\n"
#define WEB "{host: web, port: {number: 80}}"
#define TO_WEB "route: [{destination: " WEB "}]"

static struct hr_proxy_stats stats(void)
{
	struct hr_proxy_stats s;

	hr_proxy_stats(r.px, &s);
	return s;
}

/* Waits until no copy is under way; how many requests the origin saw since `before`. */
static int seen_since(int before, int want)
{
	for (int i = 0; i < 200 && r.origin.requests - before < want; i++)
		usleep(5000);
	usleep(20000);
	return r.origin.requests - before;
}

static void test_copies(void **state)
{
	struct answer a = {};
	int before = r.origin.requests;
	uint64_t copies = stats().mirrored;

	(void)state;
	rig_publish(&r, VS("{mirror: " WEB ", " TO_WEB "}"));
	assert_int_equal(cl_once(&r, GET("/id/a"), &a), 200);
	assert_string_equal(a.body, "a");
	assert_int_equal(seen_since(before, 2), 2);
	/* the mirror's failures are nobody's, and it is not tried again */
	assert_true(cl_once(&r, GET("/flaky/1/mirror"), &a) > 0);
	assert_int_equal(stats().mirrored - copies, 2);
	before = r.origin.requests;
	rig_publish(&r, VS("{mirrors: [{destination: " WEB "}, {destination: " WEB
			   ", percentage: {value: 100}}, {destination: " WEB
			   ", percentage: {value: 0}}], " TO_WEB "}"));
	assert_int_equal(cl_once(&r, GET("/id/b"), &a), 200);
	assert_int_equal(seen_since(before, 3), 3);
	cl_free(&a);
}

/* A quarter, within 4 sigma of 400. */
static void test_share(void **state)
{
	struct answer a = {};
	uint64_t before = stats().mirrored;
	int fd;

	(void)state;
	rig_publish(&r, VS("{mirror: " WEB ", mirrorPercentage: {value: 25}, " TO_WEB "}"));
	fd = cl_open(&r);
	for (int i = 0; i < 400; i++) {
		cl_send(fd, GET("/id/a"));
		assert_true(cl_answer(fd, &a, false));
	}
	close(fd);
	assert_in_range(stats().mirrored - before, 65, 135);
	cl_free(&a);
}

static void upload(size_t n, bool chunked)
{
	static char body[100000];
	char head[160];
	struct answer a = {};
	int fd = cl_open(&r);

	for (size_t i = 0; i < n; i++)
		body[i] = (char)('a' + i % 26);
	snprintf(head, sizeof(head), "POST /upload HTTP/1.1\r\nHost: web\r\n%s%zu\r\n",
		 chunked ? "Transfer-Encoding: chunked\r\nX-N: " : "Content-Length: ", n);
	cl_send(fd, head);
	cl_send(fd, "\r\n");
	if (chunked) {
		snprintf(head, sizeof(head), "%zx\r\n", n);
		cl_send(fd, head);
	}
	for (size_t i = 0; i < n; i += 5000) { /* in pieces */
		o_send(fd, body + i, n - i < 5000 ? n - i : 5000);
		usleep(1000);
	}
	if (chunked)
		cl_send(fd, "\r\n0\r\n\r\n");
	assert_true(cl_answer(fd, &a, false));
	assert_int_equal(a.status, 200);
	assert_int_equal(atoll(a.body), n);
	close(fd);
	cl_free(&a);
}

/* Bodies are copied whole, up to 32 KiB; a longer one costs the copy, not the request. */
static void test_bodies(void **state)
{
	uint64_t lost = stats().mirror_lost[HR_MIRROR_BODY];

	(void)state;
	rig_publish(&r, VS("{mirror: " WEB ", " TO_WEB "}"));
	for (int chunked = 0; chunked < 2; chunked++) {
		int before = r.origin.requests;
		unsigned long long bytes = r.origin.uploaded, sums = r.origin.sums;

		upload(30000, chunked);
		assert_int_equal(seen_since(before, 2), 2);
		assert_int_equal(r.origin.uploaded - bytes, 60000);
		assert_int_equal((r.origin.sums - sums) % 2, 0);
		before = r.origin.requests;
		upload(60000, chunked);
		assert_int_equal(seen_since(before, 2), 1);
		lost++;
		assert_int_equal(stats().mirror_lost[HR_MIRROR_BODY], lost);
	}
}

static void test_dropped(void **state)
{
	struct answer a = {};
	uint64_t none = stats().mirror_lost[HR_MIRROR_NO_ENDPOINT],
		 cut = stats().mirror_lost[HR_MIRROR_CUT];
	int fd;

	(void)state;
	rig_publish(&r, VS("{mirrors: [{destination: {host: empty}}, {destination: {host: "
			   "nowhere.example}}, {destination: {host: web, subset: none, port: "
			   "{number: 80}}}], " TO_WEB "}"));
	assert_int_equal(cl_once(&r, GET("/id/a"), &a), 200);
	assert_int_equal(stats().mirror_lost[HR_MIRROR_NO_ENDPOINT] - none, 3);
	/* a client that leaves in the middle of its body */
	rig_publish(&r, VS("{mirror: " WEB ", " TO_WEB "}"));
	fd = cl_open(&r);
	cl_send(fd, "POST /upload HTTP/1.1\r\nHost: web\r\nContent-Length: 100\r\n\r\nhalf");
	usleep(50000);
	close(fd);
	for (int i = 0; i < 100 && stats().mirror_lost[HR_MIRROR_CUT] == cut; i++)
		usleep(10000);
	assert_int_equal(stats().mirror_lost[HR_MIRROR_CUT] - cut, 1);
	cl_free(&a);
}

/* A mirror that never answers: so many copies wait, the rest are dropped, the primary does not
 * notice; the proxy ends without waiting for them. */
static void test_slow_mirror(void **state)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(to);
	int stuck = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;
	uint64_t busy = stats().mirror_lost[HR_MIRROR_BUSY], copies = stats().mirrored;
	struct hr_strbuf yaml = {};
	struct answer a = {};

	(void)state;
	assert_int_equal(bind(stuck, (struct sockaddr *)&to, n), 0);
	assert_int_equal(listen(stuck, 1000), 0);
	getsockname(stuck, (struct sockaddr *)&to, &n);
	hr_sb_printf(&yaml,
		     "apiVersion: v1\nkind: Service\nmetadata: {name: stuck}\n"
		     "spec: {clusterIP: 10.9.0.9, ports: [{name: http, port: 80}]}\n---\n"
		     "apiVersion: v1\nkind: Endpoints\nmetadata: {name: stuck}\n"
		     "subsets: [{addresses: [{ip: 127.0.0.1}], ports: [{name: http, port: %u}]}]\n"
		     "---\n" VS("{mirror: {host: stuck}, " TO_WEB "}"),
		     ntohs(to.sin_port));
	rig_publish(&r, yaml.data);
	fd = cl_open(&r); /* one connection is one worker's */
	for (int i = 0; i < 200; i++) {
		cl_send(fd, GET("/id/a"));
		assert_true(cl_answer(fd, &a, false));
		assert_int_equal(a.status, 200);
	}
	close(fd);
	assert_int_equal(stats().mirrored - copies, HR_MIRRORS_MAX);
	assert_int_equal(stats().mirror_lost[HR_MIRROR_BUSY] - busy, 200 - HR_MIRRORS_MAX);
	close(stuck);
	hr_sb_free(&yaml);
	cl_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_copies),	    cmocka_unit_test(test_share),
		cmocka_unit_test(test_bodies),	    cmocka_unit_test(test_dropped),
		cmocka_unit_test(test_slow_mirror),
	};

	rig_start(&r, "");
	int failed = cmocka_run_group_tests_name("proxy/mirror", tests, NULL, NULL);

	rig_stop(&r);
	return failed;
}
