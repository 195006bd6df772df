/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heads that come again (bpf/lib/memo.h). What is remembered is only worth something for the very
 * same bytes under the same rules, so these tests look for one that is taken for another:
 *
 *	A A B B A	A and B of one length differ in one byte, near the end of heads of every
 *length that the steps of the comparison may leave over A | A		the rules change in between
 *	answers		of one length whose bodies have another; of HEAD and GET
 */
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "path.h"
#include "rig.h"

/* The header that decides is last, or first with the padding behind it. */
static size_t padded(char *buf, const char *to, int pad, int last)
{
	char tail[64];

	snprintf(tail, sizeof(tail), "x-pad: %.*s\r\n", pad, "0123456789abcdefghijklmnopqrstuv");
	return sprintf(buf, "GET /a HTTP/1.1\r\n%sHost: svc\r\nx-to: %s\r\n%s\r\n",
		       last ? tail : "", to, last ? "" : tail);
}

void t_same_head(void)
{
	static const char *to[] = {"six", "six", RIG_TO_TWO, RIG_TO_TWO, "tw0"};
	char buf[256];
	int fd = dial();

	for (int i = 0; i < 64; i++)
		for (int j = 0; j < 5; j++) {
			put(fd, buf, padded(buf, to[j], 1 + i % 32, i / 32));
			expect(answer_of(fd, 0), 200, "ep%d GET /a 0", j == 2 || j == 3 ? 2 : 1);
		}
}

/* The head says how long the body is, and a head may come without it, or with more behind it. */
void t_same_head_body(void)
{
	static const char head[] = "POST /up HTTP/1.1\r\nHost: svc\r\nContent-Length: 4\r\n\r\n";
	char two[2 * sizeof(head) + 8];
	int fd = dial(), n = sprintf(two, "%sbody", head);

	for (int i = 0; i < 5; i++) {
		put(fd, two, n);
		expect(answer_of(fd, 0), 200, "ep1 POST /up 4");
		put(fd, head, sizeof(head) - 1);
		put(fd, "body", 4);
		expect(answer_of(fd, 0), 200, "ep1 POST /up 4");
	}
	n = sprintf(two, "%sbody%sbody", head, head);
	put(fd, two, n);
	for (int i = 0; i < 2; i++)
		expect(answer_of(fd, 0), 200, "agent POST /up 4");
}

void t_same_head_new_rules(void)
{
	char buf[256];
	size_t n = padded(buf, "six", 20, 1);
	int fd = dial();

	for (int i = 0; i < 20; i++) {
		int denied = i / 2 % 2;

		if (i % 2 == 0)
			rig_deny_all(denied);
		put(fd, buf, n);
		if (denied)
			expect(answer_of(fd, 0), 403, "denied by the rig's rule");
		else
			expect(answer_of(fd, 0), 200, "ep1 GET /a 0");
	}
	rig_deny_all(false);
}

/* An answer whose end was taken for a longer one's would leave the next request waiting for it, or
 * let it go to the agent as pipelined. */
static void same_answers(const char *to, const char *other, const char *from_other)
{
	static const char *method[] = {"GET", "HEAD"};
	int fd = dial();

	for (int i = 0; i < 24; i++) {
		for (int again = 0; again < 3; again++) {
			int less = i % 2 ? !again : again / 2;
			size_t n = 300 + i / 2 % 4 - less;
			char path[32];

			snprintf(path, sizeof(path), "/len/%zu", n);
			if (ask(fd, method[i % 2], path, to).len != n)
				fail("%s %s", method[i % 2], path);
		}
		if (i % 3)
			expect(ask(fd, "GET", "/b", other), 200, from_other);
	}
}

void t_same_answer(void)
{
	same_answers(NULL, RIG_TO_TWO, "ep2 GET /b 0");
}

void t_same_answer_moved(void)
{
	same_answers(RIG_TO_TWO, NULL, "ep1 GET /b 0");
}
