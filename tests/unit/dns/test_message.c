// SPDX-License-Identifier: Apache-2.0
/* DNS messages from a client that may be hostile: what is a question, and what is said back. */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>

#include "core/net.h"
#include "dns/message.h"

#define Q_HEAD "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
#define IN_A "\x00\x01\x00\x01"

static struct hr_dns_query q;

static int parse(const char *p, size_t n)
{
	/* its own copy: the sanitizer sees reads behind the end */
	uint8_t *copy = malloc(n ? n : 1);
	int r;

	memcpy(copy, p, n);
	r = hr_dns_query_parse(copy, n, &q);
	free(copy);
	return r;
}
#define PARSE(text) parse(text, sizeof(text) - 1)

static void test_question(void **state)
{
	(void)state;
	assert_int_equal(PARSE(Q_HEAD "\x03"
				      "WwW\x07"
				      "Example\x00" IN_A),
			 0);
	assert_string_equal(q.name, "www.example");
	assert_int_equal(q.id, 0x1234);
	assert_int_equal(q.type, HR_DNS_A);
	assert_int_equal(q.question_end, 12 + 13 + 4);
	assert_false(q.edns);
	/* the root, and bytes that no host name has: legal, of nobody in the mesh */
	assert_int_equal(PARSE(Q_HEAD "\x00" IN_A), 0);
	assert_string_equal(q.name, "");
	assert_int_equal(PARSE(Q_HEAD "\x03"
				      "a.b\x00" IN_A),
			 0);
	assert_string_equal(q.name, "");
}

static void test_edns(void **state)
{
	(void)state;
#define HEAD_AR "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01"
	assert_int_equal(PARSE(HEAD_AR "\x01"
				       "a\x00" IN_A "\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"),
			 0);
	assert_true(q.edns);
	/* an option that is longer than the message, and bytes after the last record */
	assert_int_equal(PARSE(HEAD_AR "\x01"
				       "a\x00" IN_A "\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x05"),
			 HR_DNS_FORMERR);
	assert_int_equal(PARSE(HEAD_AR "\x01"
				       "a\x00" IN_A
				       "\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00x"),
			 HR_DNS_FORMERR);
}

static void test_malformed(void **state)
{
	char name[300];
	size_t n;

	(void)state;
	assert_int_equal(PARSE("\x12\x34\x01"), -EBADMSG);
	/* an answer is never answered: two responders would talk forever */
	assert_int_equal(PARSE("\x12\x34\x81\x00\x00\x01\x00\x00\x00\x00\x00\x00"), -EBADMSG);
	assert_int_equal(PARSE("\x12\x34\x28\x00\x00\x01\x00\x00\x00\x00\x00\x00"), HR_DNS_NOTIMP);
	assert_int_equal(PARSE("\x12\x34\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00"), HR_DNS_FORMERR);
	assert_int_equal(PARSE("\x12\x34\x01\x00\x00\x02\x00\x00\x00\x00\x00\x00"
			       "\x01"
			       "a\x00" IN_A "\x01"
			       "b\x00" IN_A),
			 HR_DNS_FORMERR);
	assert_int_equal(PARSE(Q_HEAD), HR_DNS_FORMERR);
	assert_int_equal(PARSE(Q_HEAD "\x05"
				      "ab"),
			 HR_DNS_FORMERR);
	assert_int_equal(PARSE(Q_HEAD "\x01"
				      "a\x00\x00\x01\x00"),
			 HR_DNS_FORMERR);
	/* compression in a question: a loop in the worst case */
	assert_int_equal(PARSE(Q_HEAD "\xc0\x0c" IN_A), HR_DNS_FORMERR);
	assert_int_equal(PARSE(Q_HEAD "\x40"
				      "a\x00" IN_A),
			 HR_DNS_FORMERR);
	/* 4 labels of 63 bytes are 257 bytes on the wire */
	memcpy(name, Q_HEAD, 12);
	for (n = 12; n < 12 + 4 * 64; n += 64) {
		name[n] = 63;
		memset(name + n + 1, 'a', 63);
	}
	memcpy(name + n, "\0" IN_A, 5);
	assert_int_equal(parse(name, n + 5), HR_DNS_FORMERR);
	/* every cut of a good query */
	for (n = 12; n < 12 + 7; n++)
		assert_int_equal(parse(Q_HEAD "\x01"
					      "a\x00" IN_A,
				       n),
				 HR_DNS_FORMERR);
}

static void test_answer(void **state)
{
	static const char query[] = Q_HEAD "\x01"
					   "A\x00" IN_A;
	struct hr_addr a[40];
	uint8_t out[512];
	size_t n;

	(void)state;
	for (int i = 0; i < 40; i++)
		assert_int_equal(hr_addr_parse("240.240.0.9", &a[i]), 0);
	assert_int_equal(hr_addr_parse("fd00::1", &a[1]), 0);
	assert_int_equal(PARSE(query), 0);
	n = hr_dns_write_answer(&q, (const uint8_t *)query, a, 2, 5, out);
	assert_int_equal(n, sizeof(query) - 1 + 16);
	/* id, QR AA RD RA, one question, one answer; the question as it was asked */
	assert_memory_equal(out,
			    "\x12\x34\x85\x80\x00\x01\x00\x01\x00\x00\x00\x00\x01"
			    "A\x00\x00\x01\x00\x01"
			    "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\xf0\xf0\x00\x09",
			    n);
	assert_true(hr_dns_answers(out, n, (const uint8_t *)query, q.question_end));
	q.type = 16; /* TXT: it exists, without such a record */
	n = hr_dns_write_answer(&q, (const uint8_t *)query, a, 2, 5, out);
	assert_int_equal(n, sizeof(query) - 1);
	assert_int_equal(out[3] & 15, HR_DNS_NOERROR);
	q.type = HR_DNS_A;
	q.edns = true;
	n = hr_dns_write_answer(&q, (const uint8_t *)query, a, 40, 5, out);
	assert_in_range(n, 480, 512);
	assert_int_equal(out[11], 1);
	n = hr_dns_write_error(NULL, (const uint8_t *)query, HR_DNS_FORMERR, out);
	assert_int_equal(n, 12);
	assert_memory_equal(out, "\x12\x34\x81\x81\x00\x00\x00\x00\x00\x00\x00\x00", 12);
}

/* Only what repeats the question is an answer to it. */
static void test_answers(void **state)
{
	static const uint8_t query[] = Q_HEAD "\x01"
					      "a\x00" IN_A;
	size_t end = sizeof(query) - 1;
	uint8_t r[sizeof(query)];

	(void)state;
	memcpy(r, query, sizeof(r));
	assert_false(hr_dns_answers(r, end, query, end)); /* a query */
	r[2] |= 0x80;
	assert_true(hr_dns_answers(r, end, query, end));
	assert_false(hr_dns_answers(r, end - 1, query, end));
	r[13] = 'A';
	assert_true(hr_dns_answers(r, end, query, end));
	r[13] = 'b';
	assert_false(hr_dns_answers(r, end, query, end));
	r[13] = 'a';
	r[16] = 28;
	assert_false(hr_dns_answers(r, end, query, end));
	/* FORMERR without question */
	memset(r + 4, 0, 8);
	assert_false(hr_dns_answers(r, 12, query, end));
	r[3] = HR_DNS_FORMERR;
	assert_true(hr_dns_answers(r, 12, query, end));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_question),  cmocka_unit_test(test_edns),
		cmocka_unit_test(test_malformed), cmocka_unit_test(test_answer),
		cmocka_unit_test(test_answers),
	};

	return cmocka_run_group_tests_name("dns message", tests, NULL, NULL);
}
