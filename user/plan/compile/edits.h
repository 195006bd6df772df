/* SPDX-License-Identifier: Apache-2.0 */
/* Header operations of requests that the kernel does by itself: it appends fields to a head that
 * has none of the names that the operations replace or remove. */
#pragma once

#include "plan/compile/compile.h"

/*
 * Fills the `edit` of each destination of the route. What is appended is what the proxy makes of
 * the operations (proxy/request/head.c) for such a head. False: the route's operations are the
 * agent's (answers, operators, Host, fields that frame the message, too much text, a mirror).
 */
bool hr_build_edits(struct hr_build *b, struct hr_plan_route *r);
