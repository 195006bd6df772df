// SPDX-License-Identifier: Apache-2.0
/* Answers that the kernel gives by itself: complete responses, word for word the proxy's. */
#include <stdio.h>
#include <string.h>

#include "http/http1.h"
#include "kern/rows.h"

/* false: longer than a row. */
static bool write_reply(struct hr_reply *out, unsigned status, const char *extra, const char *body,
			size_t len)
{
	bool bare = status == 204 || status == 304;
	char length[48] = "";
	int n;

	memset(out, 0, sizeof(*out));
	if (!bare)
		snprintf(length, sizeof(length), "content-length: %zu\r\n", len);
	n = snprintf(out->bytes, sizeof(out->bytes),
		     "HTTP/1.1 %u %s\r\n%s%s%sserver: headrace\r\n\r\n", status,
		     hr_http_reason(status), len ? "content-type: text/plain\r\n" : "", extra,
		     length);
	if (bare)
		len = 0;
	if (n < 0 || (size_t)n + len > sizeof(out->bytes))
		return false;
	memcpy(out->bytes + n, body, len);
	out->head_len = (uint16_t)n;
	out->len = (uint16_t)(n + (int)len);
	out->status = (uint16_t)status;
	return true;
}

static void well_known(struct kern_replies *r, uint32_t place, unsigned status, const char *extra,
		       const char *body)
{
	write_reply(&r->at[place], status, extra, body, strlen(body));
	r->dirty[place] = true;
}

void kern_replies_init(struct kern_replies *r)
{
	well_known(r, HR_REPLY_NR, 404, "", "");
	well_known(r, HR_REPLY_UH, 503, "", "no healthy upstream");
	well_known(r, HR_REPLY_NC, 503, "", "no healthy upstream");
	well_known(r, HR_REPLY_UO, 503, "x-envoy-overloaded: true\r\n",
		   "upstream connect error or disconnect/reset before headers. reset reason: "
		   "overflow");
	/* no body: whether it answers HEAD may not be known */
	well_known(r, HR_REPLY_END, 503, "connection: close\r\n", "");
}

uint32_t kern_reply_place(struct kern_replies *r, struct hr_rows *rows, unsigned status,
			  const char *body, size_t len, uint64_t now_ms)
{
	struct hr_reply want;
	uint32_t free = HR_NONE;

	if (!write_reply(&want, status, "", body, len))
		return HR_NONE;
	for (uint32_t i = 1; i < HR_REPLIES_MAX; i++) {
		if (!memcmp(&r->at[i], &want, sizeof(want))) {
			rows->reply_used[i] = true;
			return i;
		}
		if (free == HR_NONE && i >= HR_REPLY_FIRST_FREE && !rows->reply_used[i] &&
		    r->free_at[i] <= now_ms)
			free = i;
	}
	if (free != HR_NONE) {
		r->at[free] = want;
		r->dirty[free] = true;
		rows->reply_used[free] = true;
	}
	return free;
}
