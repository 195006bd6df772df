// SPDX-License-Identifier: Apache-2.0
/* DNS messages: see message.h. Every offset is checked against the length before it is used. */
#include "dns/message.h"

#include <errno.h>
#include <string.h>

#include "core/net.h"

enum { FLAG_QR = 0x8000, FLAG_AA = 0x0400, FLAG_TC = 0x0200, FLAG_RD = 0x0100, FLAG_RA = 0x0080 };
#define OPCODE(flags) ((flags) >> 11 & 15)
#define ANSWER_MAX 512
#define OPT_SIZE 11

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static bool host_byte(uint8_t c)
{
	c = lower(c);
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '*';
}

/* The name at *at, without compression (a question has nothing to point to). */
static bool read_name(const uint8_t *p, size_t n, size_t *at, struct hr_dns_query *q)
{
	size_t i = *at, out = 0, wire = 1;
	bool plain = true;

	while (i < n && p[i]) {
		size_t len = p[i++];

		wire += len + 1;
		if (len > 63 || wire > HR_DNS_NAME_MAX || n - i < len)
			return false;
		if (out)
			q->name[out++] = '.';
		for (size_t k = 0; k < len; k++) {
			plain = plain && host_byte(p[i + k]);
			q->name[out++] = lower(p[i + k]);
		}
		i += len;
	}
	if (i >= n)
		return false;
	q->name_len = plain ? out : 0;
	q->name[q->name_len] = 0;
	*at = i + 1;
	return true;
}

/* Additional records of a query: an OPT, perhaps a signature. All must be whole. */
static bool read_additional(const uint8_t *p, size_t n, size_t at, unsigned count,
			    struct hr_dns_query *q)
{
	struct hr_dns_query ignored;

	while (count--) {
		size_t len;

		if (!read_name(p, n, &at, &ignored) || n - at < 10)
			return false;
		if (hr_dns_get16(p + at) == HR_DNS_OPT) {
			if (q->edns || ignored.name_len)
				return false;
			q->edns = true;
		}
		len = hr_dns_get16(p + at + 8);
		if (n - at - 10 < len)
			return false;
		at += 10 + len;
	}
	return at == n;
}

int hr_dns_query_parse(const uint8_t *p, size_t n, struct hr_dns_query *q)
{
	size_t at = HR_DNS_HEADER;

	if (n < HR_DNS_HEADER)
		return -EBADMSG;
	memset(q, 0, sizeof(*q));
	q->id = hr_dns_get16(p);
	q->flags = hr_dns_get16(p + 2);
	if (q->flags & FLAG_QR)
		return -EBADMSG;
	if (OPCODE(q->flags))
		return HR_DNS_NOTIMP;
	if (hr_dns_get16(p + 4) != 1 || hr_dns_get16(p + 6) || hr_dns_get16(p + 8))
		return HR_DNS_FORMERR;
	if (!read_name(p, n, &at, q) || n - at < 4)
		return HR_DNS_FORMERR;
	q->type = hr_dns_get16(p + at);
	q->class = hr_dns_get16(p + at + 2);
	if (!read_additional(p, n, at + 4, hr_dns_get16(p + 10), q))
		return HR_DNS_FORMERR;
	q->question_end = at + 4;
	return 0;
}

/* Header and question of the query as the begin of its answer. */
static size_t begin(const struct hr_dns_query *q, const uint8_t *query, uint16_t flags,
		    uint8_t *out)
{
	size_t n = q ? q->question_end : HR_DNS_HEADER;

	memcpy(out, query, n);
	hr_dns_put16(out + 2,
		     (hr_dns_get16(query + 2) & (FLAG_RD | 0x7800)) | FLAG_QR | FLAG_RA | flags);
	memset(out + 4, 0, 8);
	out[5] = q ? 1 : 0;
	return n;
}

static size_t put_opt(uint8_t *out, size_t n)
{
	static const uint8_t opt[OPT_SIZE] = {0, 0, HR_DNS_OPT, 1232 >> 8, 1232 & 0xff};

	memcpy(out + n, opt, OPT_SIZE);
	out[11] = 1; /* ARCOUNT */
	return n + OPT_SIZE;
}

size_t hr_dns_write_answer(const struct hr_dns_query *q, const uint8_t *query,
			   const struct hr_addr *addrs, size_t naddrs, uint32_t ttl, uint8_t *out)
{
	size_t n = begin(q, query, FLAG_AA, out), count = 0;

	for (size_t i = 0; i < naddrs; i++) {
		bool v4 = hr_addr_is4(&addrs[i]);
		size_t len = v4 ? 4 : 16;

		if (q->type != HR_DNS_ANY && q->type != (v4 ? HR_DNS_A : HR_DNS_AAAA))
			continue;
		if (n + 12 + len + OPT_SIZE > ANSWER_MAX)
			break;
		hr_dns_put16(out + n, 0xc000 | HR_DNS_HEADER); /* the question's name */
		hr_dns_put16(out + n + 2, v4 ? HR_DNS_A : HR_DNS_AAAA);
		hr_dns_put16(out + n + 4, HR_DNS_IN);
		hr_dns_put16(out + n + 6, ttl >> 16);
		hr_dns_put16(out + n + 8, ttl & 0xffff);
		hr_dns_put16(out + n + 10, len);
		memcpy(out + n + 12, addrs[i].ip + (16 - len), len);
		n += 12 + len;
		count++;
	}
	hr_dns_put16(out + 6, count);
	return q->edns ? put_opt(out, n) : n;
}

size_t hr_dns_write_error(const struct hr_dns_query *q, const uint8_t *query, int rcode,
			  uint8_t *out)
{
	size_t n = begin(q, query, rcode, out);

	return q && q->edns ? put_opt(out, n) : n;
}

bool hr_dns_answers(const uint8_t *p, size_t n, const uint8_t *query, size_t question_end)
{
	uint16_t flags;

	if (n < HR_DNS_HEADER)
		return false;
	flags = hr_dns_get16(p + 2);
	if (!(flags & FLAG_QR) || OPCODE(flags) != OPCODE(hr_dns_get16(query + 2)))
		return false;
	/* servers that could not read the question do not repeat it */
	if (!hr_dns_get16(p + 4))
		return n == HR_DNS_HEADER && (flags & 15);
	if (hr_dns_get16(p + 4) != 1 || n < question_end)
		return false;
	for (size_t i = HR_DNS_HEADER; i < question_end; i++)
		if (lower(p[i]) != lower(query[i]))
			return false;
	return true;
}
