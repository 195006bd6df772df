/* SPDX-License-Identifier: Apache-2.0 */
/* Reads tests/vectors: a line a case, columns separated by " | ", '#' lines are comments. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct vector {
	char *col[4];
	size_t len[4]; /* after the escapes are undone */
	int line;
};

/* \r \n \t \0 \\ \xHH, in place; gives the length. */
static inline size_t vector_unescape(char *s)
{
	char *out = s, *p = s;

	while (*p) {
		if (*p != '\\') {
			*out++ = *p++;
			continue;
		}
		p++;
		if (*p == 'x') {
			char hex[3] = {p[1], p[2], 0};

			*out++ = (char)strtol(hex, NULL, 16);
			p += 3;
		} else {
			*out++ = *p == 'r'   ? '\r'
				 : *p == 'n' ? '\n'
				 : *p == 't' ? '\t'
				 : *p == '0' ? '\0'
					     : *p;
			p++;
		}
	}
	*out = 0;
	return out - s;
}

/* Calls fn for each case with `cols` columns; gives how many there were, -1 when the file is odd.
 */
static inline int vectors_each(const char *path, int cols, void (*fn)(const struct vector *v))
{
	static char line[64 * 1024];
	struct vector v = {0};
	FILE *f = fopen(path, "r");
	int n = 0;

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		char *p = line;

		v.line++;
		line[strcspn(line, "\n")] = 0;
		if (!*line || *line == '#')
			continue;
		for (int i = 0; i < cols; i++) {
			char *sep = i + 1 < cols ? strstr(p, " | ") : NULL;

			if (i + 1 < cols && !sep) {
				fclose(f);
				return -1;
			}
			v.col[i] = p;
			if (sep) {
				*sep = 0;
				p = sep + 3;
			}
		}
		for (int i = 0; i < cols; i++)
			v.len[i] = vector_unescape(v.col[i]);
		fn(&v);
		n++;
	}
	fclose(f);
	return n;
}
