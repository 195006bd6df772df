// SPDX-License-Identifier: Apache-2.0
/*
 * The responder on real sockets:
 *
 *	client (this thread) -> 127.0.0.1:P udp/tcp -> hr_dns (loop thread) -> resolver (this
 *thread)
 *
 * The resolver is a pair of sockets on one port; resolv.conf is a file of the test's own.
 */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/net.h"
#include "dns/dns.h"
#include "dns/message.h"

#define QUERY(name) "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" name "\x00\x00\x01\x00\x01"
#define MESH "\x07reviews"
#define OTHER         \
	"\x07"        \
	"example\x03" \
	"com"

static struct hr_loop *loop;
static struct hr_dns *dns;
static pthread_t thread;
static char resolv_conf[] = "/tmp/http-resolv-XXXXXX";
static uint16_t dns_udp, dns_tcp;
static int resolver, resolver_tcp, client;
static int netns_seen; /* sockets asked for in the client's namespace */
static sem_t done;

static int bound(int family, int type, uint16_t port, uint16_t *out)
{
	struct timeval limit = {.tv_sec = 3};
	struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct sockaddr_in a4 = {.sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				 .sin_port = htons(port)};
	bool v6 = family == AF_INET6;
	socklen_t len = v6 ? sizeof(a6) : sizeof(a4);
	void *a = v6 ? (void *)&a6 : (void *)&a4;
	int fd = socket(family, type, 0);

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	assert_int_equal(bind(fd, a, len), 0);
	assert_int_equal(getsockname(fd, a, &len), 0);
	if ((type & 15) == SOCK_STREAM)
		assert_int_equal(listen(fd, 8), 0);
	*out = ntohs(v6 ? a6.sin6_port : a4.sin_port);
	return fd;
}

static int open_socket(void *ctx, void *netns, int family, int type)
{
	assert_ptr_equal(ctx, &loop);
	netns_seen += netns != NULL;
	return socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static void *run_loop(void *arg)
{
	(void)arg;
	hr_loop_run(loop);
	return NULL;
}

static void run_publish(void *ctx)
{
	hr_dns_publish(dns, ctx);
	sem_post(&done);
}

static void run_stats(void *ctx)
{
	hr_dns_stats(dns, ctx);
	sem_post(&done);
}

static void run_forget(void *ctx)
{
	hr_dns_forget(dns, ctx);
	sem_post(&done);
}

static void in_loop(void (*fn)(void *), void *ctx)
{
	assert_int_equal(hr_loop_post(loop, fn, ctx), 0);
	sem_wait(&done);
}

static int setup(void **state)
{
	struct hr_dns_opts opts = {.resolv_conf = resolv_conf, .try_ms = 150};
	struct hr_dns_socks socks;
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	static struct hr_addr addr;
	static struct hr_plan_name name = {"reviews.default.svc.cluster.local", 1, &addr,
					   "default"};
	static struct hr_plan plan = {.cluster_domain = "cluster.local",
				      .names = {.data = &name, .len = 1}};
	uint16_t port;
	int fd = mkstemp(resolv_conf);

	(void)state;
	assert_true(write(fd, "nameserver 127.0.0.1\n", 21) == 21);
	close(fd);
	resolver_tcp = bound(AF_INET, SOCK_STREAM, 0, &opts.port);
	resolver = bound(AF_INET, SOCK_DGRAM, opts.port, &port);
	opts.open_socket = open_socket;
	opts.ctx = &loop;
	sem_init(&done, 0, 0);
	assert_int_equal(hr_loop_new(&loop), 0);
	assert_int_equal(hr_dns_new(&dns, loop, &opts), 0);
	socks.udp4 = bound(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0, &dns_udp);
	socks.tcp4 = bound(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0, &dns_tcp);
	socks.udp6 = bound(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0, &port);
	socks.tcp6 = -1;
	assert_int_equal(hr_dns_serve(dns, &socks, &dns_udp, NULL), 0);
	assert_int_equal(hr_addr_parse("240.240.0.7", &addr), 0);
	assert_int_equal(pthread_create(&thread, NULL, run_loop, NULL), 0);
	in_loop(run_publish, &plan);
	client = bound(AF_INET, SOCK_DGRAM, 0, &port);
	to.sin_port = htons(dns_udp);
	return connect(client, (struct sockaddr *)&to, sizeof(to));
}

static void stop(void *ctx)
{
	hr_loop_stop(ctx);
}

static int teardown(void **state)
{
	(void)state;
	hr_loop_post(loop, stop, loop);
	pthread_join(thread, NULL);
	hr_dns_free(dns);
	hr_loop_free(loop);
	close(client);
	close(resolver);
	close(resolver_tcp);
	unlink(resolv_conf);
	return 0;
}

static ssize_t ask(const void *query, size_t n, uint8_t *out)
{
	assert_int_equal(send(client, query, n, 0), n);
	return recv(client, out, 65535, 0);
}

static void test_mesh_name(void **state)
{
	static const char query[] = QUERY(MESH);
	uint8_t out[65535];

	(void)state;
	assert_int_equal(ask(query, sizeof(query) - 1, out), sizeof(query) - 1 + 16);
	assert_memory_equal(out, "\x12\x34\x85\x80\x00\x01\x00\x01", 8);
	assert_memory_equal(out + sizeof(query) - 1 + 12, "\xf0\xf0\x00\x07", 4);
}

static void test_malformed(void **state)
{
	uint8_t out[65535];

	(void)state;
	assert_int_equal(ask("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c", 14, out),
			 12);
	assert_int_equal(out[3] & 15, HR_DNS_FORMERR);
	/* no answer to an answer; the next query is served */
	assert_int_equal(send(client, "\x12\x34\x81\x00\x00\x01\x00\x00\x00\x00\x00\x00", 12, 0),
			 12);
	test_mesh_name(state);
}

/* Forwarded with another id; what the resolver says comes back as it is, under the first id. An
 * answer with a wrong id or question, sent first by somebody who guesses, is not taken. */
static void test_forward(void **state)
{
	static const char query[] = QUERY(OTHER);
	size_t n = sizeof(query) - 1;
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	uint8_t seen[4096], answer[4096], out[65535];
	int stranger;

	(void)state;
	assert_int_equal(send(client, query, n, 0), n);
	assert_int_equal(recvfrom(resolver, seen, sizeof(seen), 0, (struct sockaddr *)&from, &len),
			 n);
	assert_memory_equal(seen + 2, query + 2, n - 2);
	memcpy(answer, seen, n);
	answer[2] |= 0x80;
	memcpy(answer + n, "some record bytes", 17);
	answer[1] ^= 1;
	sendto(resolver, answer, n, 0, (struct sockaddr *)&from, len);
	answer[1] ^= 1;
	answer[13] ^= 1;
	sendto(resolver, answer, n, 0, (struct sockaddr *)&from, len);
	answer[13] ^= 1;
	/* from another socket: the kernel keeps it away */
	stranger = socket(AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(sendto(stranger, answer, n, 0, (struct sockaddr *)&from, len), n);
	close(stranger);
	usleep(20000);
	assert_int_equal(recv(client, out, sizeof(out), MSG_DONTWAIT), -1);
	sendto(resolver, answer, n + 17, 0, (struct sockaddr *)&from, len);
	assert_int_equal(recv(client, out, sizeof(out), 0), n + 17);
	assert_memory_equal(out, "\x12\x34", 2);
	assert_memory_equal(out + 2, answer + 2, n + 15);
}

/* Silence is tried again, then SERVFAIL; never a hang. */
static void test_silent_resolver(void **state)
{
	static const char query[] = QUERY(OTHER);
	struct hr_dns_stats stats;
	uint8_t out[65535];
	int tries = 0;

	(void)state;
	assert_int_equal(ask(query, sizeof(query) - 1, out), sizeof(query) - 1);
	assert_memory_equal(out, "\x12\x34", 2);
	assert_int_equal(out[3] & 15, HR_DNS_SERVFAIL);
	while (recv(resolver, out, sizeof(out), MSG_DONTWAIT) > 0)
		tries++;
	assert_int_equal(tries, 4);
	in_loop(run_stats, &stats);
	assert_int_equal(stats.outstanding, 0);
	/* loopback resolvers are asked from the agent's own namespace */
	assert_int_equal(netns_seen, 0);
}

static int tcp_connect(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				 .sin_port = htons(dns_tcp)};
	struct timeval limit = {.tv_sec = 3};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* Two queries in one write, the first split from its length: answered in order. */
static void test_tcp(void **state)
{
	static const char mesh[] = QUERY(MESH), other[] = QUERY(OTHER);
	size_t m = sizeof(mesh) - 1, n = sizeof(other) - 1;
	uint8_t both[256], big[2 + 40000], out[65535], len[2];
	int fd = tcp_connect(), up;

	(void)state;
	hr_dns_put16(both, n);
	memcpy(both + 2, other, n);
	hr_dns_put16(both + 2 + n, m);
	memcpy(both + 4 + n, mesh, m);
	assert_int_equal(send(fd, both, 1, 0), 1);
	usleep(20000);
	assert_int_equal(send(fd, both + 1, 3 + n + m, 0), 3 + n + m);
	up = accept(resolver_tcp, NULL, NULL);
	assert_true(up >= 0);
	assert_int_equal(recv(up, big, 2 + n, MSG_WAITALL), 2 + n);
	assert_int_equal(hr_dns_get16(big), n);
	/* an answer that UDP would not carry, in two pieces */
	memset(big + 2 + n, 'r', sizeof(big) - 2 - n);
	hr_dns_put16(big, sizeof(big) - 2);
	big[4] |= 0x80;
	assert_int_equal(send(up, big, 100, 0), 100);
	usleep(20000);
	assert_int_equal(send(up, big + 100, sizeof(big) - 100, 0), sizeof(big) - 100);
	assert_int_equal(recv(fd, out, sizeof(big), MSG_WAITALL), sizeof(big));
	assert_memory_equal(out + 2, "\x12\x34", 2);
	assert_memory_equal(out + 4, big + 4, sizeof(big) - 4);
	assert_int_equal(recv(fd, len, 2, MSG_WAITALL), 2);
	assert_int_equal(hr_dns_get16(len), m + 16);
	assert_int_equal(recv(fd, out, m + 16, MSG_WAITALL), m + 16);
	close(up);
	close(fd);
}

/* Lengths that are no query close the connection; a client that goes away leaves nothing. */
static void test_tcp_bad(void **state)
{
	static const char other[] = QUERY(OTHER);
	struct hr_dns_stats stats;
	uint8_t buf[256];
	int fd = tcp_connect();

	(void)state;
	assert_int_equal(send(fd, "\xff\xff", 2, 0), 2);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 0);
	close(fd);
	fd = tcp_connect();
	hr_dns_put16(buf, sizeof(other) - 1);
	memcpy(buf + 2, other, sizeof(other) - 1);
	assert_int_equal(send(fd, buf, sizeof(other) + 1, 0), sizeof(other) + 1);
	close(fd);
	for (int i = 0; i < 40; i++) {
		usleep(50000);
		in_loop(run_stats, &stats);
		if (!stats.outstanding && !stats.tcp_clients)
			break;
	}
	assert_int_equal(stats.outstanding, 0);
	assert_int_equal(stats.tcp_clients, 0);
}

/* A flood of foreign names holds a bounded number of sockets; the mesh's names are still served,
 * and when the namespace goes all is given back. */
static void test_flood_and_forget(void **state)
{
	static const char query[] = QUERY(OTHER);
	struct hr_dns_stats stats;
	uint8_t out[65535];
	int refused = 0;

	(void)state;
	for (int i = 0; i < 300; i++) {
		assert_int_equal(send(client, query, sizeof(query) - 1, 0), sizeof(query) - 1);
		/* one by one: the socket's own queue must not be what bounds it */
		in_loop(run_stats, &stats);
	}
	while (recv(client, out, sizeof(out), MSG_DONTWAIT) > 0)
		refused++;
	in_loop(run_stats, &stats);
	assert_in_range(stats.overload, 1, 299);
	assert_in_range(refused, 1, 299);
	in_loop(run_forget, &dns_udp);
	in_loop(run_stats, &stats);
	assert_int_equal(stats.outstanding, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mesh_name),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_forward),
		cmocka_unit_test(test_silent_resolver),
		cmocka_unit_test(test_tcp),
		cmocka_unit_test(test_tcp_bad),
		cmocka_unit_test(test_flood_and_forget), /* last: ends the namespace */
	};

	return cmocka_run_group_tests_name("dns", tests, setup, teardown);
}
