/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole proxy in this process for the tests: door A on loopback, no kernel path, a plan from
 * YAML, an origin server, and a blocking client that reads answers strictly.
 *
 *	client --loopback--> door A --(rig.vip is what it "asked for")--> plan --> origin threads
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>
#include <cmocka.h>

#include "core/log.h"
#include "core/net.h"
#include "model/decode.h"
#include "origin.h"
#include "plan/compile/ids.h"
#include "plan/plan.h"
#include "proxy/proxy.h"

struct rig {
	struct hr_proxy *px;
	struct hr_ids *ids;
	struct origin origin;
	struct hr_netns ports;
	uint64_t netns;
	/* what the next connections are for */
	char vip[64];
	uint16_t vip_port;
	uint8_t proto;
	/* the last access record */
	pthread_mutex_t lock;
	char flags[32], route[128], upstream[64], no_retry[32];
	uint16_t status, tries;
	atomic_int records;
};

static atomic_int rig_released;

static inline void rig_release(const struct hr_plan *p)
{
	atomic_fetch_add(&rig_released, 1);
	hr_plan_free((struct hr_plan *)p);
}

static inline int rig_dst(void *ctx, int fd, struct hr_door *out)
{
	struct rig *r = ctx;
	struct hr_addr a;

	(void)fd;
	if (hr_addr_parse(r->vip, &a))
		return -EINVAL;
	*out = (struct hr_door){
		.dst_port_be = htons(r->vip_port), .proto = r->proto, .why = HR_WHY_DATAPATH};
	memcpy(out->dst_ip, a.ip, sizeof(out->dst_ip));
	return 0;
}

static inline void rig_access(void *ctx, const struct hr_access *a)
{
	struct rig *r = ctx;

	pthread_mutex_lock(&r->lock);
	snprintf(r->flags, sizeof(r->flags), "%s", a->flags);
	snprintf(r->route, sizeof(r->route), "%s", a->route);
	snprintf(r->no_retry, sizeof(r->no_retry), "%s", a->no_retry);
	snprintf(r->upstream, sizeof(r->upstream), "%s", a->upstream);
	r->status = a->status;
	r->tries = a->tries;
	pthread_mutex_unlock(&r->lock);
	atomic_fetch_add(&r->records, 1);
}

/* The mesh of every test: service web (VIP 10.9.0.1, ports 80 http, 81 tcp, 82 auto) with the
 * origin as its endpoints; service dead (10.9.0.2) where nobody listens; service empty (10.9.0.3).
 * `more` is added; PORT is the origin's port. */
static const char rig_mesh[] =
	"apiVersion: v1\nkind: Service\nmetadata: {name: web}\n"
	"spec: {clusterIP: 10.9.0.1, ports: [{name: http, port: 80, targetPort: PORT},"
	" {name: tcp-x, port: 81, targetPort: PORT}, {name: any, port: 82, targetPort: "
	"PORT}]}\n---\n"
	"apiVersion: v1\nkind: Endpoints\nmetadata: {name: web}\n"
	"subsets: [{addresses: [{ip: 127.0.0.1}, {ip: 127.0.0.2}], ports: [{name: http, port: "
	"PORT},"
	" {name: tcp-x, port: PORT}, {name: any, port: PORT}]}]\n---\n"
	"apiVersion: v1\nkind: Service\nmetadata: {name: dead}\n"
	"spec: {clusterIP: 10.9.0.2, ports: [{name: http, port: 80, targetPort: 1}]}\n---\n"
	"apiVersion: v1\nkind: Endpoints\nmetadata: {name: dead}\n"
	"subsets: [{addresses: [{ip: 127.0.0.1}], ports: [{name: http, port: 1}]}]\n---\n"
	"apiVersion: v1\nkind: Service\nmetadata: {name: empty}\n"
	"spec: {clusterIP: 10.9.0.3, ports: [{name: http, port: 80}]}\n---\n";

/* The next PORT that is a word of its own. */
static inline const char *rig_port_word(const char *p)
{
	const char *at = strstr(p, "PORT");

	while (at && at > p && at[-1] == '_')
		at = strstr(at + 1, "PORT");
	return at;
}

static inline struct hr_plan *rig_plan(struct rig *r, const char *more)
{
	struct hr_plan_opts po = {.cluster_domain = "cluster.local", .registry_only = false};
	struct hr_diags *diags = hr_diags_new();
	struct hr_decoder *d = hr_decoder_new(0, diags);
	struct hr_strbuf text = {}, said = {};
	struct hr_plan *plan = NULL;
	const char *what, *p = NULL, *next;

	for (int part = 0; part < 2; part++)
		for (p = part ? more : rig_mesh; *p; p = next) {
			next = rig_port_word(p);
			hr_sb_addn(&text, p, next ? (size_t)(next - p) : strlen(p));
			if (next)
				hr_sb_printf(&text, "%u", r->origin.port);
			next = next ? next + 4 : p + strlen(p);
		}
	hr_decode_text(d, "test.yaml", text.data, text.len);
	struct hr_objects *o = hr_decoder_finish(d);

	for (size_t i = 0; i < diags->list.len; i++)
		if (diags->list.data[i].severity == HR_SEV_ERROR) {
			hr_diag_text(&diags->list.data[i], &said);
			fail_msg("%s", hr_sb_str(&said));
		}
	assert_int_equal(hr_plan_build(&plan, o, &po, diags), 0);
	assert_int_equal(hr_ids_assign(r->ids, plan, &what), 0);
	hr_diags_free(diags);
	hr_sb_free(&text);
	return plan;
}

static inline void rig_publish(struct rig *r, const char *more)
{
	hr_proxy_publish(r->px, rig_plan(r, more), rig_release);
	usleep(20000); /* the workers adopt it in their next turn */
}

static inline void rig_start_opts(struct rig *r, const char *more, struct hr_proxy_opts o)
{
	int nsfd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t n = sizeof(r->netns);

	memset(r, 0, sizeof(*r));
	hr_log_setup(getenv("RIG_DEBUG") ? HR_LOG_DEBUG : HR_LOG_ERROR, HR_LOG_TEXT);
	pthread_mutex_init(&r->lock, NULL);
	snprintf(r->vip, sizeof(r->vip), "10.9.0.1");
	r->vip_port = 80;
	r->proto = HR_PROTO_HTTP1;
	r->ids = hr_ids_new();
	origin_start(&r->origin);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &r->netns, &n), 0);
	close(fd);
	o.workers = o.workers ? o.workers : 2;
	o.original_dst = rig_dst;
	o.access = rig_access;
	o.ctx = r;
	assert_int_equal(hr_proxy_new(&r->px, &o), 0);
	rig_publish(r, more);
	assert_int_equal(hr_proxy_serve_netns(r->px, nsfd, r->netns, &r->ports), 0);
	close(nsfd);
}

static inline void rig_start(struct rig *r, const char *more)
{
	rig_start_opts(r, more, (struct hr_proxy_opts){});
}

static inline void rig_stop(struct rig *r)
{
	hr_proxy_free(r->px);
	origin_stop(&r->origin);
	assert_int_equal(r->origin.open, 0); /* the proxy closed all it had opened */
	hr_ids_free(r->ids);
}

/* Waits for the record of the last request: it is written after the answer. */
static inline void rig_flags(struct rig *r, const char *flags)
{
	char last[32] = "";

	for (int i = 0; i < 100; i++) {
		pthread_mutex_lock(&r->lock);
		memcpy(last, r->flags, sizeof(last));
		pthread_mutex_unlock(&r->lock);
		if (!strcmp(last, flags))
			break;
		usleep(10000);
	}
	assert_string_equal(last, flags);
}

/* ---- client ---- */

static inline int cl_open(struct rig *r)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons(r->ports.door_port),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval tv = {.tv_sec = 10};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static inline void cl_send(int fd, const char *s)
{
	assert_true(o_send(fd, s, strlen(s)));
}

struct answer {
	int status;
	char head[20000];
	char *body;
	size_t len;
	bool close;	  /* said Connection: close */
	char rest[65536]; /* bytes that came after it */
	size_t nrest;
};

static inline bool cl_more(int fd, struct answer *a)
{
	ssize_t n = recv(fd, a->rest + a->nrest, sizeof(a->rest) - 1 - a->nrest, 0);

	if (n <= 0)
		return false;
	a->nrest += (size_t)n;
	a->rest[a->nrest] = 0;
	return true;
}

static inline void cl_take(struct answer *a, size_t n)
{
	a->body = realloc(a->body, a->len + n + 1);
	memcpy(a->body + a->len, a->rest, n);
	a->len += n;
	a->body[a->len] = 0;
	memmove(a->rest, a->rest + n, a->nrest - n + 1);
	a->nrest -= n;
}

static inline bool cl_take_all(int fd, struct answer *a, size_t n)
{
	while (n) {
		size_t take = a->nrest < n ? a->nrest : n;

		cl_take(a, take);
		n -= take;
		if (n && !cl_more(fd, a))
			return false;
	}
	return true;
}

/* One answer (zero `a` once; what follows an answer stays in it). False: it was cut short. */
static inline bool cl_answer(int fd, struct answer *a, bool head)
{
	char *end, *p;

	a->len = 0;
	a->rest[a->nrest] = 0;
	while (!(end = strstr(a->rest, "\r\n\r\n")))
		if (!cl_more(fd, a))
			return false;
	snprintf(a->head, sizeof(a->head), "%.*s", (int)(end - a->rest) + 4, a->rest);
	cl_take(a, (size_t)(end - a->rest) + 4);
	a->len = 0;
	a->body[0] = 0;
	a->status = atoi(a->head + 9);
	a->close = strcasestr(a->head, "\r\nconnection: close") != NULL;
	if (head || a->status == 204 || a->status == 304 || a->status / 100 == 1)
		return true;
	p = strcasestr(a->head, "\r\ncontent-length:");
	if (p)
		return cl_take_all(fd, a, (size_t)atoll(p + 17));
	if (!strcasestr(a->head, "\r\ntransfer-encoding: chunked")) {
		do
			cl_take(a, a->nrest);
		while (cl_more(fd, a));
		return true;
	}
	for (;;) {
		size_t size, before = a->len;

		while (!(end = strstr(a->rest, "\r\n")))
			if (!cl_more(fd, a))
				return false;
		size = strtoul(a->rest, NULL, 16);
		cl_take(a, (size_t)(end - a->rest) + 2);
		a->len = before;
		if (!size) { /* trailers, up to the empty line, end up behind the body */
			before = a->len;
			do {
				while (!(end = strstr(a->rest, "\r\n")))
					if (!cl_more(fd, a))
						return false;
				size = (size_t)(end - a->rest);
				cl_take(a, size + 2);
			} while (size);
			a->len = before;
			a->body[a->len] = 0;
			return true;
		}
		if (!cl_take_all(fd, a, size + 2))
			return false;
		a->len -= 2;
		a->body[a->len] = 0;
	}
}

static inline void cl_free(struct answer *a)
{
	free(a->body);
	memset(a, 0, sizeof(*a));
}

/* One request on a new connection; the connection is closed. */
static inline int cl_once(struct rig *r, const char *request, struct answer *a)
{
	int fd = cl_open(r);
	bool head = !strncmp(request, "HEAD ", 5), ok;

	cl_free(a);
	cl_send(fd, request);
	ok = cl_answer(fd, a, head);
	close(fd);
	return ok ? a->status : -1;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: web\r\n\r\n"

static inline bool cl_at_end(int fd)
{
	char b;

	return recv(fd, &b, 1, 0) == 0;
}
