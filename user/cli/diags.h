/* SPDX-License-Identifier: Apache-2.0 */
/* Findings of the decoder as text, JSON (CLI.md "check") and SARIF 2.1.0. */
#pragma once

#include <jansson.h>

#include "model/decode.h"

/* Text with the severity in colour on a terminal. */
void hr_diags_text(const struct hr_diags *d, struct hr_strbuf *out);
json_t *hr_diags_json(const struct hr_diags *d);
json_t *hr_diags_sarif(const struct hr_diags *d);
