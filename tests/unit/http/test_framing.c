// SPDX-License-Identifier: Apache-2.0
/*
 * Request smuggling needs two readers that see different message ends. tests/vectors/http1/framing
 * lists what such messages look like; each is read at once and byte by byte, and shown to the
 * kernel's scanner, which may only accept what the parser accepts.
 */
#include "unit.h"

#include "http/http1.h"
#include "scan_agree.h"
#include "vectors.h"

#define FILE_NAME "tests/vectors/http1/framing.txt"

/* The outcome in the words of the vector file. */
static void outcome(const char *kind, const char *data, size_t n, size_t piece, char *out)
{
	static struct hr_http_msg m;
	enum hr_http_result r = HR_HTTP_MORE;
	struct hr_http_body b;
	size_t have = 0, used = 0, at;

	hr_http_init(&m, strcmp(kind, "req") ? HR_HTTP_RESPONSE : HR_HTTP_REQUEST,
		     !strcmp(kind, "head"));
	while (r == HR_HTTP_MORE && have < n) {
		have = n - have < piece ? n : have + piece;
		r = hr_http_parse(&m, data, have);
	}
	if (r != HR_HTTP_OK) {
		sprintf(out, r == HR_HTTP_MORE ? "more" : "%u", m.error.status);
		return;
	}
	hr_http_body_init(&b, &m);
	for (at = m.head_len, r = HR_HTTP_MORE; at < n && r == HR_HTTP_MORE; at += used)
		r = hr_http_body_skip(&b, data + at, n - at < piece ? n - at : piece, &used);
	if (r == HR_HTTP_ERROR)
		sprintf(out, "body %u", b.error.status);
	else if (m.framing == HR_BODY_NONE)
		strcpy(out, "none");
	else if (m.framing == HR_BODY_LENGTH)
		sprintf(out, "length %u", (unsigned)b.payload);
	else if (m.framing == HR_BODY_CHUNKED && b.done)
		sprintf(out, "chunked %u", (unsigned)b.payload);
	else if (m.framing == HR_BODY_CHUNKED)
		strcpy(out, "chunked-more");
	else
		strcpy(out, m.framing == HR_BODY_TUNNEL ? "tunnel" : "close");
}

static void check(const struct vector *v)
{
	static struct hr_scan scan;
	static struct hr_resp resp;
	bool request = !strcmp(v->col[1], "req");
	char got[64];
	const char *what;

	outcome(v->col[1], v->col[3], v->len[3], v->len[3], got);
	if (strcmp(got, v->col[2]))
		fail_msg("%s:%d: %s: %s, expected %s", FILE_NAME, v->line, v->col[0], got,
			 v->col[2]);
	outcome(v->col[1], v->col[3], v->len[3], 1, got);
	if (strcmp(got, v->col[2]))
		fail_msg("%s:%d: %s: byte by byte %s", FILE_NAME, v->line, v->col[0], got);
	what = request ? scan_agrees(&scan, v->col[3], v->len[3])
		       : resp_agrees(&resp, v->col[3], v->len[3], !strcmp(v->col[1], "head"));
	if (what)
		fail_msg("%s:%d: %s: the scanner does not agree: %s", FILE_NAME, v->line, v->col[0],
			 what);
}

static void test_vectors(void **state)
{
	(void)state;
	assert_in_range(vectors_each(FILE_NAME, 4, check), 150, 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_vectors)};

	return cmocka_run_group_tests_name("http framing", tests, NULL, NULL);
}
