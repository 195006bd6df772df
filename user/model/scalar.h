/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a scalar means. A plain scalar is null, boolean or number by the rules that Kubernetes'
 * YAML reader has (YAML 1.1), so that a file means here what it means to kubectl; a text that the
 * two could read differently (08, 0x50, 1_000) is refused, not guessed.
 */
#pragma once

#include "model/tree.h"

enum hr_scalar { HR_SCALAR_STRING, HR_SCALAR_NULL, HR_SCALAR_BOOL, HR_SCALAR_INT, HR_SCALAR_FLOAT };

enum hr_scalar hr_scalar_kind(const struct hr_ynode *n);
/* true, True, TRUE, yes, on ... for a HR_SCALAR_BOOL. */
bool hr_scalar_bool(const struct hr_ynode *n);

/* Each gives NULL and fills *out, or a sentence for people. */
const char *hr_scalar_int(const struct hr_ynode *n, int64_t min, int64_t max, int64_t *out);
const char *hr_scalar_double(const struct hr_ynode *n, double min, double max, double *out);
/* "1.5s", "100ms", "1h30m" -> ms; finer than 1 ms and over 292 years are refused. */
const char *hr_parse_duration(const char *s, int64_t *ms);
/* RFC 3339 -> Unix ms. */
const char *hr_parse_time(const char *s, int64_t *ms);
/* Standard alphabet, with padding. Gives malloc'ed bytes through *out. */
const char *hr_parse_base64(const char *s, size_t n, char **out, size_t *len);
