// SPDX-License-Identifier: Apache-2.0
/* Findings: collected in order, bounded, safe to print on a terminal. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "core/vec.h"
#include "model/decode.h"

/* Longest message kept, bytes: values of the input are quoted in messages. */
#define MESSAGE_MAX 1024

struct hr_diags *hr_diags_new(void)
{
	struct hr_arena *arena = hr_arena_new();
	struct hr_diags *d = hr_arena_new0(arena, struct hr_diags);

	d->arena = arena;
	return d;
}

void hr_diags_free(struct hr_diags *d)
{
	if (!d)
		return;
	free(d->list.data);
	hr_arena_free(d->arena);
}

void hr_diags_freep(struct hr_diags **d)
{
	hr_diags_free(*d);
}

/* Control bytes, also C1 (U+0080 .. U+009F, 0xc2 0x80 ..), could drive a terminal: '?'. */
static void defuse(char *s)
{
	for (unsigned char *c = (unsigned char *)s; *c; c++) {
		if (*c < 0x20 || *c == 0x7f)
			*c = '?';
		else if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f)
			c[0] = c[1] = '?';
	}
}

/* File names repeat in long runs: the last one is shared. */
static const char *keep_file(struct hr_diags *d, const char *file)
{
	size_t n = d->list.len;

	if (n && hr_streq(d->list.data[n - 1].pos.file, file))
		return d->list.data[n - 1].pos.file;
	return hr_arena_strdup(d->arena, file);
}

void hr_diag_add(struct hr_diags *d, enum hr_severity sev, struct hr_pos pos, const char *code,
		 const struct hr_meta *obj, const char *field, const char *fmt, ...)
{
	char text[MESSAGE_MAX];
	struct hr_diag *n;
	char *f;
	va_list ap;

	d->errors += sev == HR_SEV_ERROR;
	d->warnings += sev == HR_SEV_WARNING;
	if (d->list.len >= HR_DIAGS_MAX)
		return;
	if (d->list.len == d->cap)
		hr_vec_grow((void **)&d->list.data, &d->cap, d->list.len + 1,
			    sizeof(*d->list.data));
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	defuse(text);
	f = hr_arena_printf(d->arena, "%.*s", MESSAGE_MAX, field ? field : "");
	defuse(f);
	pos.file = keep_file(d, pos.file);
	n = &d->list.data[d->list.len++];
	*n = (struct hr_diag){
		.severity = sev,
		.pos = pos,
		.code = code,
		.field = f,
		.message = hr_arena_strdup(d->arena, text),
	};
	if (obj) {
		n->kind = obj->kind ? hr_kind_name(obj->kind) : NULL;
		n->ns = hr_arena_strdup(d->arena, obj->ns);
		n->name = hr_arena_strdup(d->arena, obj->name);
	}
}

void hr_diag_text(const struct hr_diag *d, struct hr_strbuf *out)
{
	static const char *const words[] = {
		[HR_SEV_ERROR] = "error",
		[HR_SEV_WARNING] = "warning",
		[HR_SEV_NOTICE] = "notice",
	};

	hr_sb_printf(out, "%s:%u:%u: %s: ", d->pos.file, d->pos.line, d->pos.col,
		     words[d->severity]);
	if (*d->field)
		hr_sb_printf(out, "%s: ", d->field);
	hr_sb_add(out, d->message);
}
