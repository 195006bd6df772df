// SPDX-License-Identifier: Apache-2.0
/*
 * Reads a ClientHello: records are joined into one handshake message, whose extensions are walked
 * for server_name. Every length is held against what is left.
 */
#include "tls/hello.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/cleanup.h"
#include "core/str.h"

#define RECORD_HEADER 5
#define RECORD_MAX (16 * 1024) /* RFC 8446 section 5.1 */
#define HANDSHAKE 22
#define CLIENT_HELLO 1
#define EXT_SERVER_NAME 0
#define NAME_HOST 0

/* What is left of a field; `bad` once something did not fit. */
struct cursor {
	const uint8_t *p;
	size_t n;
	bool bad;
};

static struct cursor take(struct cursor *c, size_t n)
{
	struct cursor part = {c->p, n, false};

	if (c->bad || n > c->n) {
		c->bad = true;
		return (struct cursor){NULL, 0, true};
	}
	c->p += n;
	c->n -= n;
	return part;
}

static size_t number(struct cursor *c, unsigned bytes)
{
	struct cursor f = take(c, bytes);
	size_t v = 0;

	for (unsigned i = 0; i < f.n; i++)
		v = v << 8 | f.p[i];
	return v;
}

/* A vector with a length of so many bytes in front. */
static struct cursor vector(struct cursor *c, unsigned bytes)
{
	return take(c, number(c, bytes));
}

/* The handshake message in `records`, joined; its length, 0: more is needed, SIZE_MAX: it is none.
 */
static size_t join(const uint8_t *p, size_t n, uint8_t *out)
{
	size_t have = 0, want = 4;

	while (have < want) {
		size_t len, part;

		if (n && p[0] != HANDSHAKE)
			return SIZE_MAX;
		if (n > 1 && p[1] != 3) /* legacy_record_version 3.x */
			return SIZE_MAX;
		if (n < RECORD_HEADER)
			return 0;
		len = (size_t)p[3] << 8 | p[4];
		if (!len || len > RECORD_MAX)
			return SIZE_MAX;
		p += RECORD_HEADER;
		n -= RECORD_HEADER;
		part = HR_MIN(len, n);
		if (have + part > HR_HELLO_MAX)
			return SIZE_MAX;
		memcpy(out + have, p, part);
		have += part;
		if (have && out[0] != CLIENT_HELLO)
			return SIZE_MAX;
		if (have >= 4)
			want = 4 + ((size_t)out[1] << 16 | (size_t)out[2] << 8 | out[3]);
		if (want > HR_HELLO_MAX)
			return SIZE_MAX;
		if (part < len && have < want)
			return 0;
		p += part;
		n -= part;
	}
	return want;
}

static void copy_name(struct cursor name, char *sni)
{
	if (name.n && name.p[name.n - 1] == '.')
		name.n--;
	if (!name.n || name.n > HR_SNI_MAX)
		return;
	for (size_t i = 0; i < name.n; i++)
		if (!isgraph(name.p[i]))
			return;
	for (size_t i = 0; i < name.n; i++)
		sni[i] = (char)tolower(name.p[i]);
	sni[name.n] = '\0';
}

static void read_names(struct cursor ext, char *sni)
{
	struct cursor list = vector(&ext, 2);

	while (list.n && !list.bad && !*sni) {
		size_t type = number(&list, 1);
		struct cursor name = vector(&list, 2);

		if (type == NAME_HOST && !name.bad)
			copy_name(name, sni);
	}
}

static bool read_hello(struct cursor c, char *sni)
{
	struct cursor exts;

	take(&c, 4 + 2 + 32); /* handshake header, legacy_version, random */
	vector(&c, 1);	      /* legacy_session_id */
	vector(&c, 2);	      /* cipher_suites */
	vector(&c, 1);	      /* legacy_compression_methods */
	if (c.bad)
		return false;
	*sni = '\0';
	if (!c.n)
		return true; /* TLS 1.2 without extensions */
	exts = vector(&c, 2);
	while (exts.n && !exts.bad) {
		size_t type = number(&exts, 2);
		struct cursor ext = vector(&exts, 2);

		if (type == EXT_SERVER_NAME && !ext.bad && !*sni)
			read_names(ext, sni);
	}
	return !c.bad && !exts.bad;
}

enum hr_hello_result hr_tls_hello(const void *p, size_t n, char sni[static HR_SNI_MAX + 1])
{
	uint8_t message[HR_HELLO_MAX];
	char name[HR_SNI_MAX + 1];
	size_t len = join(p, n, message);

	if (!len)
		return HR_HELLO_MORE;
	if (len == SIZE_MAX || !read_hello((struct cursor){message, len, false}, name))
		return HR_HELLO_NONE;
	memcpy(sni, name, sizeof(name));
	return HR_HELLO_FOUND;
}
