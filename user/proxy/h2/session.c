// SPDX-License-Identifier: Apache-2.0
/*
 * What both ends of the proxy do with HTTP/2: text of streams into the engine's buffers and out of
 * them, and one write a connection and loop turn.
 */
#include "core/cleanup.h"
#include "proxy/internal.h"

static void flush_all(void *ctx)
{
	struct px_worker *w = ctx;
	struct hr_list now;

	hr_list_init(&now);
	while (!hr_list_empty(&w->h2_dirty)) {
		struct hr_list *l = w->h2_dirty.next;

		hr_list_del(l);
		hr_list_add_tail(&now, l);
	}
	while (!hr_list_empty(&now)) {
		struct px_h2 *x = hr_list_entry(now.next, struct px_h2, dirty);

		hr_list_del(&x->dirty);
		x->due = true;
		if (x->c)
			px_client_run(x->c);
		else
			px_h2_up_run(x);
	}
}

void px_h2_touch(struct px_h2 *x)
{
	struct px_worker *w = x->w;

	if (!hr_list_empty(&x->dirty))
		return;
	hr_list_add_tail(&w->h2_dirty, &x->dirty);
	if (!hr_timer_running(&w->h2_flush))
		hr_timer_start(w->loop, &w->h2_flush, 0, flush_all, w);
}

void px_h2_free_dirty(struct px_worker *w)
{
	while (!hr_list_empty(&w->h2_dirty))
		px_h2_up_free(hr_list_entry(w->h2_dirty.next, struct px_h2, dirty));
}

size_t px_h2_read(struct px_worker *w, struct hr_h2_stream *s, struct px_side *side)
{
	size_t room, n = 0;

	if (hr_h2_readable(s)) {
		room = px_buf_room(w, &side->in);
		n = room ? hr_h2_read(s, side->in.p + side->in.end, room) : 0;
		side->in.end += (uint32_t)n;
		side->got += n;
		if (!px_buf_len(&side->in))
			px_buf_drop(w, &side->in);
	}
	side->readable = hr_h2_readable(s);
	if (!n && hr_h2_eof(s))
		side->eof = true;
	return n;
}

size_t px_h2_write(struct hr_h2_stream *s, struct px_out *o, const char *p, size_t n)
{
	if (px_out_len(o))
		o->off += hr_h2_write(s, o->p + o->off, px_out_len(o));
	return px_out_len(o) || !n ? 0 : hr_h2_write(s, p, n);
}
