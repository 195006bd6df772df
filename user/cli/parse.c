// SPDX-License-Identifier: Apache-2.0
// Words of a command line -> options and operands, by the command's row in the table.
#include "cli/command.h"

#include <errno.h>
#include <string.h>

#include "core/cleanup.h"
#include "core/vec.h"

struct value {
	const struct hr_option *opt;
	HR_VEC(const char *) words; /* as given, in order */
	unsigned long number;
	bool flag;
};

struct values {
	HR_VEC(struct value) list; /* only the options that were given */
};

static const struct hr_option output_option = {
	"output", 'o', HR_OPT_STRING, "FORMAT", "how to show it", "text|json"};
static const struct hr_option socket_option = {
	"socket",
	0,
	HR_OPT_STRING,
	"PATH",
	"socket of the agent (or HEADRACE_SOCKET; default " HR_SOCKET_DEFAULT ")",
	NULL};
static const struct hr_option help_option = {"help", 'h', HR_OPT_FLAG, NULL, "this help", NULL};

const struct hr_option *hr_command_option(const struct hr_command *cmd, size_t i)
{
	const struct hr_option *shared[3];
	size_t n = 0;

	for (const struct hr_option *o = cmd->options; o && o->name; o++)
		if (i-- == 0)
			return o;
	if (cmd->flags & HR_CMD_OUTPUT)
		shared[n++] = &output_option;
	if (cmd->flags & HR_CMD_AGENT)
		shared[n++] = &socket_option;
	shared[n++] = &help_option;
	return i < n ? shared[i] : NULL;
}

const struct hr_command *hr_command_find(const struct hr_command *table, const char *name,
					 const char **near)
{
	const char *names[64];
	size_t n = 0;

	for (const struct hr_command *c = table; c->name; c++) {
		if (hr_streq(c->name, name))
			return c;
		if (n < HR_ARRAY_SIZE(names))
			names[n++] = c->name;
	}
	*near = hr_nearest(name, names, n);
	return NULL;
}

bool hr_command_is_group(const struct hr_command *table, const char *word)
{
	size_t n = strlen(word);

	for (const struct hr_command *c = table; c->name; c++)
		if (strncmp(c->name, word, n) == 0 && c->name[n] == ' ')
			return true;
	return false;
}

static struct value *value_of(const struct hr_args *a, const char *name)
{
	struct values *vs = a->values;
	struct value *v;

	if (!vs)
		return NULL;
	hr_vec_for_each (v, &vs->list)
		if (hr_streq(v->opt->name, name))
			return v;
	return NULL;
}

bool hr_arg_flag(const struct hr_args *a, const char *name)
{
	struct value *v = value_of(a, name);

	return v && v->flag;
}

const char *hr_arg_str(const struct hr_args *a, const char *name, const char *dflt)
{
	struct value *v = value_of(a, name);

	return v && v->words.len ? v->words.data[v->words.len - 1] : dflt;
}

size_t hr_arg_list(const struct hr_args *a, const char *name, const char *const **out)
{
	struct value *v = value_of(a, name);

	*out = v ? v->words.data : NULL;
	return v ? v->words.len : 0;
}

unsigned long hr_arg_uint(const struct hr_args *a, const char *name, unsigned long dflt)
{
	struct value *v = value_of(a, name);

	return v ? v->number : dflt;
}

void hr_args_free(struct hr_args *a)
{
	struct values *vs = a->values;
	struct value *v;

	if (vs) {
		hr_vec_for_each (v, &vs->list)
			hr_vec_free(&v->words);
		hr_vec_free(&vs->list);
	}
	free(vs);
	free(a->pos);
	*a = (struct hr_args){};
}

static bool is_choice(const char *choices, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = choices; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL)
		if (strncmp(p, word, n) == 0 && (p[n] == '|' || !p[n]))
			return n > 0;
	return false;
}

/* "--datapath" or "-o", as the user would write it. */
static void name_option(struct hr_strbuf *err, const struct hr_option *o)
{
	if (o->letter)
		hr_sb_printf(err, "-%c, ", o->letter);
	hr_sb_printf(err, "--%s", o->name);
}

static int refuse(struct hr_strbuf *err, const struct hr_option *o, const char *fmt,
		  const char *word)
{
	name_option(err, o);
	hr_sb_add(err, ": ");
	hr_sb_printf(err, fmt, word);
	return -EINVAL;
}

/* word NULL: a flag. */
static int take(struct hr_args *a, const struct hr_option *o, const char *word,
		struct hr_strbuf *err)
{
	struct values *vs = a->values;
	struct value *v = value_of(a, o->name);
	uint64_t number = 0;

	if (word && o->choices && !is_choice(o->choices, word)) {
		refuse(err, o, "\"%s\" is not one of ", word);
		hr_sb_add(err, o->choices);
		return -EINVAL;
	}
	if (o->type == HR_OPT_UINT && hr_parse_u64(word, UINT32_MAX, &number) < 0)
		return refuse(err, o, "\"%s\" is not a number", word);
	if (!v) {
		hr_vec_push(&vs->list, (struct value){.opt = o});
		v = &vs->list.data[vs->list.len - 1];
	}
	v->flag = true;
	v->number = number;
	if (word)
		hr_vec_push(&v->words, word);
	return 0;
}

static const struct hr_option *by_letter(const struct hr_command *cmd, char letter)
{
	const struct hr_option *o;

	for (size_t i = 0; (o = hr_command_option(cmd, i)); i++)
		if (o->letter == letter)
			return o;
	return NULL;
}

static int unknown(const struct hr_command *cmd, struct hr_strbuf *err, const char *word, size_t n)
{
	const struct hr_option *o;
	const char *names[32], *near;
	char name[64];
	size_t count = 0;

	hr_sb_printf(err, "unknown option %s", word);
	if (n >= sizeof(name))
		return -EINVAL;
	memcpy(name, word + 2, n);
	name[n] = 0;
	for (size_t i = 0; (o = hr_command_option(cmd, i)) && count < HR_ARRAY_SIZE(names); i++)
		names[count++] = o->name;
	near = hr_nearest(name, names, count);
	if (near)
		hr_sb_printf(err, "; did you mean --%s?", near);
	return -EINVAL;
}

/* "--name", "--name=value", "--name value". */
static int long_option(struct hr_args *a, int argc, char **argv, int *i, struct hr_strbuf *err)
{
	const char *word = argv[*i], *eq = strchr(word, '=');
	size_t n = eq ? (size_t)(eq - word) - 2 : strlen(word) - 2;
	const struct hr_option *o;

	for (size_t k = 0; (o = hr_command_option(a->cmd, k)); k++)
		if (strlen(o->name) == n && strncmp(o->name, word + 2, n) == 0)
			break;
	if (!o)
		return unknown(a->cmd, err, word, n);
	if (o->type == HR_OPT_FLAG)
		return eq ? refuse(err, o, "takes no value%s", "") : take(a, o, NULL, err);
	if (eq)
		return take(a, o, eq + 1, err);
	if (*i + 1 >= argc)
		return refuse(err, o, "needs a value, %s", o->arg);
	return take(a, o, argv[++*i], err);
}

/* "-f value", "-fvalue", "-f=value", and flags together: "-vh". */
static int short_options(struct hr_args *a, int argc, char **argv, int *i, struct hr_strbuf *err)
{
	for (const char *p = argv[*i] + 1; *p; p++) {
		const struct hr_option *o = by_letter(a->cmd, *p);
		int r;

		if (!o) {
			hr_sb_printf(err, "unknown option -%c", *p);
			return -EINVAL;
		}
		if (o->type == HR_OPT_FLAG) {
			r = take(a, o, NULL, err);
			if (r < 0)
				return r;
			continue;
		}
		if (p[1])
			return take(a, o, p[1] == '=' ? p + 2 : p + 1, err);
		if (*i + 1 >= argc)
			return refuse(err, o, "needs a value, %s", o->arg);
		return take(a, o, argv[++*i], err);
	}
	return 0;
}

static int check_operands(const struct hr_args *a, struct hr_strbuf *err)
{
	const struct hr_operands *want = &a->cmd->operands;

	if (a->npos < want->min) {
		hr_sb_printf(err, "an operand is missing; usage: headrace %s %s", a->cmd->name,
			     a->cmd->synopsis);
		return -EINVAL;
	}
	if (want->max != HR_OPERANDS_ANY && a->npos > want->max) {
		hr_sb_printf(err, "\"%s\" is one operand too many", a->pos[want->max]);
		return -EINVAL;
	}
	if (want->words && !want->hints && a->npos && !is_choice(want->words, a->pos[0])) {
		hr_sb_printf(err, "\"%s\" is not one of %s", a->pos[0], want->words);
		return -EINVAL;
	}
	return 0;
}

static void settle_shared(struct hr_args *a)
{
	const char *env = getenv("HEADRACE_SOCKET");

	a->socket = hr_arg_str(a, "socket", env && *env ? env : HR_SOCKET_DEFAULT);
	a->json = hr_streq(hr_arg_str(a, "output", "text"), "json");
}

int hr_args_parse(struct hr_args *a, const struct hr_command *cmd, int argc, char **argv,
		  struct hr_strbuf *err)
{
	bool options = true;
	int r = 0;

	*a = (struct hr_args){.cmd = cmd};
	a->values = calloc(1, sizeof(struct values));
	a->pos = calloc((size_t)argc + 1, sizeof(char *));
	if (!a->values || !a->pos)
		return -ENOMEM;
	for (int i = 0; i < argc && r == 0; i++) {
		char *word = argv[i];

		if (options && strcmp(word, "--") == 0) {
			options = false;
		} else if (options && word[0] == '-' && word[1] == '-') {
			r = long_option(a, argc, argv, &i, err);
		} else if (options && word[0] == '-' && word[1]) {
			r = short_options(a, argc, argv, &i, err);
		} else {
			a->pos[a->npos++] = word;
			if (cmd->flags & HR_CMD_TAIL)
				options = false;
		}
	}
	if (r == 0 && hr_arg_flag(a, "help"))
		return HR_ARGS_HELP;
	if (r == 0)
		r = check_operands(a, err);
	settle_shared(a);
	return r;
}
