/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Header values with command operators (Envoy's access log syntax): "%REQ(x-a?x-b):8%",
 * "%PROTOCOL%",
 * "%%" for a percent sign. Parsed once; what an operator is worth, the proxy knows.
 */
#pragma once

#include "core/arena.h"
#include "core/str.h"

enum hr_format_op {
	HR_FORMAT_TEXT = 0,
	HR_FORMAT_REQ,	/* name, alt */
	HR_FORMAT_RESP, /* name, alt */
	HR_FORMAT_PROTOCOL,
	HR_FORMAT_START_TIME,
	HR_FORMAT_RESPONSE_CODE,
	HR_FORMAT_RESPONSE_FLAGS,
	HR_FORMAT_ROUTE_NAME,
	HR_FORMAT_HOSTNAME,
	HR_FORMAT_CONNECTION_ID,
	HR_FORMAT_BYTES_RECEIVED,
	HR_FORMAT_ATTEMPTS,
	HR_FORMAT_CLUSTER,
	HR_FORMAT_UPSTREAM,	 /* address:port */
	HR_FORMAT_UPSTREAM_ADDR, /* address */
	HR_FORMAT_UPSTREAM_PORT,
	HR_FORMAT_REMOTE,
	HR_FORMAT_REMOTE_ADDR,
	HR_FORMAT_REMOTE_PORT,
	HR_FORMAT_LOCAL, /* what the client asked for */
	HR_FORMAT_LOCAL_ADDR,
	HR_FORMAT_LOCAL_PORT,
};

struct hr_format_piece {
	enum hr_format_op op;
	struct hr_slice text;	   /* TEXT */
	struct hr_slice name, alt; /* REQ, RESP: lower case; alt {NULL, 0}: none */
	size_t max;		   /* bytes of the value, 0: all */
};

struct hr_format {
	struct hr_format_piece *pieces;
	size_t n;
};

struct hr_format_error {
	const char *why;
	size_t at;	  /* byte of the value, from 0 */
	const char *near; /* the operator that may have been meant; NULL */
};

/* A value without "%" gives NULL: it is what it says. In the arena. 0, -EINVAL: *err. */
int hr_format_parse(struct hr_arena *a, const char *value, const struct hr_format **out,
		    struct hr_format_error *err);
