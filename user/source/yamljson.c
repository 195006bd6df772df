// SPDX-License-Identifier: Apache-2.0
// YAML of an object -> JSON, for `get -o json`. Its input was accepted by the decoder before.
#include "source/source.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <yaml.h>

#include "core/cleanup.h"
#include "headrace/limits.h"

static bool is_one_of(const char *s, const char *const *words)
{
	for (; *words; words++)
		if (strcmp(s, *words) == 0)
			return true;
	return false;
}

static bool looks_numeric(const char *s)
{
	s += *s == '-' || *s == '+';
	return *s && strspn(s, "0123456789.eE+-") == strlen(s) && strcspn(s, "0123456789") < 2;
}

/* YAML 1.2 core schema, without octal and hexadecimal: those are strings to Kubernetes too. */
static json_t *plain(const char *s)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
	static const char *const trues[] = {"true", "True", "TRUE", NULL};
	static const char *const falses[] = {"false", "False", "FALSE", NULL};
	char *end;

	if (is_one_of(s, nulls))
		return json_null();
	if (is_one_of(s, trues))
		return json_true();
	if (is_one_of(s, falses))
		return json_false();
	if (looks_numeric(s)) {
		long long integer;
		double real;

		errno = 0;
		integer = strtoll(s, &end, 10);
		if (!*end && !errno)
			return json_integer(integer);
		real = strtod(s, &end);
		if (!*end && isfinite(real))
			return json_real(real);
	}
	return json_string(s);
}

static json_t *scalar(const yaml_node_t *n)
{
	const char *s = (const char *)n->data.scalar.value;

	return n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE
		       ? plain(s)
		       : json_stringn(s, n->data.scalar.length);
}

static json_t *convert(yaml_document_t *doc, int index, int depth)
{
	const yaml_node_t *n = yaml_document_get_node(doc, index);
	json_t *out;

	if (!n || depth > HR_DEPTH_MAX)
		return NULL;
	if (n->type == YAML_SCALAR_NODE)
		return scalar(n);
	if (n->type == YAML_SEQUENCE_NODE) {
		out = json_array();
		for (yaml_node_item_t *i = n->data.sequence.items.start;
		     i < n->data.sequence.items.top; i++)
			json_array_append_new(out, convert(doc, *i, depth + 1));
		return out;
	}
	out = json_object();
	for (yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top;
	     p++) {
		const yaml_node_t *key = yaml_document_get_node(doc, p->key);

		if (key && key->type == YAML_SCALAR_NODE)
			json_object_set_new(out, (const char *)key->data.scalar.value,
					    convert(doc, p->value, depth + 1));
	}
	return out;
}

json_t *hr_yaml_json(const char *yaml)
{
	yaml_parser_t parser;
	yaml_document_t doc;
	json_t *out = NULL;

	if (!yaml_parser_initialize(&parser))
		return NULL;
	yaml_parser_set_input_string(&parser, (const unsigned char *)yaml, strlen(yaml));
	if (yaml_parser_load(&parser, &doc)) {
		const yaml_node_t *root = yaml_document_get_root_node(&doc);

		if (root)
			out = convert(&doc, (int)(root - doc.nodes.start) + 1, 0);
		yaml_document_delete(&doc);
	}
	yaml_parser_delete(&parser);
	return out;
}
