/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the strict parser: what http1.c asks of framing.c. */
#pragma once

#include "http/http1.h"

enum hr_http_result hr_http_fail(struct hr_http_msg *m, uint16_t status, const char *reason);
/* One more field: keeps what frames or addresses the message, refuses contradictions. */
enum hr_http_result hr_http_note_field(struct hr_http_msg *m, const struct hr_http_field *f);
/* The empty line was seen: framing, connection, host. */
enum hr_http_result hr_http_finish(struct hr_http_msg *m);
