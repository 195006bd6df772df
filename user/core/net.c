// SPDX-License-Identifier: Apache-2.0
/* Addresses of the ABI and their text. */
#include "core/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "core/str.h"

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

int hr_addr_parse(const char *s, struct hr_addr *out)
{
	struct hr_addr a;

	if (inet_pton(AF_INET, s, a.ip + 12) == 1)
		memcpy(a.ip, mapped, sizeof(mapped));
	else if (inet_pton(AF_INET6, s, a.ip) != 1)
		return -EINVAL;
	*out = a;
	return 0;
}

int hr_cidr_parse(const char *s, struct hr_addr *out, unsigned *bits)
{
	const char *slash = strchr(s, '/');
	char text[HR_ADDR_TEXT];
	struct hr_addr a;
	uint64_t n = 0;

	if (!slash) {
		*bits = 128;
		return hr_addr_parse(s, out);
	}
	if ((size_t)(slash - s) >= sizeof(text))
		return -EINVAL;
	memcpy(text, s, (size_t)(slash - s));
	text[slash - s] = '\0';
	if (hr_addr_parse(text, &a) || hr_parse_u64(slash + 1, 128, &n))
		return -EINVAL;
	if (hr_addr_is4(&a) && !strchr(text, ':')) {
		if (n > 32)
			return -EINVAL;
		n += 96;
	}
	*out = a;
	*bits = (unsigned)n;
	return 0;
}

bool hr_cidr_holds(const struct hr_addr *block, unsigned bits, const struct hr_addr *a)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (memcmp(block->ip, a->ip, whole))
		return false;
	return !rest || !((block->ip[whole] ^ a->ip[whole]) >> (8 - rest));
}

bool hr_addr_is4(const struct hr_addr *a)
{
	return !memcmp(a->ip, mapped, sizeof(mapped));
}

bool hr_addr_is_loopback(const struct hr_addr *a)
{
	static const struct hr_addr lo6 = {{[15] = 1}};

	return hr_addr_is4(a) ? a->ip[12] == 127 : hr_addr_eq(a, &lo6);
}

bool hr_addr_eq(const struct hr_addr *a, const struct hr_addr *b)
{
	return !memcmp(a, b, sizeof(*a));
}

const char *hr_addr_text(const struct hr_addr *a, char buf[static HR_ADDR_TEXT])
{
	if (hr_addr_is4(a))
		inet_ntop(AF_INET, a->ip + 12, buf, HR_ADDR_TEXT);
	else
		inet_ntop(AF_INET6, a->ip, buf, HR_ADDR_TEXT);
	return buf;
}

const char *hr_addr_port_text(const struct hr_addr *a, uint16_t port, char buf[static HR_ADDR_TEXT])
{
	char ip[HR_ADDR_TEXT];

	hr_addr_text(a, ip);
	snprintf(buf, HR_ADDR_TEXT, hr_addr_is4(a) ? "%.46s:%u" : "[%.46s]:%u", ip, port);
	return buf;
}

socklen_t hr_addr_to_sockaddr(const struct hr_addr *a, uint16_t port, struct sockaddr_storage *out)
{
	struct sockaddr_in *in = (struct sockaddr_in *)out;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;

	memset(out, 0, sizeof(*out));
	if (hr_addr_is4(a)) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		memcpy(&in->sin_addr, a->ip + 12, 4);
		return sizeof(*in);
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	memcpy(&in6->sin6_addr, a->ip, 16);
	return sizeof(*in6);
}

int hr_addr_from_sockaddr(const struct sockaddr *sa, struct hr_addr *out, uint16_t *port)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)sa;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;

	if (sa->sa_family == AF_INET) {
		memcpy(out->ip, mapped, sizeof(mapped));
		memcpy(out->ip + 12, &in->sin_addr, 4);
		*port = ntohs(in->sin_port);
	} else if (sa->sa_family == AF_INET6) {
		memcpy(out->ip, &in6->sin6_addr, 16);
		*port = ntohs(in6->sin6_port);
	} else {
		return -EAFNOSUPPORT;
	}
	return 0;
}
