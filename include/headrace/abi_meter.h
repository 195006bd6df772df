/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause */
/*
 * What istio_* metrics are counted in, by the programs and by the agent alike: one row for each
 * client workload, endpoint and outcome that was seen. Names are put to the ids when it is read
 * (user/observe/ledger.h). The end of abi.h, which includes it.
 */
#pragma once

#include "abi.h"

/* Response flags, Envoy's words. Two at once are those that end a request whose retries are used
 * up, or one that was held up before it was aborted. */
#define HR_FLAG_LIST(X)       \
	X(NONE, "-")          \
	X(NR, "NR")           \
	X(UH, "UH")           \
	X(UO, "UO")           \
	X(FI, "FI")           \
	X(DI, "DI")           \
	X(DC, "DC")           \
	X(UC, "UC")           \
	X(UF, "UF")           \
	X(UT, "UT")           \
	X(UPE, "UPE")         \
	X(DPE, "DPE")         \
	X(NC, "NC")           \
	X(SI, "SI")           \
	X(URX, "URX")         \
	X(UC_URX, "UC,URX")   \
	X(UF_URX, "UF,URX")   \
	X(UT_URX, "UT,URX")   \
	X(UPE_URX, "UPE,URX") \
	X(DI_FI, "DI,FI")     \
	X(OTHER, "unknown") /* of the row that takes what finds no row of its own; keep it last */

enum hr_flag {
#define HR_FLAG_ENUM(id, text) HR_FLAG_##id,
	HR_FLAG_LIST(HR_FLAG_ENUM)
#undef HR_FLAG_ENUM
		HR_FLAG_MAX
};

enum hr_meter_proto { HR_METER_HTTP, HR_METER_GRPC, HR_METER_TCP };

/* A row of `meters` and `tcp_meters`. */
struct hr_meter_key {
	__u32 workload; /* hr_workload.id of the client, 0: not known */
	__u32 ep;	/* endpoint id, 0: none */
	__u32 route;	/* route id, where there is no endpoint: whose answer it was; 0: nobody's */
	__u8 flags;	/* enum hr_flag */
	__u8 proto;	/* enum hr_meter_proto */
	__u8 grpc;	/* GRPC: 1 + its status, at most HR_GRPC_OTHER; 0: none */
	__u8 pad;
};
HR_ASSERT_SIZE(struct hr_meter_key, 16);
#define HR_GRPC_OTHER 18 /* no status of gRPC's */

/* Statuses that have a counter in each row. Others have a row of `odd_codes`. */
/* clang-format off */
#define HR_CODE_LIST(X)                                                                     \
	X(101) X(200) X(201) X(202) X(204) X(206) X(301) X(302) X(303) X(304) X(307) X(308) \
	X(400) X(401) X(403) X(404) X(405) X(406) X(408) X(409) X(410) X(413) X(415) X(422) \
	X(429) X(431) X(499) X(500) X(501) X(502) X(503) X(504)
/* clang-format on */

enum hr_code {
	HR_CODE_NONE, /* no status, or one that is none */
	/* 1 to 5: classes, of statuses that found no row of odd_codes */
	HR_CODE_LAST_CLASS = 5,
#define HR_CODE_ENUM(code) HR_CODE_##code,
	HR_CODE_LIST(HR_CODE_ENUM)
#undef HR_CODE_ENUM
		HR_CODES
};

#define HR_CODE_FIRST 100
#define HR_CODE_SPAN 512
/* Index in hr_meter.codes by status - HR_CODE_FIRST; 0: it has none of its own. */
#define HR_CODE_TABLE {HR_CODE_LIST(HR_CODE_AT)}
#define HR_CODE_AT(code) [code - HR_CODE_FIRST] = HR_CODE_##code,

/* Istio's buckets, the same numbers for milliseconds and bytes: HR_LAT_BOUNDS_US / 1000. */
struct hr_meter {
	__u64 codes[HR_CODES];
	__u64 us, tx, rx; /* sums: microseconds, bytes of requests, of responses */
	/* not cumulative; the sum of each is the number of requests */
	__u64 us_in[HR_LAT_BUCKETS + 1], tx_in[HR_LAT_BUCKETS + 1], rx_in[HR_LAT_BUCKETS + 1];
	__u64 tx_messages, rx_messages; /* of gRPC */
};

/* odd_codes: how often. */
struct hr_odd_key {
	struct hr_meter_key meter;
	__u32 status;
	__u32 pad;
};
HR_ASSERT_SIZE(struct hr_odd_key, 24);

/* tcp_meters: opaque connections. Changed atomically. */
struct hr_tcp_meter {
	__u64 opened, closed;
	__u64 tx, rx; /* bytes: from the client, to the client */
};
