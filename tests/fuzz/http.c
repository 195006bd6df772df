// SPDX-License-Identifier: Apache-2.0
/*
 * The strict parser may not depend on how its bytes arrive: a message fed one byte at a time and in
 * odd pieces must end in the same result, with the same head, framing, payload and length, as the
 * message fed at once. First input byte: request, response, or answer to HEAD; and the piece size.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/str.h"
#include "http/http1.h"
#include "http/path.h"

#define CHECK(cond)              \
	do {                     \
		if (!(cond))     \
			abort(); \
	} while (0)

struct outcome {
	struct hr_http_msg m;
	enum hr_http_result head, body;
	size_t body_used;
	struct hr_strbuf payload;
};

static void run_body(struct outcome *o, const char *p, size_t n, size_t piece)
{
	struct hr_http_body b;
	struct hr_http_step s;
	size_t at = 0;

	hr_http_body_init(&b, &o->m);
	do {
		size_t take = n - at < piece ? n - at : piece;

		o->body = hr_http_body_next(&b, p + at, take, &s);
		CHECK(s.used <= take && s.payload + s.payload_len <= s.used);
		hr_sb_addn(&o->payload, p + at + s.payload, s.payload_len);
		at += s.used;
	} while (o->body == HR_HTTP_MORE && at < n && s.used);
	CHECK(o->payload.len == b.payload);
	CHECK(o->body != HR_HTTP_OK || (b.done && hr_http_body_eof(&b)));
	o->body_used = at;
}

static void run(struct outcome *o, const uint8_t *data, size_t n, uint8_t kind, size_t piece)
{
	size_t have = 0;

	memset(&o->payload, 0, sizeof(o->payload));
	o->body = HR_HTTP_MORE;
	o->body_used = 0;
	hr_http_init(&o->m, kind % 3 ? HR_HTTP_RESPONSE : HR_HTTP_REQUEST, kind % 3 == 2);
	do {
		/* its own copy, of that size: a read behind the end is seen, and the buffer moves
		 */
		have = n - have < piece ? n : have + piece;
		char *copy = malloc(have ? have : 1);

		memcpy(copy, data, have);
		o->head = hr_http_parse(&o->m, copy, have);
		free(copy);
	} while (o->head == HR_HTTP_MORE && have < n);
	o->m.base = (const char *)data;
	if (o->head == HR_HTTP_OK)
		run_body(o, (const char *)data + o->m.head_len, n - o->m.head_len, piece);
}

static void same(const struct outcome *a, const struct outcome *b)
{
	CHECK(a->head == b->head);
	if (a->head == HR_HTTP_ERROR)
		CHECK(a->m.error.status == b->m.error.status &&
		      a->m.error.reason == b->m.error.reason && a->m.error.reason);
	if (a->head != HR_HTTP_OK)
		return;
	CHECK(a->m.head_len == b->m.head_len && a->m.framing == b->m.framing);
	CHECK(a->m.nfields == b->m.nfields && a->m.content_length == b->m.content_length);
	CHECK(!memcmp(a->m.fields, b->m.fields, a->m.nfields * sizeof(a->m.fields[0])));
	CHECK(a->m.host_len == b->m.host_len && !memcmp(a->m.host, b->m.host, a->m.host_len));
	CHECK(a->body == b->body && a->payload.len == b->payload.len);
	CHECK(a->body == HR_HTTP_ERROR || a->body_used == b->body_used);
	CHECK(!a->payload.len || !memcmp(a->payload.data, b->payload.data, a->payload.len));
}

/* Canonical is a fixed point, and never longer. */
static void check_path(const struct hr_http_msg *m)
{
	static char once[HR_HEAD_MAX], twice[HR_HEAD_MAX];
	struct hr_slice path = hr_http_path(m);
	size_t n, n2;

	for (int norm = HR_PATH_BASE; norm <= HR_PATH_DECODE_AND_MERGE_SLASHES; norm++) {
		if (hr_path_canon(path, norm, once, &n) < 0)
			continue;
		CHECK(n && n <= path.n && once[0] == '/');
		if (norm == HR_PATH_BASE) {
			CHECK(hr_path_canon((struct hr_slice){once, n}, norm, twice, &n2) == 0);
			CHECK(n == n2 && !memcmp(once, twice, n));
			CHECK(hr_path_is_canonical((struct hr_slice){once, n}, norm));
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct outcome all, bytes, pieces;
	static struct hr_http_joins joins;
	struct hr_http_hops hops;
	uint8_t kind;

	if (!n || n > 20000)
		return 0;
	kind = *data++;
	n--;
	run(&all, data, n, kind, n ? n : 1);
	if (n < 4096)
		run(&bytes, data, n, kind, 1);
	run(&pieces, data, n, kind, 3 + kind / 3 % 61);
	if (n < 4096)
		same(&all, &bytes);
	same(&all, &pieces);
	if (all.head == HR_HTTP_OK) {
		hr_http_joins_reset(&joins);
		for (size_t i = 0; i < all.m.nfields; i++)
			hr_http_joined(&all.m, hr_http_str(&all.m, all.m.fields[i].name), &joins);
		CHECK(joins.used <= sizeof(joins.buf));
		hr_http_hop_fields(&all.m, &hops);
		if (all.m.kind == HR_HTTP_REQUEST)
			check_path(&all.m);
	}
	hr_sb_free(&all.payload);
	if (n < 4096)
		hr_sb_free(&bytes.payload);
	hr_sb_free(&pieces.payload);
	return 0;
}
