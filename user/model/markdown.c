// SPDX-License-Identifier: Apache-2.0
/* docs/FIELDS.md: the schema table as a page for people. */
#include <string.h>

#include "core/cleanup.h"
#include "core/vec.h"
#include "model/schema_int.h"

static const char intro[] =
	"# Fields\n"
	"\n"
	"Every field that headrace knows, and what becomes of it. This page is written by\n"
	"`headrace` itself from the table that decodes the files (`user/model/schema_*.c`): do "
	"not\n"
	"edit it. A field that is not on this page is an error in `headrace check`.\n"
	"\n"
	"| word | meaning |\n"
	"|---|---|\n"
	"| kernel | the kernel does it, request by request |\n"
	"| agent | the agent's proxy does it; such a request leaves the kernel path |\n"
	"| control | shapes the plan; no request meets it |\n"
	"| warned | read and kept, without effect yet: `check` warns |\n"
	"| not built | an error that says so; the object is left out |\n"
	"| refused | an error with the reason |\n"
	"| - | belongs to Kubernetes or its tools, no effect on the mesh |\n";

static const char *const status_words[] = {
	[HR_ST_KERNEL] = "kernel", [HR_ST_AGENT] = "agent",	    [HR_ST_CONTROL] = "control",
	[HR_ST_WARN] = "warned",   [HR_ST_NOT_BUILT] = "not built", [HR_ST_REFUSED] = "refused",
	[HR_ST_FOREIGN] = "-",
};

struct page {
	struct hr_strbuf *out;
	struct hr_strbuf path;
	enum hr_status outer; /* of the subtree when nothing in it has effect, else 0 */
	HR_VEC(struct seen {
		const struct hr_message *msg;
		char *path;
	})
	seen; /* in this kind */
};

static void put_words(struct hr_strbuf *out, const struct hr_word *words)
{
	for (const struct hr_word *w = words; w->word; w++) {
		hr_sb_printf(out, "%s`%s`", w == words ? "" : ", ", w->word);
		if (w->status == HR_ST_NOT_BUILT || w->status == HR_ST_WARN)
			hr_sb_printf(out, " (%s)", status_words[w->status]);
		else if (w->why)
			hr_sb_printf(out, " (%s)", w->why);
	}
}

static void put_range(struct hr_strbuf *out, const struct hr_field *f)
{
	if (!f->min && !f->max)
		hr_sb_add(out, "integer");
	else if (f->max == INT32_MAX || f->max == UINT32_MAX || f->max == INT64_MAX)
		hr_sb_printf(out, "integer, from %lld", (long long)f->min);
	else
		hr_sb_printf(out, "integer, %lld to %lld", (long long)f->min, (long long)f->max);
}

static void put_type(struct hr_strbuf *out, const struct hr_field *f)
{
	static const char *const words[] = {
		[HR_T_STRING] = "string",  [HR_T_BOOL] = "true, false",
		[HR_T_DOUBLE] = "number",  [HR_T_DURATION] = "duration",
		[HR_T_TIME] = "time",	   [HR_T_PPM] = "number, 0 to 100",
		[HR_T_MESSAGES] = "list",  [HR_T_STRINGS] = "list of strings",
		[HR_T_STRING_MAP] = "map", [HR_T_MATCH_MAP] = "map of matches",
		[HR_T_ANY] = "any",
	};

	switch (f->type) {
	case HR_T_INT:
		put_range(out, f);
		break;
	case HR_T_ENUM:
	case HR_T_WORD:
		put_words(out, f->words);
		break;
	case HR_T_MESSAGE:
		hr_sb_add(out, f->msg->name);
		break;
	default:
		hr_sb_add(out, words[f->type]);
	}
	if (f->type == HR_T_MESSAGES)
		hr_sb_printf(out, " of %s", f->msg->name);
}

/* Where the fields of a message were listed already in this kind, NULL when nowhere. */
static const char *seen_at(struct page *p, const struct hr_message *msg)
{
	for (size_t i = 0; i < p->seen.len; i++)
		if (p->seen.data[i].msg == msg)
			return p->seen.data[i].path;
	return NULL;
}

static void put_remark(struct page *p, const struct hr_field *f)
{
	const char *at = f->msg ? seen_at(p, f->msg) : NULL;
	const char *sep = "";

	if (f->flags & HR_F_REQUIRED) {
		hr_sb_add(p->out, "required");
		sep = "; ";
	}
	if (f->why) {
		hr_sb_printf(p->out, "%s%s%s", sep,
			     f->flags & HR_F_DEPRECATED ? "deprecated: " : "", f->why);
		sep = "; ";
	}
	if (at)
		hr_sb_printf(p->out, "%sas `%s`", sep, at);
}

static bool without_effect(enum hr_status s)
{
	return s == HR_ST_NOT_BUILT || s == HR_ST_WARN || s == HR_ST_REFUSED;
}

static void put_fields(struct page *p, const struct hr_message *msg)
{
	enum hr_status outer = p->outer;
	size_t mark = p->path.len;

	for (const struct hr_field *f = msg->fields; f->name; f++) {
		bool again = f->msg && seen_at(p, f->msg);

		/* the same in every kind: a section of its own */
		if (f->msg && hr_streq(f->msg->name, "metadata"))
			continue;

		hr_path_key(&p->path, f->name);
		if (f->type == HR_T_MESSAGES)
			hr_sb_add(&p->path, "[]");
		else if (f->type == HR_T_MATCH_MAP)
			hr_sb_add(&p->path, ".NAME");
		hr_sb_printf(p->out, "| `%s` | ", p->path.data);
		put_type(p->out, f);
		hr_sb_printf(p->out, " | %s | ", status_words[outer ? outer : f->status]);
		put_remark(p, f);
		hr_sb_add(p->out, " |\n");
		if (f->msg && !again) {
			hr_vec_push(&p->seen, (struct seen){f->msg, strdup(p->path.data)});
			p->outer = outer ? outer : without_effect(f->status) ? f->status : 0;
			put_fields(p, f->msg);
			p->outer = outer;
		}
		hr_path_cut(&p->path, mark);
	}
	if (msg->open)
		hr_sb_printf(p->out, "| `%s.*` | any | - | all other fields |\n", p->path.data);
}

static void put_table(struct hr_strbuf *out, const struct hr_message *msg)
{
	struct page p = {.out = out};

	hr_sb_add(out, "| field | value | by | remarks |\n|---|---|---|---|\n");
	put_fields(&p, msg);
	for (size_t i = 0; i < p.seen.len; i++)
		free(p.seen.data[i].path);
	hr_vec_free(&p.seen);
	hr_sb_free(&p.path);
}

static void put_kind(struct hr_strbuf *out, const struct hr_kind_row *row)
{
	hr_sb_printf(out, "\n## %s\n\n", row->name);
	for (size_t i = 0; i < 4 && row->versions[i]; i++)
		hr_sb_printf(out, "%s`%s%s%s`", i ? ", " : "", row->group, *row->group ? "/" : "",
			     row->versions[i]);
	hr_sb_add(out, "\n\n");
	put_table(out, row->msg);
}

void hr_schema_markdown(struct hr_strbuf *out)
{
	hr_sb_add(out, intro);
	hr_sb_add(out, "\n## metadata of every kind\n\n");
	put_table(out, &hr_msg_meta);
	for (const struct hr_kind_row *r = hr_kind_rows; r->kind; r++)
		put_kind(out, r);
	hr_sb_add(out, "\n## Other kinds\n\n| kind | group | |\n|---|---|---|\n");
	for (const struct hr_other_kind *k = hr_other_kinds; k->name; k++)
		hr_sb_printf(out, "| %s | %s | %s |\n", k->name, *k->group ? k->group : "core",
			     k->status == HR_ST_NOT_BUILT ? "not built: an error"
							  : "no effect: a notice");
}
