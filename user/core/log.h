/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines to stderr, key=value or JSON, bounded and escaped. Thread safe, one write() a line.
 * Values that came from outside (paths, header values, file names) go through hr_log_kv, which
 * escapes; never into the format string.
 */
#pragma once

enum hr_log_level { HR_LOG_ERROR, HR_LOG_WARN, HR_LOG_INFO, HR_LOG_DEBUG };
enum hr_log_format { HR_LOG_TEXT, HR_LOG_JSON };

void hr_log_setup(enum hr_log_level level, enum hr_log_format format);
enum hr_log_level hr_log_level(void);

/* One line: msg="..." level= time= and the pairs (NULL-terminated list of key, value strings). */
void hr_log_kv(enum hr_log_level level, const char *msg, ... /* const char *key, *value, NULL */)
	__attribute__((sentinel));
void hr_log(enum hr_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define hr_err(...) hr_log(HR_LOG_ERROR, __VA_ARGS__)
#define hr_warn(...) hr_log(HR_LOG_WARN, __VA_ARGS__)
#define hr_info(...) hr_log(HR_LOG_INFO, __VA_ARGS__)
#define hr_debug(...)                                      \
	do {                                               \
		if (hr_log_level() >= HR_LOG_DEBUG)        \
			hr_log(HR_LOG_DEBUG, __VA_ARGS__); \
	} while (0)
