// SPDX-License-Identifier: Apache-2.0
/*
 * What no honest peer of HTTP/2 does: counted here, beside nghttp2's own limits, and answered with
 * GOAWAY ENHANCE_YOUR_CALM. Each limit is in headrace/limits.h, each has a test named by its
 * attack.
 */
#include "core/cleanup.h"
#include "core/log.h"
#include "http/h2int.h"

/* Only noted: in the middle of a frame nghttp2 must not be told to end (it asserts that it was
 * not), so h2.c does it afterwards. */
static bool flood(struct hr_h2 *h, const char *what)
{
	if (!h->flood)
		h->flood = what;
	return true;
}

/* One token more; true: there is none. */
static bool spent(struct hr_h2 *h, struct hr_h2_bucket *b, uint32_t burst, uint32_t rate)
{
	uint64_t back = (h->now_ms - b->since_ms) * rate / 1000;

	if (back) {
		b->used -= (uint32_t)HR_MIN(back, (uint64_t)b->used);
		b->since_ms = h->now_ms;
	}
	return ++b->used > burst;
}

static bool control(struct hr_h2 *h, const char *what)
{
	return spent(h, &h->control, HR_H2_CONTROL_BURST, HR_H2_CONTROL_RATE) && flood(h, what);
}

/* A server may not open streams, so that any which is not known has ended. */
static bool is_ended(struct hr_h2 *h, int32_t id)
{
	return (h->role == HR_H2_CLIENT ||
		id <= nghttp2_session_get_last_proc_stream_id(h->session)) &&
	       !nghttp2_session_get_stream_user_data(h->session, id);
}

bool hr_h2_limit_begin(struct hr_h2 *h, const nghttp2_frame_hd *hd)
{
	static const char ended[] = "HEADERS of ended streams";

	switch (hd->type) {
	case NGHTTP2_HEADERS:
		h->continuations = 0;
		/* of a stream that has ended: decoded, and ignored */
		return is_ended(h, hd->stream_id) &&
		       (h->role == HR_H2_SERVER
				? control(h, ended)
				: ++h->late > HR_H2_LATE + h->earned && flood(h, ended));
	case NGHTTP2_CONTINUATION:
		return ++h->continuations > HR_H2_CONTINUATIONS && flood(h, "CONTINUATION flood");
	case NGHTTP2_DATA:
		return !hd->length && !(hd->flags & NGHTTP2_FLAG_END_STREAM) &&
		       spent(h, &h->empty, HR_H2_EMPTY_BURST, HR_H2_EMPTY_RATE) &&
		       flood(h, "empty DATA flood");
	case NGHTTP2_PING:
		return control(h, "PING flood");
	case NGHTTP2_SETTINGS:
		return control(h, "SETTINGS flood");
	case NGHTTP2_PUSH_PROMISE:
		/* our first words forbid it; nghttp2 waits until the server has acknowledged them
		 */
		return h->role == HR_H2_CLIENT && flood(h, "PUSH_PROMISE");
	case NGHTTP2_GOAWAY:
		return control(h, "GOAWAY flood");
	case NGHTTP2_PRIORITY:
		return control(h, "PRIORITY flood");
	case NGHTTP2_WINDOW_UPDATE:
		return ++h->updates > HR_H2_UPDATES + h->earned && flood(h, "WINDOW_UPDATE flood");
	default: /* of unknown types nghttp2 only skips the bytes */
		return false;
	}
}

/* DATA that is padding only moves nothing either. */
bool hr_h2_limit_recv(struct hr_h2 *h, const nghttp2_frame *f)
{
	return f->hd.type == NGHTTP2_DATA && f->hd.length && f->data.padlen >= f->hd.length &&
	       !(f->hd.flags & NGHTTP2_FLAG_END_STREAM) &&
	       spent(h, &h->empty, HR_H2_EMPTY_BURST, HR_H2_EMPTY_RATE) &&
	       flood(h, "empty DATA flood");
}

void hr_h2_limit_opened(struct hr_h2 *h)
{
	h->earned += HR_H2_UPDATES_EARNED;
	if (++h->opened < 4 * HR_H2_RESETS)
		return;
	h->opened /= 2; /* what was long ago weighs less */
	h->resets /= 2;
}

bool hr_h2_limit_reset(struct hr_h2 *h, const struct hr_h2_stream *s)
{
	if (s && h->now_ms - s->opened_ms > HR_H2_RESET_AGE_MS)
		return false;
	h->resets++;
	/* streams that were refused are resets, but were never open */
	return HR_MAX(h->opened, h->resets) >= HR_H2_RESETS && 2 * h->resets > h->opened &&
	       flood(h, "reset flood");
}

bool hr_h2_limit_block(struct hr_h2_stream *s)
{
	return s->block > HR_H2_BLOCK_MAX && flood(s->h, "header block flood");
}
