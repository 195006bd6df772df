/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers of the model's tests: decode a text, look at its findings. cmocka's headers included. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/cleanup.h"
#include "model/decode.h"

struct run {
	struct hr_diags *diags;
	struct hr_objects *set;
};

static inline void run_free(struct run *r)
{
	hr_objects_free(r->set);
	hr_diags_free(r->diags);
}
#define _cleanup_run_ _cleanup_(run_free)

static inline struct run run_bytes(unsigned flags, const char *bytes, size_t n)
{
	struct run r = {.diags = hr_diags_new()};
	struct hr_decoder *d = hr_decoder_new(flags, r.diags);

	hr_decode_text(d, "t.yaml", bytes, n);
	r.set = hr_decoder_finish(d);
	return r;
}

static inline struct run run_text(unsigned flags, const char *text)
{
	return run_bytes(flags, text, strlen(text));
}

static inline struct run run_paths(unsigned flags, const char *const *paths)
{
	struct run r = {.diags = hr_diags_new()};
	struct hr_decoder *d = hr_decoder_new(flags, r.diags);

	for (; *paths; paths++)
		hr_decode_path(d, *paths);
	r.set = hr_decoder_finish(d);
	return r;
}

static inline void print_diags(const struct run *r)
{
	for (size_t i = 0; i < r->diags->list.len; i++) {
		_cleanup_sb_ struct hr_strbuf sb = {};

		hr_diag_text(&r->diags->list.data[i], &sb);
		print_message("  %s\n", sb.data);
	}
}

/* "LINE:COL: severity: FIELD: message" holds `part` for one of the findings. */
static inline bool said(const struct run *r, const char *part)
{
	for (size_t i = 0; i < r->diags->list.len; i++) {
		_cleanup_sb_ struct hr_strbuf sb = {};

		hr_diag_text(&r->diags->list.data[i], &sb);
		if (strstr(sb.data, part))
			return true;
	}
	return false;
}

#define assert_said(r, part)                                   \
	do {                                                   \
		if (!said(r, part)) {                          \
			print_message("not said: %s\n", part); \
			print_diags(r);                        \
			fail();                                \
		}                                              \
	} while (0)

/* Nothing wrong: no error, no warning. */
#define assert_clean(r)                                           \
	do {                                                      \
		if ((r)->diags->errors || (r)->diags->warnings) { \
			print_diags(r);                           \
			fail();                                   \
		}                                                 \
	} while (0)
