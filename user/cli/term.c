// SPDX-License-Identifier: Apache-2.0
// Output of the verbs: text, JSON, colours, tables; and the one call to the agent.
#include "cli/term.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "control/control.h"
#include "core/cleanup.h"
#include "core/vec.h"

int hr_fail(const struct hr_args *a, int code, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "headrace %s: ", a->cmd->name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return code;
}

int hr_print(const struct hr_strbuf *sb)
{
	if (sb->len && fwrite(sb->data, 1, sb->len, stdout) != sb->len)
		return HR_EXIT_REFUSED;
	return fflush(stdout) == 0 ? HR_EXIT_OK : HR_EXIT_REFUSED;
}

int hr_print_json(const json_t *doc)
{
	_cleanup_sb_ struct hr_strbuf out = {};
	_cleanup_free_ char *text = json_dumps(doc, JSON_INDENT(2) | JSON_REAL_PRECISION(12));

	if (text)
		hr_sb_printf(&out, "%s\n", text);
	return hr_print(&out);
}

const char *hr_colour(enum hr_colour c)
{
	static const char *const codes[] = {"\033[0m",	"\033[1m",  "\033[31m",
					    "\033[33m", "\033[32m", "\033[36m"};
	static int wanted = -1;

	if (wanted < 0) {
		const char *no = getenv("NO_COLOR");

		wanted = isatty(STDOUT_FILENO) && !(no && *no);
	}
	return wanted ? codes[c] : "";
}

void hr_table_row(struct hr_table *t, size_t cols, const char *const *cells)
{
	t->cols = cols;
	for (size_t i = 0; i < cols; i++) {
		if (t->len == t->cap)
			hr_vec_grow((void **)&t->cells, &t->cap, t->len + 1, sizeof(char *));
		t->cells[t->len++] = strdup(cells[i] ? cells[i] : "");
	}
}

void hr_table_text(const struct hr_table *t, struct hr_strbuf *out)
{
	_cleanup_free_ size_t *width = calloc(t->cols + 1, sizeof(*width));

	if (!width)
		abort();
	for (size_t i = 0; i < t->len; i++)
		width[i % t->cols] = HR_MAX(width[i % t->cols], strlen(t->cells[i]));
	for (size_t i = 0; i < t->len; i++) {
		if (i % t->cols + 1 == t->cols)
			hr_sb_printf(out, "%s\n", t->cells[i]);
		else
			hr_sb_printf(out, "%-*s  ", (int)width[i % t->cols], t->cells[i]);
	}
}

void hr_table_free(struct hr_table *t)
{
	for (size_t i = 0; i < t->len; i++)
		free(t->cells[i]);
	free(t->cells);
	*t = (struct hr_table){};
}

int hr_ask_within(const struct hr_args *a, const char *op, json_t *req, int timeout_ms,
		  json_t **result)
{
	_cleanup_sb_ struct hr_strbuf err = {};
	int r = hr_control_call(a->socket, op, req, timeout_ms, result, &err);

	if (r == 0)
		return HR_EXIT_OK;
	hr_fail(a, 0, "%s", hr_sb_str(&err));
	return r == -EBADE || r == -EILSEQ ? HR_EXIT_REFUSED : HR_EXIT_UNREACHABLE;
}

int hr_ask(const struct hr_args *a, const char *op, json_t *req, json_t **result)
{
	return hr_ask_within(a, op, req, 30000, result);
}

void hr_json_freep(json_t **j)
{
	json_decref(*j);
}

const char *hr_jstr(const json_t *obj, const char *key, const char *dflt)
{
	const char *s = json_string_value(json_object_get(obj, key));

	return s ? s : dflt;
}

int64_t hr_jint(const json_t *obj, const char *key)
{
	return json_integer_value(json_object_get(obj, key));
}

double hr_jnum(const json_t *obj, const char *key)
{
	return json_number_value(json_object_get(obj, key));
}
