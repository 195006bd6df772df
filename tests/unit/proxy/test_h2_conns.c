// SPDX-License-Identifier: Apache-2.0
/*
 * How many connections of HTTP/2 a cluster may have in use: maxConnections, over all workers.
 *
 *	curl --HTTP/1.1 or 2--> r (the proxy) --HTTP/2--> back (another one, as the server) -->
 *origin
 */
#include <fcntl.h>

#include "core/cleanup.h"
#include "rig.h"

static struct rig r, back;

#define PRIOR "--http2-prior-knowledge "
#define CLIENTS 8

/* Service `two` speaks HTTP/2 with `back`; settings of its connectionPool. */
static void publish(const char *tcp, const char *http)
{
	struct hr_strbuf s = {};

	hr_sb_printf(&s,
		     "apiVersion: v1\nkind: Service\nmetadata: {name: two}\n"
		     "spec: {clusterIP: 10.9.0.4, ports: [{name: http2, port: 80}]}\n---\n"
		     "apiVersion: v1\nkind: Endpoints\nmetadata: {name: two}\n"
		     "subsets: [{addresses: [{ip: 127.0.0.1}], ports: [{name: http2, port: %u}]}]\n"
		     "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\n"
		     "metadata: {name: two}\nspec: {host: two, trafficPolicy: {connectionPool: "
		     "{tcp: {%s}, http: {%s}}}}\n---\n",
		     back.ports.door_port, tcp, http);
	rig_publish(&r, s.data);
	hr_sb_free(&s);
}

/* A client on its way: its answers come by the pipe. */
static FILE *ask(const char *args)
{
	char cmd[1000];
	FILE *p;

	snprintf(cmd, sizeof(cmd), "exec curl -sN -m 20 --connect-to ::127.0.0.1:%u %s 2>&1",
		 r.ports.door_port, args);
	p = popen(cmd, "re");
	assert_non_null(p);
	return p;
}

static void answered(FILE *p, const char *want)
{
	char out[4096];
	size_t n = fread(out, 1, sizeof(out) - 1, p);

	out[n] = 0;
	pclose(p);
	assert_string_equal(out, want);
}

struct in_use {
	unsigned connections, requests, pending, refused, in_flight;
};

/* Of all clusters: only one has requests. */
static struct in_use in_use(void)
{
	const struct hr_cluster_rt *rt = hr_proxy_cluster_rt(r.px);
	struct in_use all = {};

	for (size_t i = 0; i < HR_CLUSTERS_MAX; i++) {
		all.connections += __atomic_load_n(&rt[i].h2_connections, __ATOMIC_RELAXED);
		all.requests += __atomic_load_n(&rt[i].h2_requests, __ATOMIC_RELAXED);
		all.pending += __atomic_load_n(&rt[i].pending, __ATOMIC_RELAXED);
		all.in_flight +=
			HR_INFLIGHT_SUM(__atomic_load_n(&rt[i].inflight.word, __ATOMIC_RELAXED));
		all.refused += __atomic_load_n(&rt[i].pending_overflow, __ATOMIC_RELAXED);
	}
	return all;
}

static void eventually(unsigned connections, unsigned requests, unsigned pending)
{
	struct in_use now = {};

	for (int i = 0; i < 500; i++) {
		now = in_use();
		if (now.connections == connections && now.requests == requests &&
		    now.pending == pending)
			return;
		usleep(10000);
	}
	fail_msg("%u connections, %u requests, %u pending", now.connections, now.requests,
		 now.pending);
}

static void nothing_in_use(void)
{
	eventually(0, 0, 0);
}

/* Without room for one more stream the second waits for the first, the third is refused. */
static void test_waits(void **state)
{
	unsigned refused = in_use().refused;
	FILE *one, *two;

	(void)state;
	publish("maxConnections: 1", "maxConcurrentStreams: 1, http1MaxPendingRequests: 1");
	one = ask(PRIOR "http://two/slow/1500/one");
	eventually(1, 1, 0);
	two = ask("http://two/id/two"); /* whatever the client speaks */
	eventually(1, 1, 1);
	answered(ask(PRIOR "-o /dev/null -w '%{http_code}' http://two/id/three"), "503");
	rig_flags(&r, "UO");
	assert_int_equal(in_use().refused, refused + 1);
	answered(one, "one");
	answered(two, "two");
	nothing_in_use();
	/* and nothing is left counted: one at a time always passes */
	answered(ask("http://two/id/[1-9]"), "123456789");
	nothing_in_use();
}

/* Requests that find room on a connection of theirs do not wait; without maxConnections nothing is
 * counted. */
static void test_shares(void **state)
{
	FILE *p[4];

	(void)state;
	publish("maxConnections: 2", "http1MaxPendingRequests: 1");
	for (size_t i = 0; i < HR_ARRAY_SIZE(p); i++)
		p[i] = ask(PRIOR "http://two/slow/1000/x"); /* two workers: two at most */
	for (int i = 0; i < 500 && in_use().requests < 4; i++)
		usleep(10000);
	assert_int_equal(in_use().requests, 4);
	assert_in_range(in_use().connections, 1, 2);
	for (size_t i = 0; i < HR_ARRAY_SIZE(p); i++)
		answered(p[i], "x");
	nothing_in_use();
	publish("", "maxConcurrentStreams: 7");
	p[0] = ask(PRIOR "http://two/slow/200/x");
	usleep(100000);
	nothing_in_use();
	answered(p[0], "x");
}

/* useClientProtocol: connections of both protocols are the cluster's, as in Envoy; streams are
 * none. */
static void test_both_protocols(void **state)
{
	FILE *one, *two, *p[3];

	(void)state;
	publish("maxConnections: 1", "useClientProtocol: true, http1MaxPendingRequests: 1");
	one = ask("http://two/slow/1000/one");
	for (int i = 0; i < 500 && !in_use().in_flight; i++)
		usleep(10000);
	two = ask(PRIOR "http://two/id/two");
	eventually(0, 0, 1); /* the other has the only connection */
	answered(one, "one");
	answered(two, "two");
	nothing_in_use();
	publish("maxConnections: 3", "useClientProtocol: true, http1MaxPendingRequests: 1");
	for (size_t i = 0; i < HR_ARRAY_SIZE(p); i++)
		p[i] = ask(PRIOR "http://two/slow/1000/x");
	for (int i = 0; i < 500 && in_use().requests < 3; i++)
		usleep(10000);
	assert_in_range(in_use().connections, 1, 2); /* two workers: there is room for one more */
	answered(ask("http://two/id/two"), "two");
	assert_int_equal(in_use().requests, 3); /* it has waited for none of them */
	for (size_t i = 0; i < HR_ARRAY_SIZE(p); i++)
		answered(p[i], "x");
	nothing_in_use();
}

/* A client that leaves, a server's end and a route's timeout give the place back. */
static void test_ends(void **state)
{
	(void)state;
	publish("maxConnections: 1", "maxConcurrentStreams: 1");
	answered(ask("-s -m 0.2 -o /dev/null -w '%{http_code}' http://two/slow/900/x"), "000");
	nothing_in_use();
	answered(ask(PRIOR "-o /dev/null -w '%{http_code}' http://two/close"), "503");
	nothing_in_use();
	answered(ask(PRIOR "http://two/id/x"), "x");
	/* each has a connection of its own, of which one is allowed */
	publish("maxConnections: 1", "maxRequestsPerConnection: 1");
	answered(ask("-Z --no-progress-meter http://two/slow/20/x?[1-6] -o /dev/null -w "
		     "'%{http_code}'"),
		 "200200200200200200");
	nothing_in_use();
}

/* One connection, clients on all workers without pause: the worker that has it leaves it to the
 * others in time, so each client has an answer before the first one has all of its own. */
static void test_turns(void **state)
{
	unsigned most = 0, first = 0, done = 0;
	bool begun[CLIENTS] = {};
	FILE *p[CLIENTS];
	char all[4096];

	(void)state;
	publish("maxConnections: 1", "");
	for (int i = 0; i < CLIENTS; i++) {
		char args[64];

		/* of different lengths: they do not all end at once by themselves */
		snprintf(args, sizeof(args), "--fail-early http://two/slow/%d/[100-999]",
			 5 + 3 * i);
		p[i] = ask(args);
		fcntl(fileno(p[i]), F_SETFL, O_NONBLOCK);
	}
	for (int k = 0; first < CLIENTS && k < 5000; k++) {
		for (int i = 0; i < CLIENTS; i++) {
			ssize_t n = begun[i] ? 0 : read(fileno(p[i]), all, 3);

			first += n == 3;
			begun[i] |= n == 3;
		}
		most = HR_MAX(most, in_use().connections);
		usleep(1000);
	}
	assert_int_equal(first, CLIENTS);
	assert_in_range(most, 0, 1); /* as far as one has looked in time */
	for (int i = 0; i < CLIENTS; i++) {
		errno = 0;
		while (read(fileno(p[i]), all, sizeof(all)) > 0)
			; /* what it has had meanwhile */
		done += errno != EAGAIN;
	}
	for (int i = 0; i < CLIENTS; i++)
		pclose(p[i]); /* curl ends of its pipe */
	assert_int_equal(done, 0);
	nothing_in_use();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_waits),	       cmocka_unit_test(test_shares),
		cmocka_unit_test(test_both_protocols), cmocka_unit_test(test_ends),
		cmocka_unit_test(test_turns),
	};
	int failed;

	rig_start(&back, "");
	rig_start(&r, "");
	snprintf(r.vip, sizeof(r.vip), "10.9.0.4");
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rig_stop(&r);
	rig_stop(&back);
	return failed;
}
