// SPDX-License-Identifier: Apache-2.0
/* fault.abort: the answer, by HTTP status or by gRPC status. */
#include "core/cleanup.h"
#include "proxy/request/headers.h"
#include "proxy/internal.h"

static void abort_grpc(struct px_req *r, int32_t code, const char *flags)
{
	_cleanup_headers_ struct px_headers h = {};

	r->flags = flags;
	px_headers_route(&h, r, false);
	px_reply_grpc(r, code, &h, PX_BODY_ABORT, sizeof(PX_BODY_ABORT) - 1);
}

void px_abort(struct px_req *r)
{
	const struct hr_fault *f = &r->match.route->http->fault;
	const char *flags = hr_streq(r->flags, "DI") ? "DI,FI" : "FI";

	PX_COUNT(r->c->w->aborts);
	if (!f->abort_grpc)
		px_reply(r, (unsigned)f->abort_http, flags, PX_BODY_ABORT);
	else if (px_is_grpc(r))
		abort_grpc(r, f->abort_grpc_code, flags);
	else
		px_reply(r, px_grpc_http(f->abort_grpc_code), flags, PX_BODY_ABORT);
}
