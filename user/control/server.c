// SPDX-License-Identifier: Apache-2.0
// The agent's side of the control socket: clients, lines, answers, and their bounds.
#include "control/control.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "control/socket.h"
#include "core/cleanup.h"
#include "core/list.h"
#include "core/log.h"
#include "headrace/limits.h"

#define READ_TURN 65536 /* bytes of one client in one loop turn: nobody starves the others */

struct hr_control_client {
	struct hr_list node;
	struct hr_control *c;
	struct hr_control_peer peer;
	int fd;
	struct hr_watch *watch;
	struct hr_timer timer; /* runs while a line or an answer is unfinished */
	struct hr_strbuf in, out;
	size_t scanned; /* bytes of `in` known to hold no newline */
	size_t sent;	/* bytes of `out` gone */
	bool closing;	/* after `out` is gone */
};

struct hr_control {
	struct hr_control_opts o;
	char *path, *lock_path;
	int fd, lock;
	struct hr_watch *watch;
	struct hr_list clients;
	unsigned n_clients;
	size_t backlog; /* bytes of all `in` */
};

static void client_free(struct hr_control_client *k)
{
	struct hr_control *c = k->c;

	if (c->o.gone)
		c->o.gone(c->o.ctx, k);
	hr_watch_del(k->watch);
	hr_timer_stop(&k->timer);
	hr_list_del(&k->node);
	c->backlog -= k->in.len;
	c->n_clients--;
	close(k->fd);
	hr_sb_free(&k->in);
	hr_sb_free(&k->out);
	free(k);
}

static void on_timeout(void *ctx)
{
	struct hr_control_client *k = ctx;

	hr_warn("control: client pid %d is too slow, closed", (int)k->peer.pid);
	client_free(k);
}

/* The clock runs only while we wait for the client: an idle connection may stay. */
static void settle_timer(struct hr_control_client *k)
{
	bool waiting = k->in.len || k->out.len;

	if (!waiting)
		hr_timer_stop(&k->timer);
	else if (!hr_timer_running(&k->timer))
		hr_timer_start(k->c->o.loop, &k->timer, k->c->o.partial_timeout_ms, on_timeout, k);
}

static void answer(struct hr_control_client *k, json_t *doc)
{
	/* shares and weights are written as people write them: 0.95, not 0.94999999999999996 */
	char *text = json_dumps(doc, JSON_COMPACT | JSON_REAL_PRECISION(12));

	if (text) {
		hr_sb_add(&k->out, text);
	} else {
		hr_sb_add(&k->out,
			  "{\"v\":1,\"ok\":false,\"error\":{\"code\":\"failed\",\"message\":"
			  "\"the answer holds bytes that are no UTF-8\"}}");
	}
	hr_sb_addc(&k->out, '\n');
	free(text);
	json_decref(doc);
}

static void refuse(struct hr_control_client *k, const char *code, const char *message, json_t *id,
		   json_t *details)
{
	json_t *doc = json_pack("{s:i,s:b,s:{s:s,s:s%}}", "v", HR_CONTROL_VERSION, "ok", 0, "error",
				"code", code, "message", message, strlen(message));

	if (!doc)
		doc = json_pack("{s:i,s:b,s:{s:s,s:s}}", "v", HR_CONTROL_VERSION, "ok", 0, "error",
				"code", code, "message", "refused");
	if (id)
		json_object_set(doc, "id", id);
	if (details)
		json_object_set_new(doc, "result", details);
	answer(k, doc);
}

static void dispatch(struct hr_control_client *k, const json_t *req)
{
	const char *op = json_string_value(json_object_get(req, "op")), *code = NULL;
	json_t *id = json_object_get(req, "id"), *result, *doc;
	_cleanup_sb_ struct hr_strbuf why = {};

	if (json_integer_value(json_object_get(req, "v")) != HR_CONTROL_VERSION) {
		refuse(k, "bad-version", "this agent speaks \"v\":1", id, NULL);
		return;
	}
	if (!op) {
		refuse(k, "bad-request", "\"op\" is missing", id, NULL);
		return;
	}
	result = k->c->o.handle(k->c->o.ctx, op, req, &k->peer, &code, &why);
	if (code || !result) {
		refuse(k, code ? code : "failed", hr_sb_str(&why), id, result);
		return;
	}
	doc = json_pack("{s:i,s:b,s:o}", "v", HR_CONTROL_VERSION, "ok", 1, "result", result);
	if (id)
		json_object_set(doc, "id", id);
	answer(k, doc);
}

static void do_line(struct hr_control_client *k, const char *line, size_t n)
{
	json_error_t e;
	json_t *req = json_loadb(line, n, JSON_REJECT_DUPLICATES, &e);
	char text[256];

	if (json_is_object(req)) {
		dispatch(k, req);
	} else {
		snprintf(text, sizeof(text), "no JSON object on the line: %s",
			 req ? "another type" : e.text);
		refuse(k, "bad-request", text, NULL, NULL);
	}
	json_decref(req);
}

/* -errno: the connection is gone. */
static int flush(struct hr_control_client *k)
{
	while (k->sent < k->out.len) {
		ssize_t n = send(k->fd, k->out.data + k->sent, k->out.len - k->sent, MSG_NOSIGNAL);

		if (n > 0)
			k->sent += (size_t)n;
		else if (errno == EAGAIN)
			return hr_watch_mod(k->watch, EPOLLOUT);
		else if (errno != EINTR)
			return -errno;
	}
	hr_sb_free(&k->out);
	k->sent = 0;
	hr_timer_stop(&k->timer); /* progress: the next wait has its own time */
	if (k->closing)
		return -ECONNRESET;
	return hr_watch_mod(k->watch, EPOLLIN);
}

static void drop_input(struct hr_control_client *k, size_t n)
{
	memmove(k->in.data, k->in.data + n, k->in.len - n);
	k->in.len -= n;
	k->c->backlog -= n;
	k->scanned = 0;
	if (!k->in.len)
		hr_sb_free(&k->in);
}

/* Answers whole lines, one at a time: while an answer is not gone no further line is looked at. */
static int do_lines(struct hr_control_client *k)
{
	while (!k->out.len && k->in.len > k->scanned) {
		char *nl = memchr(k->in.data + k->scanned, '\n', k->in.len - k->scanned);
		size_t n;
		int r;

		if (!nl) {
			k->scanned = k->in.len;
			break;
		}
		n = (size_t)(nl - k->in.data);
		if (n)
			do_line(k, k->in.data, n);
		drop_input(k, n + 1);
		r = flush(k);
		if (r < 0)
			return r;
	}
	return 0;
}

static int refuse_and_close(struct hr_control_client *k, const char *why)
{
	refuse(k, "too-big", why, NULL, NULL);
	k->closing = true;
	drop_input(k, k->in.len);
	return flush(k);
}

static int read_some(struct hr_control_client *k)
{
	char buf[READ_TURN];
	ssize_t n = recv(k->fd, buf, sizeof(buf), 0);
	int r;

	if (n == 0)
		return -ECONNRESET;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	hr_sb_addn(&k->in, buf, (size_t)n);
	k->c->backlog += (size_t)n;
	r = do_lines(k);
	if (r < 0)
		return r;
	if (k->in.len > k->c->o.line_max && k->scanned == k->in.len)
		return refuse_and_close(k, "the line is longer than this agent reads");
	if (k->c->backlog > k->c->o.backlog_max)
		return refuse_and_close(k, "too many unfinished requests; try again");
	return 0;
}

static void on_client(void *ctx, uint32_t events)
{
	struct hr_control_client *k = ctx;
	int r = 0;

	if (events & EPOLLOUT) {
		r = flush(k);
		if (r == 0)
			r = do_lines(k);
	} else if (events & EPOLLIN) {
		r = read_some(k);
	} else if (events & (EPOLLHUP | EPOLLERR)) {
		r = -ECONNRESET;
	}
	if (r < 0)
		client_free(k);
	else
		settle_timer(k);
}

static bool may_use(const struct hr_control_peer *peer)
{
	return peer->uid == 0 || peer->uid == geteuid();
}

static void add_client(struct hr_control *c, int fd)
{
	struct hr_control_client *k = calloc(1, sizeof(*k));
	struct ucred cred = {.uid = (uid_t)-1};
	socklen_t len = sizeof(cred);

	if (!k) {
		close(fd);
		return;
	}
	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
	k->c = c;
	k->fd = fd;
	k->peer = (struct hr_control_peer){.pid = cred.pid, .uid = cred.uid, .client = k};
	hr_list_add_tail(&c->clients, &k->node);
	c->n_clients++;
	if (hr_watch_add(c->o.loop, fd, EPOLLIN, on_client, k, &k->watch) < 0) {
		client_free(k);
		return;
	}
	if (may_use(&k->peer) && c->n_clients <= c->o.max_clients)
		return;
	k->closing = true;
	if (!may_use(&k->peer))
		refuse(k, "forbidden", "only root and the agent's own user may ask", NULL, NULL);
	else
		refuse(k, "busy", "too many clients", NULL, NULL);
	if (flush(k) < 0)
		client_free(k);
	else
		settle_timer(k);
}

static void on_listener(void *ctx, uint32_t events)
{
	struct hr_control *c = ctx;

	(void)events;
	/* a few a turn: a flood of connections must not stop the agent's other work */
	for (int i = 0; i < 16; i++) {
		int fd = accept4(c->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0)
			return;
		add_client(c, fd);
	}
}

bool hr_control_event(struct hr_control_client *k, json_t *doc)
{
	if (k->out.len || k->closing) { /* what it has not taken yet comes first */
		json_decref(doc);
		return false;
	}
	answer(k, doc);
	/* a connection that is gone is told by epoll, and freed there */
	if (flush(k) == 0)
		settle_timer(k);
	return true;
}

static void set_defaults(struct hr_control_opts *o)
{
	if (!o->max_clients)
		o->max_clients = 64;
	if (!o->partial_timeout_ms)
		o->partial_timeout_ms = 30000;
	if (!o->line_max)
		o->line_max = HR_CONTROL_LINE_MAX;
	if (!o->backlog_max)
		o->backlog_max = 4 * o->line_max;
}

int hr_control_new(struct hr_control **out, const struct hr_control_opts *opts,
		   struct hr_strbuf *err)
{
	struct hr_control *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->o = *opts;
	set_defaults(&c->o);
	hr_list_init(&c->clients);
	c->fd = c->lock = -1;
	if (asprintf(&c->lock_path, "%s.lock", opts->path) < 0)
		abort();
	c->lock = hr_control_lock(c->lock_path, opts->path, err);
	r = c->lock;
	if (r >= 0)
		r = c->fd = hr_control_listen(opts->path, err);
	if (r >= 0) {
		c->path = strdup(opts->path); /* from here on it is ours to remove */
		r = hr_watch_add(opts->loop, c->fd, EPOLLIN, on_listener, c, &c->watch);
	}
	if (r < 0) {
		hr_control_free(c);
		return r;
	}
	*out = c;
	return 0;
}

void hr_control_free(struct hr_control *c)
{
	if (!c)
		return;
	hr_watch_del(c->watch);
	hr_list_for_each (n, &c->clients)
		client_free(hr_list_entry(n, struct hr_control_client, node));
	if (c->path)
		unlink(c->path);
	if (c->fd >= 0)
		close(c->fd);
	if (c->lock >= 0) {
		unlink(c->lock_path); /* while it is held: nobody can have locked this inode */
		close(c->lock);
	}
	free(c->path);
	free(c->lock_path);
	free(c);
}
