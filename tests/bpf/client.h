/* SPDX-License-Identifier: Apache-2.0 */
/* A client that never blocks and never waits longer than 5 s; what it dislikes ends the process. */
#pragma once

#include <poll.h>
#include <stdint.h>
#include <sys/types.h>

__attribute__((format(printf, 1, 2), noreturn)) void fail(const char *fmt, ...);
void wait_for(int fd, short events);

/* nonblock: SOCK_NONBLOCK or 0 */
int dial_as(const char *ip, uint16_t port, int nonblock);
int dial(void); /* the rig's VIP, its HTTP port */
void put(int fd, const char *p, size_t len);
size_t get(int fd, char *p, size_t size);

/* Bytes read that belong to the next answer; need() reads until there are n, take() drops n. */
extern size_t in_len;
void need(int fd, size_t n);
void take(size_t n);

struct answer {
	int status;
	char body[256]; /* its beginning */
	size_t len;
	int close; /* it says "Connection: close" */
};
/* head: the answer to a HEAD request has no body whatever it says. */
struct answer answer_of(int fd, int head);
__attribute__((format(printf, 3, 4))) void expect(struct answer a, int status, const char *fmt,
						  ...);

/* A request without body; `to` is the x-to header, NULL for none. Gives its length. */
size_t request(char *buf, const char *method, const char *path, const char *to);
struct answer ask(int fd, const char *method, const char *path, const char *to);
void expect_eof(int fd);
/* Until the rig's agent has let go of what it was given. */
void await_agent(void);
