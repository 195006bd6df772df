/* SPDX-License-Identifier: Apache-2.0 */
/* Words of options that have parts: "ns/name", "k=v,k=v", "Name: value". */
#pragma once

#include "model/model.h"

/* "ns/name" or "name" (namespace "default"). -EINVAL when a part is empty or has a slash. */
int hr_parse_workload(struct hr_arena *arena, const char *word, const char **ns, const char **name);
/* "k=v,k2=v2"; "" is no labels. -EINVAL. */
int hr_parse_labels(struct hr_arena *arena, const char *word, hr_kvs *out);
/* RFC 9110 token: a method, a header name. */
bool hr_is_token(const char *word);
/* "Name: value", blanks around the value dropped, as curl reads -H. -EINVAL, also for what no
 * client could send. */
int hr_parse_header(struct hr_arena *arena, const char *word, struct hr_kv *out);
