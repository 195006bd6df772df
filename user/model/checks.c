// SPDX-License-Identifier: Apache-2.0
/* Constraints on strings: names, hosts, addresses, header fields, paths. */
#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#include "core/cleanup.h"
#include "core/net.h"
#include "model/schema.h"

/* RFC 1035: 253 bytes of name, 63 of label. */
#define DNS_NAME_MAX 253
#define DNS_LABEL_MAX 63

static void bad(struct hr_dec *x, const struct hr_ynode *n, const char *value, const char *why)
{
	hr_dec_say(x, HR_SEV_ERROR, n->pos, "bad-value", "\"%.80s\" %s", value, why);
}

static bool label_ok(const char *s, size_t len, bool underscore)
{
	if (!len || len > DNS_LABEL_MAX || s[0] == '-' || s[len - 1] == '-')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)s[i]) && s[i] != '-' && !(underscore && s[i] == '_'))
			return false;
	return true;
}

static bool name_ok(const char *s, bool underscore)
{
	size_t n = strlen(s);

	if (!n || n > DNS_NAME_MAX)
		return false;
	for (;;) {
		size_t len = strcspn(s, ".");

		if (!label_ok(s, len, underscore))
			return false;
		if (!s[len])
			return true;
		s += len + 1;
	}
}

static bool has_upper(const char *s)
{
	for (; *s; s++)
		if (isupper((unsigned char)*s))
			return true;
	return false;
}

/* A host may end in a dot; it is cut when hosts are compared. */
static bool host_ok(const char *s)
{
	_cleanup_free_ char *copy = strdup(s);
	size_t n = strlen(s);

	if (!copy)
		return false;
	if (n > 1 && copy[n - 1] == '.')
		copy[n - 1] = 0;
	return name_ok(copy, true);
}

void hr_check_host(struct hr_dec *x, const struct hr_ynode *n, const char *v)
{
	struct hr_addr addr;

	if (hr_streq(v, "*") || !hr_addr_parse(v, &addr) || host_ok(v) ||
	    (hr_starts(v, "*.") && host_ok(v + 2)))
		return;
	bad(x, n, v, "is no host name (DNS name, *.name, * or address)");
}

void hr_check_dest_host(struct hr_dec *x, const struct hr_ynode *n, const char *v)
{
	if (strchr(v, '*'))
		bad(x, n, v, "is a wildcard: a destination is one host");
	else
		hr_check_host(x, n, v);
}

void hr_check_dns_label(struct hr_dec *x, const struct hr_ynode *n, const char *v)
{
	/* Kubernetes writes "" for a name that is not set */
	if (*v && (!label_ok(v, strlen(v), false) || has_upper(v)))
		bad(x, n, v, "is no DNS label (a-z, 0-9 and -, 63 at most)");
}

void hr_check_dns_name(struct hr_dec *x, const struct hr_ynode *n, const char *v)
{
	if (!name_ok(v, false) || has_upper(v))
		bad(x, n, v, "is no DNS name (a-z, 0-9, - and ., 253 at most)");
}

static bool token_ok(const char *v)
{
	for (const char *c = v; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("!#$%&'*+-.^_`|~", *c))
			return false;
	return *v;
}

void hr_check_header_name(struct hr_dec *x, const struct hr_ynode *n, const char *v)
{
	if (!token_ok(v))
		bad(x, n, v, "is no header name (RFC 9110 token: no blank, no colon)");
}

void hr_check_header_value(struct hr_dec *x, const struct hr_ynode *n, const char *v)
{
	for (const char *c = v; *c; c++)
		if ((unsigned char)*c < 0x20 && *c != '\t')
			return bad(x, n, v, "holds a control character, not allowed in a header");
}

void hr_check_token(struct hr_dec *x, const struct hr_ynode *n, const char *v)
{
	if (!token_ok(v))
		bad(x, n, v, "is no HTTP method");
}

void hr_check_nonempty(struct hr_dec *x, const struct hr_ynode *n, const char *v)
{
	if (!*v)
		bad(x, n, v, "is empty");
}

void hr_check_authority(struct hr_dec *x, const struct hr_ynode *n, const char *v)
{
	for (const char *c = v; *c; c++)
		if (*c <= ' ' || *c == '/' || *c == '@')
			return bad(x, n, v, "is no host or host:port");
	hr_check_nonempty(x, n, v);
}

/* Dot segments, '\' and escaped unreserved characters: gone before a request is matched. */
static bool canonical(const char *v)
{
	for (const char *c = v; *c; c++) {
		if (*c == '\\')
			return false;
		if (c[0] == '/' && c[1] == '.' && strchr("/", c[2]))
			return false;
		if (c[0] == '/' && c[1] == '.' && c[2] == '.' && strchr("/", c[3]))
			return false;
		if (c[0] == '%' && isxdigit((unsigned char)c[1]) && isxdigit((unsigned char)c[2])) {
			char hex[] = {c[1], c[2], 0};
			int byte = (int)strtol(hex, NULL, 16);

			if (byte < 0x80 && (isalnum(byte) || strchr("-._~", byte)) && byte)
				return false;
		}
	}
	return true;
}

void hr_check_path(struct hr_dec *x, const struct hr_ynode *n, const char *v)
{
	const char *why = NULL;

	if (!*v)
		return bad(x, n, v, "is empty");
	if (*v != '/' && !hr_streq(v, "*"))
		why = "does not start with \"/\"";
	else if (strchr(v, '?') || strchr(v, '#'))
		why = "holds \"?\" or \"#\", which are no part of a path; see queryParams";
	else if (!canonical(v))
		why = "is not canonical (dot segment, \"\\\" or needless %-escape), paths are "
		      "normalised before they are matched";
	if (why)
		hr_dec_say(x, HR_SEV_WARNING, n->pos, "never-matches",
			   "\"%.80s\" %s: no request "
			   "matches it",
			   v, why);
}

void hr_check_regex(struct hr_dec *x, const struct hr_ynode *n, const char *v)
{
	if (strlen(v) > HR_REGEX_MAX)
		hr_dec_say(x, HR_SEV_ERROR, n->pos, "limit", "regex longer than %d bytes",
			   HR_REGEX_MAX);
	hr_check_nonempty(x, n, v);
}

void hr_check_gateway(struct hr_dec *x, const struct hr_ynode *n, const char *v)
{
	const char *slash = strchr(v, '/');

	if (!name_ok(slash ? slash + 1 : v, false) ||
	    (slash && !label_ok(v, (size_t)(slash - v), false)))
		bad(x, n, v, "is no gateway (mesh, NAME or NAMESPACE/NAME)");
}

void hr_check_ip(struct hr_dec *x, const struct hr_ynode *n, const char *v)
{
	struct hr_addr a;

	if (hr_addr_parse(v, &a))
		bad(x, n, v, "is no IPv4 or IPv6 address");
}

/* NULL, or what is wrong with ADDRESS/BITS. */
static const char *cidr_why(const char *v)
{
	const char *slash = strchr(v, '/');
	char text[HR_ADDR_TEXT];
	unsigned char ip[16];
	size_t len = (size_t)(slash - v);
	int family = strchr(v, ':') ? AF_INET6 : AF_INET;
	uint64_t bits, max = family == AF_INET6 ? 128 : 32;

	if (len >= sizeof(text))
		return "is no CIDR block";
	memcpy(text, v, len);
	text[len] = 0;
	if (inet_pton(family, text, ip) != 1 || hr_parse_u64(slash + 1, max, &bits))
		return "is no CIDR block (ADDRESS/BITS)";
	for (uint64_t i = bits; i < max; i++)
		if (ip[i / 8] & (0x80 >> (i % 8)))
			return "has host bits set: the address must be the block's first";
	return NULL;
}

void hr_check_tunnel_host(struct hr_dec *x, const struct hr_ynode *n, const char *v)
{
	struct hr_addr a;

	if (hr_addr_parse(v, &a))
		hr_check_dest_host(x, n, v);
}

void hr_check_ip_or_cidr(struct hr_dec *x, const struct hr_ynode *n, const char *v)
{
	const char *why;

	if (!strchr(v, '/'))
		return hr_check_ip(x, n, v);
	why = cidr_why(v);
	if (why)
		bad(x, n, v, why);
}

void hr_check_cidr_vip(struct hr_dec *x, const struct hr_ynode *n, const char *v)
{
	hr_check_ip_or_cidr(x, n, v);
	if (strchr(v, '/') && !cidr_why(v))
		hr_dec_not_built(x, n->pos, v, "a block of virtual addresses");
}

void hr_check_export_to(struct hr_dec *x, const struct hr_ynode *n, const char *v)
{
	if (hr_streq(v, "*"))
		return;
	if (hr_streq(v, ".") && !x->unbuilt)
		return hr_dec_say(
			x, HR_SEV_WARNING, n->pos, "not-built",
			"not built yet: \".\" is read but has no effect (visible in every "
			"namespace)");
	if (!hr_streq(v, "~"))
		hr_check_dns_label(x, n, v);
	hr_dec_not_built(x, n->pos, v, "exportTo other than \"*\" and \".\"");
}

void hr_check_export_ns(struct hr_dec *x, const struct hr_ynode *n, const char *v)
{
	if (!*v || (!hr_streq(v, "*") && !hr_streq(v, ".") &&
		    (!label_ok(v, strlen(v), false) || has_upper(v))))
		bad(x, n, v, "is no namespace (NAME, \".\" or \"*\")");
}

void hr_check_workload_address(struct hr_dec *x, const struct hr_ynode *n, const char *v)
{
	struct hr_addr a;

	if (hr_starts(v, "unix://"))
		hr_dec_not_built(x, n->pos, "unix://", "Unix sockets as endpoints");
	else if (hr_addr_parse(v, &a))
		hr_check_dest_host(x, n, v);
}

void hr_check_locality(struct hr_dec *x, const struct hr_ynode *n, const char *v)
{
	size_t slashes = 0;

	for (const char *c = v; *c; c++)
		slashes += *c == '/';
	if (!*v || *v == '/' || slashes > 2)
		bad(x, n, v, "is no locality (REGION/ZONE/SUBZONE)");
}

/* [A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])? of 63 at most */
static bool label_word(const char *s, size_t n)
{
	if (!n || n > DNS_LABEL_MAX || !isalnum((unsigned char)s[0]) ||
	    !isalnum((unsigned char)s[n - 1]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]) && !strchr("-_.", s[i]))
			return false;
	return true;
}

void hr_check_label(struct hr_dec *x, const struct hr_ynode *n)
{
	const char *slash = strchr(n->key, '/');
	const char *name = slash ? slash + 1 : n->key;
	struct hr_ynode key = {.pos = n->key_pos};
	bool prefix_ok = true;

	if (slash) {
		_cleanup_free_ char *prefix = strndup(n->key, (size_t)(slash - n->key));

		prefix_ok = prefix && name_ok(prefix, false);
	}
	if (!prefix_ok || !label_word(name, strlen(name)))
		bad(x, &key, n->key, "is no label key");
	if (n->type == HR_NODE_SCALAR && n->len && !hr_node_is_null(n) &&
	    !label_word(n->value, n->len))
		bad(x, n, n->value, "is no label value (63 of A-Z a-z 0-9 - _ .)");
}
