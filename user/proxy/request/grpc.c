// SPDX-License-Identifier: Apache-2.0
/*
 * gRPC (its "HTTP/2 protocol mapping"): what an answer of ours is to who speaks it, the time that
 * it allows, and what its statuses mean to those who know only those of HTTP.
 */
#include <stdio.h>

#include "core/cleanup.h"
#include "http/bytes.h"
#include "proxy/internal.h"
#include "proxy/request/headers.h"

/* google/rpc/code.proto */
static const uint16_t http_of_grpc[] = {200, 499, 500, 400, 504, 404, 409, 403, 429,
					400, 409, 400, 501, 500, 503, 500, 401};

bool px_is_grpc(const struct px_req *r)
{
	static const struct hr_slice grpc = HR_SLICE("application/grpc");
	struct hr_slice type = hr_http_get(&r->msg, HR_SLICE("content-type"));

	return type.n >= grpc.n && hr_slice_ieq((struct hr_slice){type.p, grpc.n}, grpc) &&
	       (type.n == grpc.n || type.p[grpc.n] == '+');
}

unsigned px_grpc_http(int code)
{
	return code >= 0 && code < (int)HR_ARRAY_SIZE(http_of_grpc) ? http_of_grpc[code] : 500;
}

/* "HTTP to gRPC status code mapping" of the gRPC project. */
int px_grpc_code(unsigned http)
{
	switch (http) {
	case 400:
		return 13; /* INTERNAL */
	case 401:
		return 16; /* UNAUTHENTICATED */
	case 403:
		return 7; /* PERMISSION_DENIED */
	case 404:
		return 12; /* UNIMPLEMENTED */
	case 429:
	case 502:
	case 503:
	case 504:
		return 14; /* UNAVAILABLE */
	default:
		return 2; /* UNKNOWN */
	}
}

int px_grpc_parse(struct hr_slice text)
{
	int code = 0;

	if (!text.n || text.n > 3)
		return -1;
	for (size_t i = 0; i < text.n; i++) {
		if (!hr_is_digit((uint8_t)text.p[i]))
			return -1;
		code = 10 * code + (text.p[i] - '0');
	}
	return code;
}

/* grpc-timeout: at most eight digits and a unit; milliseconds, rounded up. */
int64_t px_grpc_timeout(const struct px_req *r)
{
	static const struct {
		char unit;
		int64_t us;
	} units[] = {{'H', 3600000000}, {'M', 60000000}, {'S', 1000000},
		     {'m', 1000},	{'u', 1},	 {'n', 0}};
	struct hr_slice v = px_is_grpc(r) ? hr_http_get(&r->msg, HR_SLICE("grpc-timeout"))
					  : (struct hr_slice){};
	int64_t n = 0;

	if (v.n < 2 || v.n > 9)
		return -1;
	for (size_t i = 0; i < v.n - 1; i++) {
		if (!hr_is_digit((uint8_t)v.p[i]))
			return -1;
		n = 10 * n + (v.p[i] - '0');
	}
	for (size_t i = 0; i < HR_ARRAY_SIZE(units); i++)
		if (units[i].unit == v.p[v.n - 1])
			return ((units[i].us ? n * units[i].us : n / 1000) + 999) / 1000;
	return -1;
}

unsigned px_grpc_answer_status(const struct px_req *r)
{
	int code =
		px_is_grpc(r) ? px_grpc_parse(hr_http_get(&r->resp, HR_SLICE("grpc-status"))) : -1;

	return code < 0 ? r->resp.status : px_grpc_http(code);
}

/* grpc-message is percent-encoded; what is too long for a header is cut. */
static size_t encode(char *to, size_t cap, const char *body, size_t n)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t at = 0;

	for (size_t i = 0; i < n && at + 3 <= cap; i++) {
		uint8_t b = (uint8_t)body[i];

		if (b >= ' ' && b <= '~' && b != '%') {
			to[at++] = (char)b;
			continue;
		}
		to[at++] = '%';
		to[at++] = hex[b >> 4];
		to[at++] = hex[b & 15];
	}
	return at;
}

void px_reply_grpc(struct px_req *r, int code, struct px_headers *h, const char *body, size_t n)
{
	char status[12], message[512];

	snprintf(status, sizeof(status), "%d", code);
	r->grpc_status = (int16_t)code;
	px_headers_add(h, HR_SLICE("content-type"), HR_SLICE("application/grpc"));
	px_headers_add(h, HR_SLICE("grpc-status"), hr_slice_of(status));
	if (n)
		px_headers_add(
			h, HR_SLICE("grpc-message"),
			(struct hr_slice){message, encode(message, sizeof(message), body, n)});
	px_reply_headers(r, 200, h);
}
