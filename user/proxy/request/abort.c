// SPDX-License-Identifier: Apache-2.0
/* fault.abort: the answer, by HTTP status or by gRPC status. */
#include <stdio.h>

#include "core/cleanup.h"
#include "proxy/request/headers.h"
#include "proxy/internal.h"

/* What a gRPC status is to who does not speak gRPC (google/rpc/code.proto). */
static const uint16_t http_of_grpc[] = {200, 499, 500, 400, 504, 404, 409, 403, 429,
					400, 409, 400, 501, 500, 503, 500, 401};

bool px_is_grpc(const struct px_req *r)
{
	static const struct hr_slice grpc = HR_SLICE("application/grpc");
	struct hr_slice type = hr_http_get(&r->msg, HR_SLICE("content-type"));

	return type.n >= grpc.n && hr_slice_ieq((struct hr_slice){type.p, grpc.n}, grpc) &&
	       (type.n == grpc.n || type.p[grpc.n] == '+');
}

/* Only a head: gRPC calls that "Trailers-Only". */
static void abort_grpc(struct px_req *r, int32_t code)
{
	struct px_headers h = {};
	char text[12];

	snprintf(text, sizeof(text), "%d", code);
	px_headers_add(&h, HR_SLICE("content-type"), HR_SLICE("application/grpc"));
	px_headers_add(&h, HR_SLICE("grpc-status"), hr_slice_of(text));
	px_headers_add(&h, HR_SLICE("grpc-message"), HR_SLICE(PX_BODY_ABORT));
	r->flags = "FI";
	px_reply_headers(r, 200, &h);
}

void px_abort(struct px_req *r)
{
	const struct hr_fault *f = &r->match.route->http->fault;

	PX_COUNT(r->c->w->aborts);
	if (!f->abort_grpc)
		px_reply(r, (unsigned)f->abort_http, "FI", PX_BODY_ABORT);
	else if (px_is_grpc(r))
		abort_grpc(r, f->abort_grpc_code);
	else
		px_reply(r, http_of_grpc[f->abort_grpc_code], "FI", PX_BODY_ABORT);
}
