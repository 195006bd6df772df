// SPDX-License-Identifier: Apache-2.0
/* Log lines: built in one buffer, written with one write(). */
#include "core/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/str.h"

#define LINE_MAX_BYTES                                                             \
	8192 /* one write() of this much to a pipe or file is not torn in practice \
	      */
#define VALUE_MAX_BYTES 2048

static _Atomic int log_level = HR_LOG_INFO;
static _Atomic int log_format = HR_LOG_TEXT;

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void hr_log_setup(enum hr_log_level level, enum hr_log_format format)
{
	log_level = level;
	log_format = format;
}

enum hr_log_level hr_log_level(void)
{
	return log_level;
}

static void add_pair(struct hr_strbuf *sb, const char *key, const char *value)
{
	size_t n = strnlen(value, VALUE_MAX_BYTES);

	if (log_format == HR_LOG_JSON) {
		hr_sb_addc(sb, ',');
		hr_sb_json(sb, key, strlen(key));
		hr_sb_addc(sb, ':');
		hr_sb_json(sb, value, n);
	} else {
		hr_sb_printf(sb, " %s=", key);
		if (n && strcspn(value, " \"=\\\n\r\t") == strlen(value) && n < VALUE_MAX_BYTES)
			hr_sb_addn(sb, value, n);
		else
			hr_sb_json(sb, value, n);
	}
}

static void start_line(struct hr_strbuf *sb, enum hr_log_level level)
{
	struct timespec ts;
	struct tm tm;
	char when[32];

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
	hr_sb_printf(sb,
		     log_format == HR_LOG_JSON ? "{\"time\":\"%s.%03ldZ\",\"level\":\"%s\""
					       : "time=%s.%03ldZ level=%s",
		     when, ts.tv_nsec / 1000000, level_names[level]);
}

static void end_line(struct hr_strbuf *sb)
{
	ssize_t n;

	if (log_format == HR_LOG_JSON)
		hr_sb_addc(sb, '}');
	hr_sb_addc(sb, '\n');
	if (sb->len > LINE_MAX_BYTES) {
		sb->len = LINE_MAX_BYTES;
		sb->data[sb->len - 1] = '\n';
	}
	n = write(STDERR_FILENO, sb->data, sb->len);
	(void)n; /* nobody to tell */
}

void hr_log_kv(enum hr_log_level level, const char *msg, ...)
{
	_cleanup_sb_ struct hr_strbuf sb = {0};
	const char *key;
	va_list ap;

	if ((int)level > log_level)
		return;
	start_line(&sb, level);
	add_pair(&sb, "msg", msg);
	va_start(ap, msg);
	while ((key = va_arg(ap, const char *))) {
		const char *value = va_arg(ap, const char *);

		add_pair(&sb, key, value ? value : "");
	}
	va_end(ap);
	end_line(&sb);
}

void hr_log(enum hr_log_level level, const char *fmt, ...)
{
	char msg[VALUE_MAX_BYTES];
	va_list ap;

	if ((int)level > log_level)
		return;
	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	hr_log_kv(level, msg, NULL);
}
