// SPDX-License-Identifier: Apache-2.0
/* A tree as YAML text again: for `get -o yaml` and for the store. */
#include <string.h>
#include <yaml.h>

#include "model/tree.h"

static int write_out(void *ctx, unsigned char *bytes, size_t n)
{
	hr_sb_addn(ctx, bytes, n);
	return 1;
}

static void emit_scalar(yaml_emitter_t *em, const char *v, size_t n, bool plain)
{
	yaml_scalar_style_t style =
		plain ? YAML_PLAIN_SCALAR_STYLE : YAML_DOUBLE_QUOTED_SCALAR_STYLE;
	yaml_event_t e;

	if (!plain && memchr(v, '\n', n))
		style = YAML_LITERAL_SCALAR_STYLE;
	yaml_scalar_event_initialize(&e, NULL, NULL, (const unsigned char *)v, (int)n, plain,
				     !plain, style);
	yaml_emitter_emit(em, &e);
}

/* As deep as the tree reader goes: HR_DEPTH_MAX. */
static void emit_node(yaml_emitter_t *em, const struct hr_ynode *n, const struct hr_ynode *parent)
{
	yaml_event_t e;

	switch (n->type) {
	case HR_NODE_SCALAR:
		emit_scalar(em, n->value, n->len, n->plain);
		break;
	case HR_NODE_MAP:
		yaml_mapping_start_event_initialize(&e, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE);
		yaml_emitter_emit(em, &e);
		for (const struct hr_ynode *c = n->first; c; c = c->next) {
			/* bookkeeping of the API server, larger than the object itself */
			if (parent && hr_streq(n->key, "metadata") &&
			    hr_streq(c->key, "managedFields"))
				continue;
			emit_scalar(em, c->key, strlen(c->key), true);
			emit_node(em, c, n);
		}
		yaml_mapping_end_event_initialize(&e);
		yaml_emitter_emit(em, &e);
		break;
	case HR_NODE_SEQ:
		yaml_sequence_start_event_initialize(&e, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE);
		yaml_emitter_emit(em, &e);
		for (const struct hr_ynode *c = n->first; c; c = c->next)
			emit_node(em, c, n);
		yaml_sequence_end_event_initialize(&e);
		yaml_emitter_emit(em, &e);
		break;
	}
}

void hr_tree_emit(const struct hr_ynode *root, struct hr_strbuf *out)
{
	yaml_emitter_t em;
	yaml_event_t e;

	if (!yaml_emitter_initialize(&em))
		return;
	yaml_emitter_set_output(&em, write_out, out);
	yaml_emitter_set_unicode(&em, 1);
	yaml_emitter_set_width(&em, -1);
	yaml_stream_start_event_initialize(&e, YAML_UTF8_ENCODING);
	yaml_emitter_emit(&em, &e);
	yaml_document_start_event_initialize(&e, NULL, NULL, NULL, 1);
	yaml_emitter_emit(&em, &e);
	emit_node(&em, root, NULL);
	yaml_document_end_event_initialize(&e, 1);
	yaml_emitter_emit(&em, &e);
	yaml_stream_end_event_initialize(&e);
	yaml_emitter_emit(&em, &e);
	yaml_emitter_flush(&em);
	yaml_emitter_delete(&em);
}
