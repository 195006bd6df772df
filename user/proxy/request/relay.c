// SPDX-License-Identifier: Apache-2.0
/*
 * Bodies on their way, in both directions at once. Bytes are checked where they lie (vetted) and
 * sent from there; a side that cannot take more stops the reading of the other.
 */
#include <errno.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "proxy/internal.h"

/* ---- request ---- */

static void bad_body(struct px_req *r, const char *reason)
{
	px_req_leave(r, false);
	r->c->close = true;
	r->body.done = true;
	r->flags = "DPE";
	if (r->started)
		px_client_abort(r->c);
	else
		px_reply(r, 400, "DPE", reason);
}

/* Reads and checks more of the request's body. False: nothing new, or the request is over. */
static bool vet_request(struct px_req *r)
{
	struct px_client *c = r->c;
	size_t used = 0;

	if (!px_buf_len(&c->s.in) && !px_client_read(c)) {
		if (c->s.eof)
			bad_body(r, "request ended early");
		return false;
	}
	px_client_progress(c);
	if (hr_http_body_skip(&r->body, px_buf_at(&c->s.in), px_buf_len(&c->s.in), &used) ==
	    HR_HTTP_ERROR) {
		bad_body(r, r->body.error.reason);
		return false;
	}
	r->vetted = used;
	r->req_bytes += used;
	if (!hr_list_empty(&r->copies))
		px_mirror_body(r, px_buf_at(&c->s.in), used);
	return used != 0;
}

/* Copies what may have to be sent again. A body that is too long for that is not kept. */
static void keep_for_replay(struct px_req *r)
{
	struct px_client *c = r->c;

	if (!r->wire.keep || !r->vetted)
		return;
	if (r->wire.len - r->wire_head + r->vetted > PX_REPLAY_MAX) {
		r->wire.keep = false;
		return;
	}
	px_out_add(&r->wire, px_buf_at(&c->s.in), r->vetted);
	px_buf_use(c->w, &c->s.in, r->vetted);
	r->vetted = 0;
}

bool px_relay_request(struct px_req *r)
{
	struct px_client *c = r->c;
	bool moved = false;

	for (int i = 0; i < PX_TURNS && !r->req_sent; i++) {
		size_t before = px_out_len(&r->wire), took;

		if (!r->vetted && !r->body.done && !vet_request(r) &&
		    (r->state != PX_REQ_EXCHANGE || c->closed))
			return true;
		keep_for_replay(r);
		took = px_up_write(r->up, &r->wire, px_buf_at(&c->s.in), r->vetted);
		if (took || px_out_len(&r->wire) != before)
			r->any_sent = moved = true;
		if (took) {
			px_buf_use(c->w, &c->s.in, took);
			r->vetted -= took;
		}
		if (r->body.done && !r->vetted && !px_out_len(&r->wire)) {
			r->req_sent = true;
			px_req_received(r);
			return true;
		}
		if (!px_buf_len(&c->s.in) ? !c->s.readable : !r->up->s.writable)
			break;
	}
	return moved;
}

bool px_relay_discard(struct px_req *r)
{
	struct px_client *c = r->c;

	for (int i = 0; i < PX_TURNS && !r->body.done; i++) {
		if (!vet_request(r))
			return c->closed || r->state == PX_REQ_REPLY;
		px_buf_use(c->w, &c->s.in, r->vetted);
		r->vetted = 0;
	}
	return true;
}

/* ---- response ---- */

static void upstream_ended(struct px_req *r)
{
	struct px_up *u = r->up;

	hr_debug("upstream closed: %s", u->s.error ? strerror(u->s.error) : "end of file");
	if (u->refused)
		px_req_failed(r, PX_FAIL_REFUSED);
	else /* an end within a head is no answer; a reset is one of the connection */
		px_req_failed(r, r->resp_partial && !u->s.error ? PX_FAIL_GARBAGE : PX_FAIL_RESET);
}

static void switch_protocols(struct px_req *r)
{
	if (!r->msg.upgrade) {
		px_req_failed(r, PX_FAIL_GARBAGE);
		return;
	}
	px_outlier(r, r->resp.status, false);
	px_head_response(r);
	px_buf_use(r->c->w, &r->up->s.in, r->resp.head_len);
	r->started = true;
	r->status = r->resp.status;
	r->resp_head_bytes += r->resp.head_len;
	px_tunnel_join(r);
}

/* The final answer: another try, or on to the client. */
static void final_head(struct px_req *r)
{
	struct px_buf *in = &r->up->s.in;

	in->start += r->resp.head_len; /* the head's bytes stay until it is written */
	px_outlier(r, px_grpc_answer_status(r), false);
	if (px_retry_status(r, r->resp.status))
		return;
	px_head_response(r);
	px_buf_use(r->c->w, in, 0);
	r->started = r->resp_head = true;
	r->status = r->resp.status;
	r->resp_head_bytes += r->resp.head_len;
	hr_timer_stop(&r->per_try);
}

/* The head in r->resp is complete, its bytes are still in the input. */
static void response_head(struct px_req *r)
{
	struct px_client *c = r->c;
	struct px_buf *in = &r->up->s.in;
	size_t n = r->resp.head_len;

	if (r->resp.interim) {
		if (++r->interims > PX_INTERIM_MAX) {
			px_req_failed(r, PX_FAIL_GARBAGE);
			return;
		}
		r->resp_head_bytes += n;
		px_head_interim(r);
		px_client_write(c, NULL, 0);
		px_buf_use(c->w, in, n);
		hr_http_init(&r->resp, HR_HTTP_RESPONSE, r->resp.head_request);
		return;
	}
	if (r->resp.framing == HR_BODY_TUNNEL) {
		switch_protocols(r);
		return;
	}
	hr_http_body_init(&r->resp_body, &r->resp);
	final_head(r);
}

static bool read_head(struct px_req *r)
{
	struct px_client *c = r->c;
	struct px_side *s = &r->up->s;
	bool had = px_buf_len(&s->in) && !r->resp_partial;

	if (!had && !px_up_read(r->up)) {
		if (!s->eof && !s->error)
			return false;
		upstream_ended(r);
		return true;
	}
	r->resp_partial = false;
	px_client_progress(c);
	switch (hr_http_parse(&r->resp, px_buf_at(&s->in), px_buf_len(&s->in))) {
	case HR_HTTP_OK:
		response_head(r);
		return true;
	case HR_HTTP_ERROR:
		hr_debug("upstream answer is not valid: %s", r->resp.error.reason);
		px_req_failed(r, PX_FAIL_GARBAGE);
		return true;
	case HR_HTTP_MORE:
		r->resp_partial = true;
		break;
	}
	return s->readable;
}

/* The body's bytes as the client's side wants them. */
static void encode(struct px_req *r, const char *p, size_t n)
{
	struct px_out *out = &r->c->out;

	if (!n)
		return;
	if (r->mode == PX_BODY_CHUNK)
		px_out_printf(out, "%zx\r\n", n);
	px_out_add(out, p, n);
	if (r->mode == PX_BODY_CHUNK)
		px_out_lit(out, "\r\n");
}

/* The end of the connection: proper for some bodies, a cut for others. */
static bool body_ended(struct px_req *r)
{
	if (r->up->s.error || !hr_http_body_eof(&r->resp_body)) {
		upstream_ended(r);
		return true;
	}
	if (r->mode == PX_BODY_CHUNK)
		px_out_lit(&r->c->out, "0\r\n\r\n");
	r->resp_done = true;
	return true;
}

static bool convert_body(struct px_req *r)
{
	struct px_buf *in = &r->up->s.in;
	struct hr_http_step step = {};

	if (px_out_len(&r->c->out) >= PX_OUT_HIGH) {
		px_client_write(r->c, NULL, 0);
		if (px_out_len(&r->c->out) >= PX_OUT_HIGH)
			return false;
	}
	do {
		const char *p = px_buf_at(in);

		if (hr_http_body_next(&r->resp_body, p, px_buf_len(in), &step) == HR_HTTP_ERROR) {
			px_req_failed(r, PX_FAIL_GARBAGE);
			return true;
		}
		encode(r, p + step.payload, step.payload_len);
		r->resp_bytes += step.used;
		px_buf_use(r->c->w, in, step.used);
	} while (step.used && px_buf_len(in) && !r->resp_body.done);
	r->resp_done = r->resp_body.done;
	if (r->resp_done && r->mode == PX_BODY_CHUNK)
		px_out_lit(&r->c->out, "0\r\n\r\n");
	px_client_write(r->c, NULL, 0);
	return true;
}

static bool raw_body(struct px_req *r)
{
	struct px_client *c = r->c;
	struct px_buf *in = &r->up->s.in;
	size_t took;

	if (!r->resp_vetted) {
		if (hr_http_body_skip(&r->resp_body, px_buf_at(in), px_buf_len(in),
				      &r->resp_vetted) == HR_HTTP_ERROR) {
			px_req_failed(r, PX_FAIL_GARBAGE);
			return true;
		}
		r->resp_bytes += r->resp_vetted;
	}
	took = px_client_write(c, px_buf_at(in), r->resp_vetted);
	px_buf_use(c->w, in, took);
	r->resp_vetted -= took;
	r->resp_done = r->resp_body.done && !r->resp_vetted;
	return took || r->resp_done;
}

static bool read_body(struct px_req *r)
{
	struct px_client *c = r->c;
	struct px_side *s = &r->up->s;

	if (r->resp_body.done && !r->resp_vetted) {
		r->resp_done = true;
		return true;
	}
	if (!px_buf_len(&s->in)) {
		if (px_out_len(&c->out) > PX_OUT_HIGH)
			px_client_write(c, NULL, 0);
		if (px_out_len(&c->out) > PX_OUT_HIGH)
			return false; /* the upstream waits for a slow client */
		if (!px_up_read(r->up))
			return s->eof || s->error ? body_ended(r) : false;
		px_client_progress(c);
	}
	return r->mode == PX_BODY_RAW ? raw_body(r) : convert_body(r);
}

static bool in_exchange(const struct px_client *c, const struct px_req *r)
{
	return !c->closed && c->state == PX_CLIENT_REQUEST && r->state == PX_REQ_EXCHANGE &&
	       r->up && !r->resp_done;
}

bool px_relay_response(struct px_req *r)
{
	struct px_client *c = r->c;
	bool moved = false;

	for (int i = 0; i < PX_TURNS && in_exchange(c, r); i++) {
		if (!(r->resp_head ? read_body(r) : read_head(r)))
			break;
		moved = true;
	}
	if (in_exchange(c, r) && px_out_len(&c->out))
		px_client_write(c, NULL, 0); /* a head whose body is not here yet */
	return moved;
}
