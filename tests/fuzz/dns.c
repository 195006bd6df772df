// SPDX-License-Identifier: Apache-2.0
/*
 * DNS messages of a hostile client: read without a step outside of them, and what is answered
 * repeats the question and fits its buffer. The reader stands alone, so it is included as text.
 */
#include <stdlib.h>
#include <string.h>

#include "../../user/dns/message.c"

#define CHECK(cond)              \
	do {                     \
		if (!(cond))     \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct hr_addr addrs[40] = {{{[10] = 0xff, [11] = 0xff, [15] = 1}}, {{0xfd}}};
	struct hr_dns_query q, again;
	uint8_t out[512];
	size_t len;
	int r = hr_dns_query_parse(data, n, &q);

	if (r < 0)
		return 0;
	if (r > 0) {
		CHECK(hr_dns_write_error(NULL, data, r, out) == HR_DNS_HEADER);
		return 0;
	}
	CHECK(q.question_end <= n && q.name_len <= HR_DNS_NAME_MAX && !q.name[q.name_len]);
	len = hr_dns_write_answer(&q, data, addrs, 40, 5, out);
	CHECK(len <= sizeof(out) && hr_dns_answers(out, len, data, q.question_end));
	/* the answer's question, asked again, is the same one */
	out[2] &= 0x7f;
	memset(out + 6, 0, 6);
	CHECK(hr_dns_query_parse(out, q.question_end, &again) == 0);
	CHECK(again.type == q.type && !strcmp(again.name, q.name));
	CHECK(hr_dns_write_error(&q, data, HR_DNS_SERVFAIL, out) <= sizeof(out));
	return 0;
}
