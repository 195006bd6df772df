// SPDX-License-Identifier: Apache-2.0
/*
 * HTTP/2 clients of the proxy, with curl as the client: streams are requests like any other, whose
 * bodies go both ways and whose failures are answers.
 */
#include "rig.h"

static struct rig r;

#define VS(http)                                                                            \
	"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: web}\n" \
	"spec: {hosts: [web], http: [" http "]}\n---\n"
#define TO_WEB "route: [{destination: {host: web, port: {number: 80}}}]"

/* curl -s ARGS URL...: what it prints. `%s` is the door's address. */
static char *curl(const char *args)
{
	static char outs[2][64 * 1024]; /* so that two can be compared */
	static unsigned turn;
	char *out = outs[turn++ % 2];
	char cmd[2000];
	size_t n;
	FILE *p;

	snprintf(cmd, sizeof(cmd), "curl -s -m 10 --connect-to ::127.0.0.1:%u %s 2>&1",
		 r.ports.door_port, args);
	p = popen(cmd, "r");
	assert_non_null(p);
	n = fread(out, 1, sizeof(outs[0]) - 1, p);
	out[n] = 0;
	pclose(p);
	return out;
}

#define PRIOR "--http2-prior-knowledge "
#define SAY "-w '%{http_version} %{http_code} %{size_download}\n' -o /dev/null "

static void test_get(void **state)
{
	(void)state;
	rig_publish(&r, VS("{" TO_WEB "}"));
	assert_string_equal(curl(PRIOR "http://web/id/a"), "a");
	assert_string_equal(curl(PRIOR SAY "http://web/id/a"), "2 200 1\n");
	assert_string_equal(curl(PRIOR "-I " SAY "http://web/id/a"), "2 200 0\n");
	rig_flags(&r, "");
}

static void test_upgrade(void **state)
{
	(void)state;
	assert_string_equal(curl("--http2 " SAY "http://web/id/a"), "2 200 1\n");
	assert_string_equal(curl("--http2 " SAY "http://web/big/20000"), "2 200 20000\n");
	/* a body would have to be read as HTTP/1.1 before the frames: it stays HTTP/1.1 */
	assert_string_equal(curl("--http2 -d abc " SAY "http://web/upload"), "1.1 200 7\n");
}

static void test_bodies(void **state)
{
	(void)state;
	assert_string_equal(curl(PRIOR SAY "http://web/big/3000000"), "2 200 3000000\n");
	assert_string_equal(curl(PRIOR "http://web/chunks"), curl("http://web/chunks"));
	assert_string_equal(curl(PRIOR "http://web/until-close"), curl("http://web/until-close"));
	assert_string_equal(curl("--data-binary @/bin/ls http://web/upload"),
			    curl(PRIOR "--data-binary @/bin/ls http://web/upload"));
	assert_string_equal(curl("-T /bin/ls http://web/upload"),
			    curl(PRIOR "-T - http://web/upload < /bin/ls"));
}

/* Servers that break off, and that answer what they may not: an answer of ours, or a reset. */
static void test_failures(void **state)
{
	(void)state;
	assert_string_equal(curl(PRIOR SAY "http://web/close"), "2 503 95\n");
	rig_flags(&r, "UC");
	assert_string_equal(curl(PRIOR SAY "http://web/garbage"), "2 502 87\n");
	rig_flags(&r, "UPE");
	/* cut short: a reset, not an end (curl: 92) */
	assert_string_equal(curl(PRIOR "-w '%{exitcode}' -o /dev/null http://web/partial"), "92");
	rig_flags(&r, "UC");
	assert_string_equal(curl(PRIOR SAY "http://web/upgrade"), "2 502 87\n");
	assert_string_equal(curl(PRIOR SAY "http://web/storm"), "2 502 87\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_get),
		cmocka_unit_test(test_upgrade),
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_failures),
	};
	int failed;

	rig_start(&r, "");
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rig_stop(&r);
	return failed;
}
