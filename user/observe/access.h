/* SPDX-License-Identifier: Apache-2.0 */
/* Access log: one JSON object a line for each request that the agent carried, and for a sample of
 * those that the kernel carried. */
#pragma once

#include "core/str.h"
#include "proxy/proxy.h"

struct hr_access_log;

/* "-" is stdout. -errno and a sentence. */
int hr_access_open(struct hr_access_log **out, const char *path, struct hr_strbuf *err);
void hr_access_close(struct hr_access_log *log);
/* After the file was moved away (SIGHUP). Main thread, while others write. */
void hr_access_reopen(struct hr_access_log *log);
/* For hr_proxy_opts.access, any thread: one write(), never waits; what a full pipe does not take
 * is dropped and counted. */
void hr_access_write(void *log, const struct hr_access *rec);
/* For hr_kern_opts.on_access: of a request that the kernel has carried. Main thread. */
void hr_access_kernel(struct hr_access_log *log, const struct hr_plan *plan,
		      const struct hr_access_event *a);
uint64_t hr_access_dropped(const struct hr_access_log *log);
/* The line alone, with its newline. */
void hr_access_line(const struct hr_access *rec, struct hr_strbuf *out);
