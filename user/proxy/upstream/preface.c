// SPDX-License-Identifier: Apache-2.0
/* PROXY protocol headers and CONNECT at the front of an upstream connection. */
#include "proxy/upstream/preface.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

#include "proxy/internal.h"

struct px_preface {
	struct px_out out;
	bool awaits; /* CONNECT is out, or will be: an answer comes */
	struct hr_http_msg answer;
};

/* ---- PROXY protocol ---- */

static bool addresses_known(const struct px_client *c)
{
	return c->src_port && c->dst_port && hr_addr_is4(&c->src) == hr_addr_is4(&c->dst);
}

static void write_v1(struct px_out *out, const struct px_client *c)
{
	char src[HR_ADDR_TEXT], dst[HR_ADDR_TEXT];

	if (!addresses_known(c)) {
		px_out_lit(out, "PROXY UNKNOWN\r\n");
		return;
	}
	px_out_printf(out, "PROXY %s %s %s %u %u\r\n", hr_addr_is4(&c->src) ? "TCP4" : "TCP6",
		      hr_addr_text(&c->src, src), hr_addr_text(&c->dst, dst), c->src_port,
		      c->dst_port);
}

static void write_v2(struct px_out *out, const struct px_client *c)
{
	static const char signature[] = "\r\n\r\n\0\r\nQUIT\n";
	bool known = addresses_known(c), v4 = hr_addr_is4(&c->src);
	size_t skip = v4 ? 12 : 0, n = sizeof(c->src.ip) - skip;
	uint8_t head[] = {0x21 /* version 2, PROXY */,
			  !known ? 0x00 : (v4 ? 0x11 : 0x21) /* TCP over IPv4 or IPv6 */};
	uint16_t len = htons(known ? (uint16_t)(2 * n + 4) : 0), sport = htons(c->src_port),
		 dport = htons(c->dst_port);

	px_out_add(out, signature, sizeof(signature) - 1);
	px_out_add(out, head, sizeof(head));
	px_out_add(out, &len, sizeof(len));
	if (!known)
		return;
	px_out_add(out, c->src.ip + skip, n);
	px_out_add(out, c->dst.ip + skip, n);
	px_out_add(out, &sport, sizeof(sport));
	px_out_add(out, &dport, sizeof(dport));
}

/* ---- CONNECT ---- */

static void write_connect(struct px_out *out, const struct hr_tunnel *t)
{
	bool v6 = strchr(t->host, ':');

	for (int i = 0; i < 2; i++)
		px_out_printf(out, "%s%s%s%s:%u%s\r\n", i ? "Host: " : "CONNECT ", v6 ? "[" : "",
			      t->host, v6 ? "]" : "", t->port, i ? "\r\n" : " HTTP/1.1");
}

static int read_answer(struct px_up *u)
{
	struct px_preface *p = u->preface;
	struct px_buf *in = &u->s.in;

	while (px_side_read(u->w, &u->s))
		;
	switch (hr_http_parse(&p->answer, px_buf_at(in), px_buf_len(in))) {
	case HR_HTTP_ERROR:
		return -EPROTO;
	case HR_HTTP_MORE:
		return u->s.eof || u->s.error ? -ECONNRESET : 0;
	case HR_HTTP_OK:
		break;
	}
	if (p->answer.interim) {
		px_buf_use(u->w, in, p->answer.head_len);
		hr_http_init(&p->answer, HR_HTTP_RESPONSE, true);
		return 0;
	}
	if (p->answer.status / 100 != 2)
		return -ECONNREFUSED;
	px_buf_use(u->w, in, p->answer.head_len);
	return 1;
}

/* ---- what upstream.c and its users call ---- */

int px_preface_set(struct px_up *u, const struct hr_plan_cluster *c, const struct px_client *client,
		   bool opaque)
{
	struct px_preface *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	u->preface = p;
	if (c->proxy_protocol && c->proxy_protocol->version == 2)
		write_v2(&p->out, client);
	else if (c->proxy_protocol)
		write_v1(&p->out, client);
	if (opaque && c->tunnel) {
		write_connect(&p->out, c->tunnel);
		p->awaits = true;
		/* as for an answer to HEAD, no body follows the head */
		hr_http_init(&p->answer, HR_HTTP_RESPONSE, true);
	}
	return 0;
}

void px_preface_free(struct px_up *u)
{
	if (!u->preface)
		return;
	px_out_free(&u->preface->out);
	free(u->preface);
	u->preface = NULL;
}

int px_preface_run(struct px_up *u)
{
	struct px_preface *p = u->preface;

	u->s.writable = true;
	px_side_write(&u->s, &p->out, NULL, 0, SIZE_MAX);
	if (u->s.werror)
		return -u->s.werror;
	if (px_out_len(&p->out))
		return 0;
	return p->awaits ? read_answer(u) : 1;
}
