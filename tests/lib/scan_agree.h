/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The promise of the kernel's scanners: what they accept, the strict parser accepts, and reads in
 * the same way. Shared by the fuzz target and by the generated test.
 */
#pragma once

#include <stdio.h>
#include <string.h>

#include "http/http1.h"
#include "http/path.h"
#include "lib/scan.h"
#include "lib/scan_resp.h"

#define AGREE(cond)                   \
	do {                          \
		if (!(cond))          \
			return #cond; \
	} while (0)

static inline struct hr_slice scan_slice(const struct hr_scan *s, unsigned off, unsigned len)
{
	return (struct hr_slice){(const char *)s->buf + off, len};
}

static inline const char *scan_fields_agree(struct hr_scan *s, const struct hr_http_msg *m)
{
	char name[HR_HNAME_MAX + 8];

	AGREE(s->nlines == m->nfields);
	for (unsigned i = 0; i < m->nfields; i++) {
		struct hr_slice n = hr_http_str(m, m->fields[i].name);
		bool twice = hr_http_find(m, n, hr_http_find(m, n, NULL));
		const struct hr_scan_line *l = &s->line[i];

		AGREE(hr_slice_eq(n, scan_slice(s, l->name_off, l->name_len)));
		AGREE(hr_slice_eq(hr_http_str(m, m->fields[i].value),
				  scan_slice(s, l->value_off, l->value_len)));
		if (n.n > HR_HNAME_MAX)
			continue;
		memset(name, 0, sizeof(name));
		for (size_t k = 0; k < n.n; k++)
			name[k] = n.p[k] >= 'A' && n.p[k] <= 'Z' ? n.p[k] | 0x20 : n.p[k];
		AGREE(hr_scan_find(s, name, n.n) == (twice ? 2 : 1));
		AGREE(twice || s->found == i);
	}
	memcpy(name, "x-absent-from-it\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", HR_HNAME_MAX);
	AGREE(hr_scan_find(s, name, 16) ==
	      (hr_http_find(m, HR_SLICE("x-absent-from-it"), NULL) ? 1 : 0));
	return NULL;
}

/* NULL, or what they do not agree on. */
static inline const char *scan_agrees(struct hr_scan *s, const void *data, size_t n)
{
	static struct hr_http_msg m;
	struct hr_slice path;
	int v;

	n = n < HR_KHEAD_MAX ? n : HR_KHEAD_MAX;
	memset(s->buf, 0xa5, sizeof(s->buf));
	memcpy(s->buf, data, n);
	v = hr_scan_request(s, n);
	if (v == HR_SCAN_DECLINED)
		AGREE(s->why > HR_WHY_TUNNEL && s->why < HR_WHY_MAX);
	hr_http_init(&m, HR_HTTP_REQUEST, false);
	if (v == HR_SCAN_NOT_HTTP) {
		AGREE(hr_http_parse(&m, data, n) != HR_HTTP_OK);
		return NULL;
	}
	if (v != HR_SCAN_OK)
		return NULL;
	AGREE(!memcmp(s->buf, data, n));
	AGREE(hr_http_parse(&m, data, n) == HR_HTTP_OK);
	AGREE(m.head_len == s->head_len && m.minor == 1 && m.form == HR_TARGET_ORIGIN);
	AGREE(m.keep_alive == !s->close && !m.upgrade && !m.expect_continue);
	AGREE(m.framing == (s->has_content_length ? HR_BODY_LENGTH : HR_BODY_NONE));
	AGREE(m.content_length == s->content_length);
	AGREE(hr_slice_eq(hr_http_str(&m, m.method), scan_slice(s, 0, s->method_len)));
	AGREE((s->method == HR_METHOD_HEAD) ==
	      hr_slice_eq(hr_http_str(&m, m.method), HR_SLICE("HEAD")));
	path = hr_http_path(&m);
	AGREE(hr_slice_eq(path, scan_slice(s, s->path_off, s->path_len)));
	AGREE(hr_path_is_canonical(path, HR_PATH_BASE));
	AGREE(s->double_slash || hr_path_is_canonical(path, HR_PATH_DECODE_AND_MERGE_SLASHES));
	AGREE(m.has_query == s->has_query);
	AGREE(!m.has_query ||
	      hr_slice_eq(hr_http_str(&m, m.query), scan_slice(s, s->query_off, s->query_len)));
	AGREE(m.host_len == s->host_len && !memcmp(m.host, s->host, m.host_len));
	for (unsigned i = s->host_len; i < HR_HOST_MAX; i++)
		AGREE(!s->host[i]);
	return scan_fields_agree(s, &m);
}

static inline const char *resp_agrees(struct hr_resp *s, const void *data, size_t n, bool head)
{
	static const enum hr_http_framing framing[] = {
		[HR_END_NONE] = HR_BODY_NONE,
		[HR_END_LENGTH] = HR_BODY_LENGTH,
		[HR_END_CHUNKED] = HR_BODY_CHUNKED,
		[HR_END_CLOSE] = HR_BODY_UNTIL_CLOSE,
	};
	static struct hr_http_msg m;

	n = n < HR_KRESP_MAX ? n : HR_KRESP_MAX;
	memset(s->buf, 0xa5, sizeof(s->buf));
	memcpy(s->buf, data, n);
	if (hr_scan_response(s, n, head) != HR_RESP_OK)
		return NULL;
	hr_http_init(&m, HR_HTTP_RESPONSE, head);
	AGREE(hr_http_parse(&m, data, n) == HR_HTTP_OK);
	AGREE(m.head_len == s->head_len && m.status == s->status && m.minor == s->minor);
	AGREE(m.framing == framing[s->end] && m.interim == s->interim);
	AGREE(s->end != HR_END_LENGTH || m.content_length == s->content_length);
	AGREE(m.keep_alive == !s->close);
	return NULL;
}
