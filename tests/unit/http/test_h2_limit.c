// SPDX-License-Identifier: Apache-2.0
// What no honest peer of HTTP/2 does, as functions of one frame's head: each limit met to the
// frame.
#include <string.h>

#include "http/h2int.h"
#include "unit.h"

static struct hr_h2 *conn(enum hr_h2_role role)
{
	struct hr_h2 *h;

	assert_int_equal(hr_h2_new(&h, role, 1000), 0);
	return h;
}

/* How many such frames are taken before one is too many; at most `most` are tried. */
static unsigned taken(struct hr_h2 *h, uint8_t type, int32_t stream, uint8_t flags, unsigned most)
{
	const nghttp2_frame_hd hd = {.type = type, .stream_id = stream, .flags = flags};

	for (unsigned i = 0; i < most; i++)
		if (hr_h2_limit_begin(h, &hd))
			return i;
	return most;
}

static void test_control(void **state)
{
	static const uint8_t types[] = {NGHTTP2_PING, NGHTTP2_SETTINGS, NGHTTP2_PRIORITY,
					NGHTTP2_GOAWAY};

	(void)state;
	for (size_t i = 0; i < sizeof(types); i++) {
		for (int role = HR_H2_SERVER; role <= HR_H2_CLIENT; role++) {
			struct hr_h2 *h = conn(role);

			assert_int_equal(taken(h, types[i], 0, 0, 5000), HR_H2_CONTROL_BURST);
			assert_non_null(hr_h2_flood(h));
			hr_h2_free(h);
		}
	}
	/* all of them draw on one bucket, and time fills it */
	struct hr_h2 *h = conn(HR_H2_CLIENT);

	assert_int_equal(taken(h, NGHTTP2_PING, 0, 0, 600), 600);
	assert_int_equal(taken(h, NGHTTP2_GOAWAY, 0, 0, 300), 300);
	h->now_ms += 5000;
	assert_int_equal(taken(h, NGHTTP2_SETTINGS, 0, 0, 5000),
			 HR_H2_CONTROL_BURST - 900 + 5 * HR_H2_CONTROL_RATE);
	hr_h2_free(h);
}

static void test_continuation(void **state)
{
	struct hr_h2 *h = conn(HR_H2_CLIENT);
	const nghttp2_frame_hd head = {.type = NGHTTP2_HEADERS, .stream_id = 1};

	(void)state;
	for (int i = 0; i < 3; i++) { /* each block has its own */
		assert_false(hr_h2_limit_begin(h, &head));
		assert_int_equal(taken(h, NGHTTP2_CONTINUATION, 1, 0, HR_H2_CONTINUATIONS),
				 HR_H2_CONTINUATIONS);
	}
	assert_int_equal(taken(h, NGHTTP2_CONTINUATION, 1, 0, 1), 0);
	assert_string_equal(hr_h2_flood(h), "CONTINUATION flood");
	hr_h2_free(h);
}

/* Heads for streams that we gave up: some are on their way, each stream opened earns more. */
static void test_late_heads(void **state)
{
	struct hr_h2 *h = conn(HR_H2_CLIENT);

	(void)state;
	hr_h2_limit_opened(h);
	assert_int_equal(taken(h, NGHTTP2_HEADERS, 1, 0, 5000), HR_H2_LATE + HR_H2_UPDATES_EARNED);
	assert_string_equal(hr_h2_flood(h), "HEADERS of ended streams");
	hr_h2_free(h);
}

static void test_empty_data(void **state)
{
	struct hr_h2 *h = conn(HR_H2_SERVER);

	(void)state;
	assert_int_equal(taken(h, NGHTTP2_DATA, 1, NGHTTP2_FLAG_END_STREAM, 5000), 5000);
	assert_int_equal(taken(h, NGHTTP2_DATA, 1, 0, 5000), HR_H2_EMPTY_BURST);
	hr_h2_free(h);
}

static void test_push(void **state)
{
	struct hr_h2 *h = conn(HR_H2_CLIENT);

	(void)state;
	assert_int_equal(taken(h, NGHTTP2_PUSH_PROMISE, 1, 0, 2), 0);
	hr_h2_free(h);
}

static void test_window_updates(void **state)
{
	struct hr_h2 *h = conn(HR_H2_CLIENT);

	(void)state;
	hr_h2_limit_opened(h);
	assert_int_equal(taken(h, NGHTTP2_WINDOW_UPDATE, 0, 0, 5000),
			 HR_H2_UPDATES + HR_H2_UPDATES_EARNED);
	hr_h2_free(h);
}

/* More than half of many, within their first second. */
static void test_resets(void **state)
{
	struct hr_h2_stream young = {.opened_ms = 1000}, old = {.opened_ms = 0};
	struct hr_h2 *h = conn(HR_H2_SERVER);

	(void)state;
	h->now_ms = 1000 + HR_H2_RESET_AGE_MS;
	for (int i = 0; i < 2 * HR_H2_RESETS; i++)
		hr_h2_limit_opened(h);
	for (int i = 0; i < 5 * HR_H2_RESETS; i++)
		assert_false(hr_h2_limit_reset(h, &old));
	for (int i = 0; i < HR_H2_RESETS; i++)
		assert_false(hr_h2_limit_reset(h, &young));
	assert_true(hr_h2_limit_reset(h, &young));
	hr_h2_free(h);
}

/* A server that says GOAWAY takes no stream more; before its SETTINGS came, our own bound holds. */
static void test_peer_streams(void **state)
{
	static const uint8_t settings[] = {0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 7};
	static const uint8_t goaway[] = {0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
	struct hr_h2 *h = conn(HR_H2_CLIENT);

	(void)state;
	assert_int_equal(hr_h2_peer_streams(h), HR_H2_STREAMS);
	assert_int_equal(hr_h2_recv(h, (const char *)settings, sizeof(settings), 1000), 0);
	assert_int_equal(hr_h2_peer_streams(h), 7);
	assert_int_equal(hr_h2_recv(h, (const char *)goaway, sizeof(goaway), 1000), 0);
	assert_int_equal(hr_h2_peer_streams(h), 0);
	hr_h2_free(h);
}

/* A request is text in, frames out; its answer frames in, text out; a reset says whether the server
 * did anything. */
static void test_stream(void **state)
{
	static const char request[] = "GET /a HTTP/1.1\r\nHost: web\r\n\r\n";
	static const uint8_t answer[] = {0, 0, 0, 4, 0, 0, 0, 0, 0,		  /* SETTINGS */
					 0, 0, 1, 1, 5, 0, 0, 0, 1, 0x88};	  /* 200, the end */
	static const uint8_t refused[] = {0, 0, 4, 3, 0, 0, 0, 0, 3, 0, 0, 0, 7}; /* RST_STREAM */
	struct hr_h2 *h = conn(HR_H2_CLIENT);
	struct hr_h2_stream *one = hr_h2_open(h, NULL), *two = hr_h2_open(h, NULL);
	char text[256];
	size_t n;

	(void)state;
	assert_int_equal(hr_h2_write(one, request, strlen(request)), strlen(request));
	assert_int_equal(hr_h2_write(two, request, strlen(request)), strlen(request));
	hr_h2_out_used(h, hr_h2_out(h).n);
	assert_int_equal(one->id, 1);
	assert_int_equal(two->id, 3);
	assert_int_equal(hr_h2_recv(h, (const char *)answer, sizeof(answer), 1001), 0);
	assert_ptr_equal(hr_h2_next(h), one);
	n = hr_h2_read(one, text, sizeof(text));
	assert_true(n > 12 && !memcmp(text, "HTTP/1.1 200", 12));
	assert_true(hr_h2_eof(one) && !one->reset);
	assert_int_equal(hr_h2_recv(h, (const char *)refused, sizeof(refused), 1002), 0);
	assert_true(two->reset && two->refused && two->closed);
	hr_h2_done(one, NGHTTP2_CANCEL);
	hr_h2_done(two, NGHTTP2_CANCEL);
	hr_h2_free(h);
}

/* Requests that never go out: the user left before they could, or the server says GOAWAY. nghttp2
 * tells of both twice, as not sent and as closed. */
static void test_not_sent(void **state)
{
	static const char request[] = "GET /a HTTP/1.1\r\nHost: web\r\n\r\n";
	static const uint8_t goaway[] = {0, 0, 0, 4, 0, 0, 0, 0, 0, /* SETTINGS */
					 0, 0, 8, 7, 0, 0, 0, 0, 0, /* GOAWAY, the last: 0 */
					 0, 0, 0, 0, 0, 0, 0, 0};
	struct hr_h2 *h = conn(HR_H2_CLIENT);
	struct hr_h2_stream *s = hr_h2_open(h, NULL);
	struct hr_slice out;

	(void)state;
	hr_h2_out_used(h, hr_h2_out(h).n); /* the preface */
	assert_int_equal(hr_h2_write(s, request, strlen(request)), strlen(request));
	hr_h2_done(s, NGHTTP2_CANCEL);
	assert_int_equal(hr_h2_out(h).n, 0);
	assert_null(hr_h2_any(h));

	s = hr_h2_open(h, NULL);
	assert_int_equal(hr_h2_write(s, request, strlen(request)), strlen(request));
	assert_int_equal(hr_h2_recv(h, (const char *)goaway, sizeof(goaway), 1001), 0);
	out = hr_h2_out(h);
	assert_true(out.n == 9 && out.p[3] == NGHTTP2_SETTINGS); /* an ACK */
	assert_ptr_equal(hr_h2_next(h), s);
	assert_true(s->closed && s->reset && s->refused);
	hr_h2_done(s, NGHTTP2_CANCEL);
	hr_h2_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_control),	   cmocka_unit_test(test_continuation),
		cmocka_unit_test(test_late_heads), cmocka_unit_test(test_empty_data),
		cmocka_unit_test(test_push),	   cmocka_unit_test(test_window_updates),
		cmocka_unit_test(test_resets),	   cmocka_unit_test(test_peer_streams),
		cmocka_unit_test(test_stream),	   cmocka_unit_test(test_not_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
