/* SPDX-License-Identifier: Apache-2.0 */
/* A small HTTP server on the main loop for metrics and health: GET only, one request each. */
#pragma once

#include "core/loop.h"
#include "core/str.h"

struct hr_scrape;

/* Fills `body` for a path and names its type; gives the status (200, 404, 503). */
typedef int (*hr_scrape_fn)(void *ctx, struct hr_slice path, struct hr_strbuf *body,
			    const char **type);

/* `addr` is "127.0.0.1:15020", "[::1]:15020" or ":15020". -EINVAL, -EADDRINUSE ... with *err. */
int hr_scrape_new(struct hr_scrape **out, struct hr_loop *loop, const char *addr, hr_scrape_fn fn,
		  void *ctx, struct hr_strbuf *err);
void hr_scrape_free(struct hr_scrape *s);
