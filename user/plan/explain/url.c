// SPDX-License-Identifier: Apache-2.0
/* The URL that explain is asked about: http://host[:port]/path?query. */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "core/net.h"
#include "http/http1.h"
#include "http/path.h"
#include "plan/explain/asked.h"

static int split_port(struct hr_asked *q, struct hr_slice auth, const char **why)
{
	const char *bracket = memchr(auth.p, ']', auth.n);
	const char *colon = memrchr(auth.p, ':', auth.n);
	char text[8] = "";
	uint64_t port;

	q->authority = auth;
	if (!colon || (bracket && colon < bracket))
		return 0;
	q->authority.n = (size_t)(colon - auth.p);
	if (colon + 1 == auth.p + auth.n)
		return 0; /* RFC 3986 section 3.2.3: the scheme's */
	if ((size_t)(auth.p + auth.n - colon - 1) < sizeof(text))
		memcpy(text, colon + 1, (size_t)(auth.p + auth.n - colon - 1));
	if (hr_parse_u64(text, 65535, &port) || !port) {
		*why = "the port is not a number from 1 to 65535";
		return -EINVAL;
	}
	q->port = (uint16_t)port;
	return 0;
}

/* A host that no client could ask for is refused; an address is kept as one. */
static int read_host(struct hr_arena *a, struct hr_asked *q, const char **why)
{
	char name[HR_HTTP_HOST_MAX + 1];
	uint16_t port;
	size_t n;

	if (hr_http_host_norm(q->authority, name, &n, &port) || port) {
		*why = "the host is no name and no address";
		return -EINVAL;
	}
	if (*name == '[')
		q->is_addr = !hr_addr_parse(hr_arena_strndup(a, name + 1, n - 2), &q->addr);
	else
		q->is_addr = !hr_addr_parse(name, &q->addr);
	if (*name == '[' && !q->is_addr) {
		*why = "the host is no IPv6 address";
		return -EINVAL;
	}
	return 0;
}

int hr_asked_url(struct hr_arena *a, const char *url, struct hr_asked *out, const char **why)
{
	struct hr_asked q = {.scheme = HR_SLICE("http"), .port = 80};
	struct hr_slice rest = hr_slice_of(url), auth, path;
	const char *end;
	char *canon;

	if (!strncasecmp(url, "https://", 8)) {
		q.scheme = HR_SLICE("https");
		q.port = 443;
		rest.p += 8;
		rest.n -= 8;
	} else if (!strncasecmp(url, "http://", 7)) {
		rest.p += 7;
		rest.n -= 7;
	} else if (strstr(url, "://")) {
		*why = "only http:// and https:// are understood";
		return -EINVAL;
	}
	auth = (struct hr_slice){rest.p, strcspn(rest.p, "/?#")};
	if (!auth.n || memchr(auth.p, '@', auth.n)) {
		*why = "there is no host";
		return -EINVAL;
	}
	if (split_port(&q, auth, why) || read_host(a, &q, why))
		return -EINVAL;
	path = (struct hr_slice){rest.p + auth.n, strcspn(rest.p + auth.n, "?#")};
	end = path.p + path.n;
	if (*end == '?')
		q.query = (struct hr_slice){end + 1, strcspn(end + 1, "#")};
	if (!path.n)
		path = HR_SLICE("/");
	canon = hr_arena_alloc(a, path.n + 1);
	q.odd_path = !hr_path_is_canonical(path, HR_PATH_BASE);
	q.path.p = canon;
	if (hr_path_canon(path, HR_PATH_BASE, canon, &q.path.n)) {
		q.bad_path = true;
		q.path = path;
	}
	*out = q;
	return 0;
}
