// SPDX-License-Identifier: Apache-2.0
// Access log lines: bounded and escaped, since most of their text was chosen by clients.
#include "observe/access.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "plan/plan.h"

#define VALUE_MAX 1024 /* bytes of one value */

struct hr_access_log {
	char *path;
	int fd; /* one number for its whole life: reopening is dup3 over it */
	atomic_uint_fast64_t dropped;
};

static int open_path(const char *path)
{
	int fd;

	if (strcmp(path, "-") == 0)
		fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	else
		fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
			  0640);
	return fd < 0 ? -errno : fd;
}

int hr_access_open(struct hr_access_log **out, const char *path, struct hr_strbuf *err)
{
	struct hr_access_log *log;
	int fd = open_path(path);

	if (fd < 0) {
		hr_sb_printf(err, "access log: cannot open %s: %s", path, strerror(-fd));
		return fd;
	}
	log = calloc(1, sizeof(*log));
	if (!log)
		abort();
	log->path = strdup(path);
	log->fd = fd;
	*out = log;
	return 0;
}

void hr_access_close(struct hr_access_log *log)
{
	if (!log)
		return;
	close(log->fd);
	free(log->path);
	free(log);
}

void hr_access_reopen(struct hr_access_log *log)
{
	_cleanup_close_ int fd = open_path(log->path);

	if (fd < 0 || dup3(fd, log->fd, O_CLOEXEC) < 0)
		hr_warn("access log: cannot open it again: %s", strerror(fd < 0 ? -fd : errno));
}

static void member(struct hr_strbuf *out, const char *key, const char *value)
{
	size_t n = value ? strnlen(value, VALUE_MAX) : 0;

	hr_sb_printf(out, ",\"%s\":", key);
	if (n)
		hr_sb_json(out, value, n);
	else
		hr_sb_add(out, "null");
}

static void now(struct hr_strbuf *out)
{
	struct timespec ts;
	struct tm tm;
	char text[40];

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	hr_sb_printf(out, "{\"time\":\"%s.%03ldZ\"", text, ts.tv_nsec / 1000000);
}

void hr_access_line(const struct hr_access *rec, struct hr_strbuf *out)
{
	now(out);
	member(out, "method", rec->method);
	member(out, "path", rec->path);
	member(out, "host", rec->host);
	hr_sb_printf(out, ",\"status\":%u", rec->status);
	if (rec->grpc)
		hr_sb_printf(out, ",\"grpcStatus\":%u", rec->grpc_status);
	member(out, "flags", rec->flags);
	member(out, "route", rec->route);
	member(out, "routeName", rec->rule);
	member(out, "cluster", rec->cluster);
	member(out, "upstream", rec->upstream);
	member(out, "why", hr_why_text(rec->why));
	if (rec->no_retry && *rec->no_retry)
		member(out, "notRetried", rec->no_retry);
	member(out, "carrier", rec->kernel ? "kernel" : "agent");
	member(out, "door", rec->kernel ? NULL : rec->door_a ? "A" : "G");
	hr_sb_printf(out, ",\"tries\":%u", rec->tries);
	hr_sb_printf(out, ",\"requestBytes\":%llu,\"responseBytes\":%llu,\"durationUs\":%llu",
		     (unsigned long long)rec->req_bytes, (unsigned long long)rec->resp_bytes,
		     (unsigned long long)rec->dur_us);
	hr_sb_printf(out, ",\"connection\":%llu}\n", (unsigned long long)rec->conn);
}

void hr_access_write(void *ctx, const struct hr_access *rec)
{
	struct hr_access_log *log = ctx;
	_cleanup_sb_ struct hr_strbuf line = {};
	struct pollfd p = {.fd = log->fd, .events = POLLOUT};

	hr_access_line(rec, &line);
	/* stdout may be a pipe whose reader sleeps, and its flags are not ours to change */
	if (poll(&p, 1, 0) != 1 || write(log->fd, line.data, line.len) != (ssize_t)line.len)
		atomic_fetch_add_explicit(&log->dropped, 1, memory_order_relaxed);
}

uint64_t hr_access_dropped(const struct hr_access_log *log)
{
	return atomic_load_explicit(&log->dropped, memory_order_relaxed);
}
