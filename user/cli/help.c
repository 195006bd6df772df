// SPDX-License-Identifier: Apache-2.0
// What is generated from the command table: help, man page, bash completion.
#include <string.h>

#include "cli/command.h"

static const char about[] =
	"headrace steers HTTP traffic between pods inside the Linux kernel, request by request, by "
	"unchanged Istio resources. What the kernel cannot carry, the agent carries.";

void hr_help_program(const struct hr_command *table, struct hr_strbuf *out)
{
	hr_sb_add(out, "Usage: headrace VERB [OPTION]... [OPERAND]...\n\n"
		       "Steers HTTP traffic between pods inside the Linux kernel, by Istio "
		       "resources.\n\n");
	for (const struct hr_command *c = table; c->name; c++)
		hr_sb_printf(out, "  %-16s %s\n", c->name, c->summary);
	hr_sb_add(out, "\n'headrace VERB -h' tells more about one of them.\n"
		       "Exit: 0 ok, 1 refused or errors found, 2 usage, 3 agent unreachable.\n");
}

void hr_help_group(const struct hr_command *table, const char *word, struct hr_strbuf *out)
{
	size_t n = strlen(word);

	hr_sb_printf(out, "Usage: headrace %s VERB [OPTION]... [OPERAND]...\n\n", word);
	for (const struct hr_command *c = table; c->name; c++)
		if (strncmp(c->name, word, n) == 0 && c->name[n] == ' ')
			hr_sb_printf(out, "  %-10s %s\n", c->name + n + 1, c->summary);
	hr_sb_printf(out, "\n'headrace %s VERB -h' tells more about one of them.\n", word);
}

/* "-o, --output FORMAT" */
static void option_head(const struct hr_option *o, struct hr_strbuf *out)
{
	if (o->letter)
		hr_sb_printf(out, "-%c, ", o->letter);
	else
		hr_sb_add(out, "    ");
	hr_sb_printf(out, "--%s", o->name);
	if (o->type != HR_OPT_FLAG)
		hr_sb_printf(out, " %s", o->arg);
}

void hr_help_verb(const struct hr_command *cmd, struct hr_strbuf *out)
{
	const struct hr_option *o;

	hr_sb_printf(out, "Usage: headrace %s %s\n\n%s.\n", cmd->name, cmd->synopsis, cmd->summary);
	if (cmd->details)
		hr_sb_printf(out, "\n%s\n", cmd->details);
	hr_sb_add(out, "\n");
	for (size_t i = 0; (o = hr_command_option(cmd, i)); i++) {
		struct hr_strbuf head = {};

		option_head(o, &head);
		hr_sb_printf(out, "  %-28s %s", hr_sb_str(&head), o->help);
		if (o->choices)
			hr_sb_printf(out, ": %s", o->choices);
		if (o->type == HR_OPT_LIST)
			hr_sb_add(out, " (may be repeated)");
		hr_sb_addc(out, '\n');
		hr_sb_free(&head);
	}
}

/* Text for roff: no hyphenation of options, no line that starts with a request. */
static void roff(struct hr_strbuf *out, const char *s)
{
	for (bool start = true; *s; start = *s++ == '\n') {
		if (start && (*s == '.' || *s == '\''))
			hr_sb_add(out, "\\&");
		if (*s == '\\')
			hr_sb_add(out, "\\e");
		else if (*s == '-')
			hr_sb_add(out, "\\-");
		else if (s[0] == '\n' && s[1] == '\n')
			hr_sb_add(out, "\n.PP");
		else
			hr_sb_addc(out, *s);
	}
}

static void man_verb(const struct hr_command *cmd, struct hr_strbuf *out)
{
	const struct hr_option *o;

	hr_sb_add(out, ".SS \"");
	roff(out, cmd->name);
	hr_sb_add(out, " ");
	roff(out, cmd->synopsis);
	hr_sb_add(out, "\"\n");
	roff(out, cmd->summary);
	hr_sb_add(out, ".\n");
	if (cmd->details) {
		hr_sb_add(out, ".PP\n");
		roff(out, cmd->details);
		hr_sb_addc(out, '\n');
	}
	for (size_t i = 0; (o = hr_command_option(cmd, i)); i++) {
		if (hr_streq(o->name, "help"))
			continue;
		hr_sb_add(out, ".TP\n.B ");
		if (o->letter)
			hr_sb_printf(out, "\\-%c, ", o->letter);
		hr_sb_add(out, "\\-\\-");
		roff(out, o->name);
		if (o->type != HR_OPT_FLAG)
			hr_sb_printf(out, " \\fI%s\\fR", o->arg);
		hr_sb_addc(out, '\n');
		roff(out, o->help);
		if (o->choices)
			hr_sb_printf(out, ": %s", o->choices);
		hr_sb_add(out, o->type == HR_OPT_LIST ? " (may be repeated).\n" : ".\n");
	}
}

void hr_help_man(const struct hr_command *table, struct hr_strbuf *out)
{
	hr_sb_add(out,
		  ".TH HEADRACE 8 \"\" \"headrace " HR_VERSION "\"\n"
		  ".SH NAME\nheadrace \\- steer HTTP traffic inside the kernel\n"
		  ".SH SYNOPSIS\n.B headrace\n.I VERB\n[\\fIOPTION\\fR]... [\\fIOPERAND\\fR]...\n"
		  ".SH DESCRIPTION\n");
	roff(out, about);
	hr_sb_add(out, "\n.SH VERBS\n");
	for (const struct hr_command *c = table; c->name; c++)
		man_verb(c, out);
	hr_sb_add(out,
		  ".SH EXIT STATUS\n0 ok, 1 refused or errors found, 2 usage, 3 agent "
		  "unreachable. \\fBexec\\fR gives the status of the command; its own failures "
		  "are 125, 126 (cannot execute) and 127 (not found).\n"
		  ".SH ENVIRONMENT\n.TP\n.B HEADRACE_SOCKET\nsocket of the agent.\n"
		  ".TP\n.B NO_COLOR\nno colours, also on a terminal.\n"
		  ".SH FILES\n.TP\n.I " HR_SOCKET_DEFAULT "\nsocket of the agent.\n"
		  ".TP\n.I /sys/fs/bpf/headrace\npinned maps and links.\n"
		  ".TP\n.I /var/lib/headrace\nobjects that were applied.\n");
}

/* "a|b" -> "a b" */
static void words(struct hr_strbuf *out, const char *choices)
{
	for (; *choices; choices++)
		hr_sb_addc(out, *choices == '|' ? ' ' : *choices);
}

static void bash_options(const struct hr_command *table, struct hr_strbuf *out)
{
	const struct hr_option *o;

	hr_sb_add(out, "\tcase \"$verb\" in\n");
	for (const struct hr_command *c = table; c->name; c++) {
		hr_sb_printf(out, "\t\"%s\") options=\"", c->name);
		for (size_t i = 0; (o = hr_command_option(c, i)); i++)
			hr_sb_printf(out, "%s--%s", i ? " " : "", o->name);
		hr_sb_add(out, "\"; operands=\"");
		if (c->operands.words)
			words(out, c->operands.words);
		hr_sb_add(out, "\";;\n");
	}
	hr_sb_add(out, "\t*) return;;\n\tesac\n");
}

static void bash_values(const struct hr_command *table, struct hr_strbuf *out)
{
	const struct hr_option *o;

	hr_sb_add(out, "\tcase \"$verb $prev\" in\n");
	for (const struct hr_command *c = table; c->name; c++)
		for (size_t i = 0; (o = hr_command_option(c, i)); i++) {
			if (!o->choices)
				continue;
			hr_sb_printf(out, "\t\"%s --%s\"", c->name, o->name);
			if (o->letter)
				hr_sb_printf(out, "|\"%s -%c\"", c->name, o->letter);
			hr_sb_add(out, ") COMPREPLY=($(compgen -W \"");
			words(out, o->choices);
			hr_sb_add(out, "\" -- \"$cur\")); return;;\n");
		}
	hr_sb_add(out, "\tesac\n");
}

/* The first words of all verbs, each once. */
static void first_words(const struct hr_command *table, struct hr_strbuf *out)
{
	const char *last = "";
	size_t last_n = 0;

	for (const struct hr_command *c = table; c->name; c++) {
		size_t n = strcspn(c->name, " ");

		if (n == last_n && strncmp(c->name, last, n) == 0)
			continue;
		hr_sb_printf(out, "%s%.*s", c == table ? "" : " ", (int)n, c->name);
		last = c->name;
		last_n = n;
	}
}

/* "canary": the second word is a verb too. */
static void bash_groups(const struct hr_command *table, struct hr_strbuf *out)
{
	const char *last = "";
	size_t last_n = 0;

	hr_sb_add(out, "\tlocal group=\"\"\n\tcase \"$verb\" in\n");
	for (const struct hr_command *c = table; c->name; c++) {
		size_t n = strcspn(c->name, " ");

		if (!c->name[n])
			continue;
		if (n != last_n || strncmp(c->name, last, n) != 0)
			hr_sb_printf(out, "%s\t%.*s) group=\"", last_n ? "\";;\n" : "", (int)n,
				     c->name);
		hr_sb_printf(out, " %s", c->name + n + 1);
		last = c->name;
		last_n = n;
	}
	hr_sb_add(out, last_n ? "\";;\n\tesac\n" : "\t*) ;;\n\tesac\n");
	hr_sb_add(out, "\tif [ -n \"$group\" ] && [ \"$COMP_CWORD\" = 2 ]; then\n"
		       "\t\tCOMPREPLY=($(compgen -W \"$group\" -- \"$cur\"))\n\t\treturn\n\tfi\n"
		       "\t[ -z \"$group\" ] || verb=\"$verb ${COMP_WORDS[2]}\"\n");
}

void hr_help_bash(const struct hr_command *table, struct hr_strbuf *out)
{
	hr_sb_add(out,
		  "# bash completion for headrace\n"
		  "_headrace()\n{\n"
		  "\tlocal cur=\"${COMP_WORDS[COMP_CWORD]}\" prev=\"${COMP_WORDS[COMP_CWORD-1]}\"\n"
		  "\tlocal verb=\"${COMP_WORDS[1]}\" options operands\n"
		  "\tCOMPREPLY=()\n"
		  "\tif [ \"$COMP_CWORD\" = 1 ]; then\n\t\tCOMPREPLY=($(compgen -W \"");
	first_words(table, out);
	hr_sb_add(out, "\" -- \"$cur\"))\n\t\treturn\n\tfi\n");
	bash_groups(table, out);
	bash_options(table, out);
	bash_values(table, out);
	hr_sb_add(out, "\tcase \"$cur\" in\n"
		       "\t-*) COMPREPLY=($(compgen -W \"$options\" -- \"$cur\"));;\n"
		       "\t*) COMPREPLY=($(compgen -W \"$operands\" -- \"$cur\") "
		       "$(compgen -f -- \"$cur\"));;\n"
		       "\tesac\n}\ncomplete -o filenames -F _headrace headrace\n");
}
