/* SPDX-License-Identifier: Apache-2.0 */
/* Files of `-f` as the control socket takes them. */
#pragma once

#include <jansson.h>

#include "cli/command.h"

/* [{"name","text"}] of all -f paths. NULL when one cannot be read or holds bytes that are no UTF-8:
 * said on stderr. */
json_t *hr_files_json(const struct hr_args *a);
/* "virtualservice/reviews created" for each object of an answer. */
void hr_objects_text(const json_t *objects, struct hr_strbuf *out);
