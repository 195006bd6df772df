/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watched answers: late ones, unwanted ones, lost ones. The rig's agent answers in their place, and
 * says what it was told ("late", "again" and how much of the answer is held, "lost") and the
 * request's first line, which it has from the kernel.
 *
 * Whatever happens, the answer after it is the right one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "path.h"
#include "rig.h"

/* In time: all in the kernel, also when the timer fires between requests. */
void t_timed(void)
{
	int fd = dial();

	for (int i = 0; i < 30; i++) {
		expect(ask(fd, "GET", "/a", RIG_TO_PATIENT), 200, "ep1 GET /a 0");
		expect(ask(fd, "GET", "/b", RIG_TO_PATIENT2), 200, "ep2 GET /b 0");
		expect(ask(fd, "GET", "/c", NULL), 200, "ep1 GET /c 0");
		usleep(5000);
	}
	usleep(RIG_PATIENCE_MS * 1000); /* timers of what came in time go off */
	expect(ask(fd, "GET", "/late", RIG_TO_PATIENT), 200, "ep1 GET /late 0");
	if (ask(fd, "GET", "/hint", RIG_TO_PATIENT).status != 103)
		fail("no hint");
	expect(answer_of(fd, 0), 200, "ep1 GET /hint 0");
}

/* The native answer comes after 150 ms, into nothing; what is asked next is moved. */
void t_timeout_native(void)
{
	int fd = dial();

	expect(ask(fd, "GET", "/a", NULL), 200, "ep1 GET /a 0");
	expect(ask(fd, "GET", "/hang", RIG_TO_TIMED), 504, "late GET /hang HTTP/1.1 0");
	await_agent();
	expect(ask(fd, "GET", "/n", RIG_TO_FULL), 200, "ep1 GET /n 0");
	usleep(200 * 1000);
	expect(ask(fd, "GET", "/n", RIG_TO_FULL), 200, "ep1 GET /n 0");
}

/* The same on U: C's own connection is as good as before. */
void t_timeout_moved(void)
{
	int fd = dial();

	for (int i = 0; i < 2; i++) {
		expect(ask(fd, "GET", "/a", NULL), 200, "ep1 GET /a 0");
		expect(ask(fd, "GET", "/hang", RIG_TO_TIMED2), 504, "late GET /hang HTTP/1.1 0");
		await_agent();
		expect(ask(fd, "GET", "/a", NULL), 200, "ep1 GET /a 0");
		expect(ask(fd, "GET", "/b", RIG_TO_TWO), 200, "ep2 GET /b 0");
	}
}

/* What was sent too early waits for the answer that the agent gives, not only for the kernel's. */
void t_timeout_pipelined(void)
{
	char buf[256];
	int fd = dial();

	for (int i = 0; i < 2; i++) {
		put(fd, buf, request(buf, "GET", "/hang", i ? RIG_TO_TIMED2 : RIG_TO_TIMED));
		usleep(2000);
		put(fd, buf, request(buf, "GET", "/next", NULL));
		expect(answer_of(fd, 0), 504, "late GET /hang HTTP/1.1 0");
		expect(answer_of(fd, 0), 200, "agent GET /next 0");
		close(fd);
		fd = dial();
	}
}

/* A body of three times the timeout: the time begins with its end. */
void t_timeout_upload(void)
{
	char buf[256];
	int fd = dial();

	put(fd, buf,
	    sprintf(buf, "POST /up HTTP/1.1\r\nHost: svc\r\nx-to: timed\r\n"
			 "Content-Length: 10\r\n\r\n"));
	for (int i = 0; i < 10; i++) {
		usleep(RIG_TIMEOUT_MS * 300);
		put(fd, "x", 1);
	}
	expect(answer_of(fd, 0), 200, "ep1 POST /up 10");
	put(fd, buf,
	    sprintf(buf, "POST /hang HTTP/1.1\r\nHost: svc\r\nx-to: timed\r\n"
			 "Content-Length: 4\r\n\r\nbody"));
	expect(answer_of(fd, 0), 504, "late POST /hang HTTP/1.1 0");
}

/* Without an agent that lives a late answer is better than none. */
void t_timeout_alone(void)
{
	int fd = dial();

	rig_beat(false);
	expect(ask(fd, "GET", "/hang", RIG_TO_TIMED), 200, "ep1 GET /hang 0");
	expect(ask(fd, "GET", "/500", RIG_TO_RETRY), 500, "ep1 GET /500 0");
	rig_beat(true);
	expect(ask(fd, "GET", "/a", NULL), 200, "ep1 GET /a 0");
}

/* An answer that is thrown away whole leaves its connection as it was. */
void t_retry_native(void)
{
	int fd = dial();

	for (int i = 0; i < 20; i++) {
		expect(ask(fd, "GET", "/500", RIG_TO_RETRY), 200, "again GET /500 HTTP/1.1 %zu",
		       sizeof("HTTP/1.1 500 OK\r\nContent-Length: 14\r\n\r\nep1 GET /500 0") - 1);
		await_agent();
		expect(ask(fd, "GET", "/a", RIG_TO_RETRY), 200, "ep1 GET /a 0");
	}
	/* a body that is to be kept for another try is the agent's from the start */
	char buf[256];

	put(fd, buf,
	    sprintf(buf, "POST /x HTTP/1.1\r\nHost: svc\r\nx-to: retry\r\n"
			 "Content-Length: 4\r\n\r\nbody"));
	expect(answer_of(fd, 0), 200, "agent POST /x 4");
}

/* The rest of an answer that comes late is thrown away as well. */
void t_retry_in_pieces(void)
{
	int fd = dial();

	expect(ask(fd, "GET", "/len500/3000", RIG_TO_RETRY), 200,
	       "again GET /len500/3000 HTTP/1.1 0");
	usleep(50 * 1000);
	expect(ask(fd, "GET", "/a", RIG_TO_RETRY), 200, "ep1 GET /a 0");
	/* asked for before it is over: nothing can be native yet */
	expect(ask(fd, "GET", "/len500/3000", RIG_TO_RETRY), 200,
	       "again GET /len500/3000 HTTP/1.1 0");
	expect(ask(fd, "GET", "/a", RIG_TO_RETRY), 200, "agent GET /a 0");
	usleep(50 * 1000);
	expect(ask(fd, "GET", "/a", RIG_TO_RETRY), 200, "ep1 GET /a 0");
	/* one without a length: its connection is given up */
	expect(ask(fd, "GET", "/chunk500/3000", RIG_TO_RETRY), 200,
	       "again GET /chunk500/3000 HTTP/1.1 0");
	await_agent();
	expect(ask(fd, "GET", "/a", RIG_TO_FULL), 200, "ep1 GET /a 0");
}

/* With a retry budget only what can still be given is kept back. */
void t_retry_held(void)
{
	int fd = dial();

	if (strncmp(ask(fd, "GET", "/500", RIG_TO_HELD).body, "again", 5))
		fail("not tried again");
	await_agent();
	if (ask(fd, "GET", "/len500/3000", RIG_TO_HELD).status != 500)
		fail("not delivered");
	expect(ask(fd, "GET", "/a", NULL), 200, "ep1 GET /a 0");
}

/* On U the agent gets the answer itself, and decides (here: it delivers it). */
void t_retry_moved(void)
{
	int fd = dial();

	for (int i = 0; i < 3; i++) {
		expect(ask(fd, "GET", "/500", RIG_TO_RETRY2), 500, "ep2 GET /500 0");
		usleep(20000);
		expect(ask(fd, "GET", "/b", RIG_TO_RETRY2), 200, "ep2 GET /b 0");
	}
}

/* The agent's answer has nowhere to go. */
void t_close_while_taken(void)
{
	char buf[256];
	int fd = dial(), before = rig_taken();

	put(fd, buf, request(buf, "GET", "/hang", RIG_TO_TIMED));
	for (int i = 0; i < 100 && rig_taken() == before; i++)
		usleep(RIG_TIMEOUT_MS * 10);
}
