// SPDX-License-Identifier: Apache-2.0
/*
 * Any bytes as a configuration file, under every set of flags: no crash, no hang, no leak. And what
 * was taken without error must be taken again after it was written out, with the same result.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "model/decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ALL_FLAGS (HR_DECODE_STRICT | HR_DECODE_LENIENT | HR_DECODE_RELOAD | HR_DECODE_UNBUILT)

static struct hr_objects *decode(unsigned flags, const char *bytes, size_t n,
				 struct hr_diags *diags)
{
	struct hr_decoder *d = hr_decoder_new(flags, diags);

	hr_decode_text(d, "fuzz.yaml", bytes, n);
	return hr_decoder_finish(d);
}

/* What was written out is read without error and comes out the same. */
static void check_again(unsigned flags, const struct hr_meta *m)
{
	_cleanup_diags_ struct hr_diags *diags = hr_diags_new();
	struct hr_objects *again = decode(flags, m->yaml, strlen(m->yaml), diags);
	const char *yaml = hr_object_yaml(again, m->kind, m->ns, m->name);

	if (diags->errors || !yaml || strcmp(yaml, m->yaml)) {
		fprintf(stderr, "written out:\n%s\nread again:\n%s\n", m->yaml,
			yaml ? yaml : "(nothing)");
		abort();
	}
	hr_objects_free(again);
}

static void one(unsigned flags, const char *bytes, size_t n)
{
	_cleanup_diags_ struct hr_diags *diags = hr_diags_new();
	struct hr_objects *o = decode(flags, bytes, n, diags);

	hr_validate_refs(o, "cluster.local", diags);
	for (size_t i = 0; i < diags->list.len; i++) {
		_cleanup_sb_ struct hr_strbuf sb = {};

		hr_diag_text(&diags->list.data[i], &sb);
		if (!diags->list.data[i].pos.line)
			abort(); /* every finding has a place */
	}
	for (size_t i = 0; i < o->virtual_services.len; i++)
		check_again(flags, &o->virtual_services.data[i]->meta);
	for (size_t i = 0; i < o->destination_rules.len; i++)
		check_again(flags, &o->destination_rules.data[i]->meta);
	for (size_t i = 0; i < o->services.len; i++)
		check_again(flags, &o->services.data[i]->meta);
	for (size_t i = 0; i < o->pods.len; i++)
		check_again(flags, &o->pods.data[i]->meta);
	hr_objects_free(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (unsigned flags = 0; flags <= ALL_FLAGS; flags++)
		one(flags, (const char *)data, size);
	return 0;
}
