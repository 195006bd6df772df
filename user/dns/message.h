/* SPDX-License-Identifier: Apache-2.0 */
/* DNS messages (RFC 1035, EDNS of RFC 6891): read a question, write an answer to it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "headrace/abi.h"

#define HR_DNS_HEADER 12
#define HR_DNS_NAME_MAX 255
/* Longest query that is read, bytes; queries are short, answers may be 64 KiB. */
#define HR_DNS_QUERY_MAX 4096

enum { HR_DNS_NOERROR, HR_DNS_FORMERR, HR_DNS_SERVFAIL, HR_DNS_NXDOMAIN, HR_DNS_NOTIMP };
enum { HR_DNS_A = 1, HR_DNS_AAAA = 28, HR_DNS_OPT = 41, HR_DNS_ANY = 255 };
#define HR_DNS_IN 1

struct hr_dns_query {
	uint16_t id, flags, type, class;
	size_t question_end; /* bytes of header and question */
	bool edns;
	size_t name_len;
	/* Lower case, dots between labels, none at the end; "" for the root and for names with
	 * bytes that no host name has: such names are never of the mesh. */
	char name[HR_DNS_NAME_MAX + 1];
};

/* 0; -EBADMSG: not to be answered (too short for an id, or an answer itself); otherwise the rcode
 * to answer with (FORMERR, NOTIMP). */
int hr_dns_query_parse(const uint8_t *p, size_t n, struct hr_dns_query *q);

/* Answer with the addresses of the family asked for; none is an empty NOERROR. At most as many as
 * fit into 512 bytes. `out` has room for 512. Gives its length. */
size_t hr_dns_write_answer(const struct hr_dns_query *q, const uint8_t *query,
			   const struct hr_addr *addrs, size_t naddrs, uint32_t ttl, uint8_t *out);
/* Answer that is only an rcode, with the question when it could be read (q not NULL). `out` has
 * room for 512 bytes. */
size_t hr_dns_write_error(const struct hr_dns_query *q, const uint8_t *query, int rcode,
			  uint8_t *out);

/* Is `p` an answer to the question of `query` (ids apart)? */
bool hr_dns_answers(const uint8_t *p, size_t n, const uint8_t *query, size_t question_end);

static inline uint16_t hr_dns_get16(const uint8_t *p)
{
	return p[0] << 8 | p[1];
}

static inline void hr_dns_put16(uint8_t *p, uint16_t v)
{
	p[0] = v >> 8;
	p[1] = v & 0xff;
}
