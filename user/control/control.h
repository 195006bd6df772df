/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket: one JSON object a line each way, over a unix stream socket that only root
 * and the agent's own user may use. docs/CONTROL.md is the protocol for people.
 *
 * Everything runs on the main loop: an operation is answered before the next line is read.
 */
#pragma once

#include <jansson.h>
#include <sys/types.h>

#include "core/loop.h"
#include "core/str.h"

#define HR_CONTROL_VERSION 1

struct hr_control;

struct hr_control_client; /* one connection */

struct hr_control_peer {
	pid_t pid; /* as the kernel says it (SO_PEERCRED) */
	uid_t uid;
	struct hr_control_client *client; /* until `gone` */
};

/*
 * Does `op`. Gives a new reference to the result (an object), or NULL with a code ("not-found",
 * "bad-request", "conflict", "busy", "failed", ...) and a sentence in `why`. `req` is borrowed.
 */
typedef json_t *(*hr_control_fn)(void *ctx, const char *op, const json_t *req,
				 const struct hr_control_peer *peer, const char **code,
				 struct hr_strbuf *why);

struct hr_control_opts {
	struct hr_loop *loop;
	const char *path; /* the directory is made when it is absent */
	hr_control_fn handle;
	/* May be NULL. The connection ends: no event to it any more. */
	void (*gone)(void *ctx, struct hr_control_client *client);
	void *ctx;
	unsigned max_clients;	      /* 0: 64 */
	unsigned partial_timeout_ms;  /* an unfinished line, or a reader that does not read; 0: 30 s
				       */
	size_t line_max, backlog_max; /* one request; all unfinished ones. 0: limits.h */
};

/* A socket file that nobody listens on is replaced. -EADDRINUSE when an agent lives there, and
 * *err names its pid; other failures as one sentence in *err. */
int hr_control_new(struct hr_control **out, const struct hr_control_opts *opts,
		   struct hr_strbuf *err);
/* A line that answers no request, to a client that asked for such. `doc` is stolen. false: the
 * client has not yet taken what it was sent before, this one is dropped. */
bool hr_control_event(struct hr_control_client *client, json_t *doc);
/* Closes the clients, removes the socket and its lock. NULL is fine. */
void hr_control_free(struct hr_control *c);
/* Removes what a killed agent left at this path (socket, lock), a line each in `out`. How many
 * things, or -errno: -EADDRINUSE when an agent lives there, said in *err. */
int hr_control_remove_stale(const char *path, struct hr_strbuf *out, struct hr_strbuf *err);

/*
 * Client side. Sends {"v":1,"op":...} (the reference to `req` is stolen) and waits for the answer.
 * 0: *result is a new reference. -ENOENT, -ECONNREFUSED, -EACCES, -ETIMEDOUT ...: no agent there,
 * said in *err. -EBADE: the agent refused; *err has its sentence and *result, when not NULL after
 * the call, the details it gave.
 */
int hr_control_call(const char *path, const char *op, json_t *req, int timeout_ms, json_t **result,
		    struct hr_strbuf *err);
