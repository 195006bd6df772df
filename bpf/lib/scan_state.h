/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the head scanner answers, and its state: see scan.h. */
#pragma once

#include "lib/lines.h"

enum hr_scan_verdict {
	HR_SCAN_OK = 0,
	HR_SCAN_INCOMPLETE, /* the head goes on after n bytes (HR_WHY_HEAD_SPLIT) */
	HR_SCAN_DECLINED,   /* for the agent, hr_scan.why says why */
	HR_SCAN_NOT_HTTP,   /* no HTTP server would take it for a request */
	HR_SCAN_H2,	    /* HTTP/2 connection preface */
};

enum hr_scan_method {
	HR_METHOD_OTHER = 0,
	HR_METHOD_GET,
	HR_METHOD_HEAD,
	HR_METHOD_POST,
	HR_METHOD_PUT,
	HR_METHOD_DELETE,
	HR_METHOD_PATCH,
	HR_METHOD_OPTIONS,
};

struct hr_scan_line {
	__u64 key; /* first eight bytes of the name, each | 0x20, zero padded */
	__u16 name_off, name_len;
	__u16 value_off, value_len;
};

#define HR_SCAN_NAMES 64
#define HR_SCAN_SEVERAL 0xff

struct hr_scan {
	__u8 buf[HR_KHEAD_MAX + HR_KHEAD_SLACK];

	/* out, after HR_SCAN_OK; offsets into buf */
	__u16 why;	 /* enum hr_why, after HR_SCAN_DECLINED */
	__u16 head_len;	 /* with the empty line */
	__u8 method;	 /* enum hr_scan_method */
	__u8 method_len; /* at offset 0 */
	__u8 has_query;
	__u8 double_slash;	      /* the path has "//": not canonical under MERGE_SLASHES */
	__u16 path_off, path_len;     /* canonical (BASE), without query */
	__u16 query_off, query_len;   /* without the '?' */
	__u16 host_off, host_raw_len; /* value of Host as sent */
	__u16 host_len;		      /* bytes of host[] */
	__u16 nlines;
	__u64 content_length; /* 0 without body */
	__u8 has_content_length;
	__u8 close;	 /* "Connection: close" */
	__u16 close_off; /* of that value */
	__u8 pad[4];
	/* lower case, no port, no trailing dot, zero padded, as in hr_vhost_key */
	char host[HR_HOST_MAX] __attribute__((aligned(8)));
	struct hr_scan_line line[HR_SCAN_LINES];

	/* private */
	__u64 carry;  /* 0x80 when the byte before this word of the target was a slash */
	__u64 window; /* last five bytes of a doubtful first line */
	__u8 bad, slow, guess, version_seen;
	__u16 cl_off, cl_len;
	__u32 target_end, path_end;
	__u32 found, nfound; /* hr_scan_find */
	/* by hr_scan_name(): 0, 1 + the line of that name, or HR_SCAN_SEVERAL */
	__u8 by_name[HR_SCAN_NAMES] __attribute__((aligned(8)));
	struct hr_lines lines;
};

#define HR_SCAN_DECLINE(s, reason)          \
	({                                  \
		(s)->why = HR_WHY_##reason; \
		HR_SCAN_DECLINED;           \
	})

struct hr_scan_ctx {
	struct hr_scan *s;
};

#define HR_KHEAD_MASK (HR_KHEAD_MAX - 1)
