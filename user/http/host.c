// SPDX-License-Identifier: Apache-2.0
/* Host values: host[:port] to what virtual hosts are looked up by. */
#include <errno.h>
#include <string.h>

#include "http/bytes.h"
#include "http/http1.h"

/* Bytes of s that belong to the name; 0 when there is none. */
static size_t name_length(struct hr_slice s)
{
	size_t i = 0;

	if (s.n && s.p[0] == '[') {
		for (i = 1; i < s.n && (hr_hex(s.p[i]) >= 0 || s.p[i] == ':' || s.p[i] == '.'); i++)
			;
		return i > 1 && i < s.n && s.p[i] == ']' ? i + 1 : 0;
	}
	while (i < s.n && (hr_is_alpha(s.p[i]) || hr_is_digit(s.p[i]) || s.p[i] == '-' ||
			   s.p[i] == '.' || s.p[i] == '_'))
		i++;
	return i;
}

/* "", ":" or ":1234". */
static int parse_port(struct hr_slice s, uint16_t *out)
{
	uint32_t v = 0;

	if (s.n && (s.p[0] != ':' || s.n > 6))
		return -EINVAL;
	for (size_t i = 1; i < s.n; i++) {
		if (!hr_is_digit(s.p[i]))
			return -EINVAL;
		v = v * 10 + (s.p[i] - '0');
	}
	if (v > UINT16_MAX)
		return -EINVAL;
	*out = v;
	return 0;
}

int hr_http_host_norm(struct hr_slice raw, char out[static HR_HTTP_HOST_MAX + 1], size_t *len,
		      uint16_t *port)
{
	size_t n = name_length(raw);
	uint16_t p;

	if (!n || parse_port((struct hr_slice){raw.p + n, raw.n - n}, &p) < 0)
		return -EINVAL;
	if (raw.p[n - 1] == '.')
		n--;
	if (!n || n > HR_HTTP_HOST_MAX || raw.p[n - 1] == '.')
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		out[i] = hr_lower(raw.p[i]);
	out[n] = 0;
	*len = n;
	*port = p;
	return 0;
}
