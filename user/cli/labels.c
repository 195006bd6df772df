// SPDX-License-Identifier: Apache-2.0
// Parsers of option values with parts.
#include "cli/labels.h"

#include <errno.h>
#include <string.h>

#include "http/bytes.h"

int hr_parse_workload(struct hr_arena *arena, const char *word, const char **ns, const char **name)
{
	const char *slash = strchr(word, '/');
	const char *rest = slash ? slash + 1 : word;

	if (!*rest || slash == word || strchr(rest, '/'))
		return -EINVAL;
	*ns = slash ? hr_arena_strndup(arena, word, (size_t)(slash - word)) : "default";
	*name = rest;
	return 0;
}

static size_t count(const char *s, char c)
{
	size_t n = 0;

	for (; *s; s++)
		n += *s == c;
	return n;
}

int hr_parse_labels(struct hr_arena *arena, const char *word, hr_kvs *out)
{
	hr_kvs list = {};

	if (!*word) {
		*out = list;
		return 0;
	}
	list.data = hr_arena_array(arena, struct hr_kv, count(word, ',') + 1);
	for (const char *p = word;;) {
		size_t n = strcspn(p, ",");
		const char *eq = memchr(p, '=', n);

		if (!eq || eq == p)
			return -EINVAL;
		list.data[list.len++] = (struct hr_kv){
			.key = hr_arena_strndup(arena, p, (size_t)(eq - p)),
			.value = hr_arena_strndup(arena, eq + 1, (size_t)(p + n - eq) - 1),
		};
		if (!p[n])
			break;
		p += n + 1;
	}
	*out = list;
	return 0;
}

bool hr_is_token(const char *word)
{
	const char *p = word;

	while (hr_is_tchar((uint8_t)*p))
		p++;
	return p != word && !*p;
}

static bool is_value(const char *s)
{
	for (; *s; s++)
		if (((unsigned char)*s < 0x20 && *s != '\t') || *s == 0x7f)
			return false;
	return true;
}

int hr_parse_header(struct hr_arena *arena, const char *word, struct hr_kv *out)
{
	const char *colon = strchr(word, ':'), *value;
	struct hr_kv kv;
	size_t n;

	if (!colon || colon == word)
		return -EINVAL;
	value = colon + 1 + strspn(colon + 1, " \t");
	n = strlen(value);
	while (n && (value[n - 1] == ' ' || value[n - 1] == '\t'))
		n--;
	kv = (struct hr_kv){
		.key = hr_arena_strndup(arena, word, (size_t)(colon - word)),
		.value = hr_arena_strndup(arena, value, n),
	};
	if (!hr_is_token(kv.key) || !is_value(kv.value))
		return -EINVAL;
	*out = kv;
	return 0;
}
