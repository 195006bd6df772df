// SPDX-License-Identifier: Apache-2.0
// The other end of the control socket: one request, one answer. Blocking, with a deadline.
#include "control/control.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "core/cleanup.h"
#include "headrace/limits.h"

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int dial(const char *path, struct hr_strbuf *err)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = -1;

	if (strlen(path) >= sizeof(sa.sun_path)) {
		hr_sb_printf(err, "socket path %s is too long", path);
		return -ENAMETOOLONG;
	}
	strcpy(sa.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		int r = -errno;

		hr_sb_printf(err, "no agent answers at %s: %s", path, strerror(-r));
		return r;
	}
	return TAKE_FD(fd);
}

static int wait_for(int fd, short events, int64_t deadline)
{
	struct pollfd p = {.fd = fd, .events = events};
	int64_t left = deadline - now_ms();
	int n = poll(&p, 1, left > 0 ? (int)left : 0);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	return n ? 1 : -ETIMEDOUT;
}

static int send_all(int fd, const char *data, size_t n, int64_t deadline)
{
	while (n) {
		ssize_t sent = send(fd, data, n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent > 0) {
			data += sent;
			n -= (size_t)sent;
		} else if (errno == EAGAIN) {
			int r = wait_for(fd, POLLOUT, deadline);

			if (r < 0)
				return r;
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

/* Until a newline. The agent's answers are bounded by what it holds, not by a line limit. */
static int read_line(int fd, struct hr_strbuf *line, int64_t deadline)
{
	char buf[16384];

	for (;;) {
		ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
		int r;

		if (n > 0) {
			hr_sb_addn(line, buf, (size_t)n);
			if (buf[n - 1] == '\n')
				return 0;
			continue;
		}
		if (n == 0)
			return -ECONNRESET;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		r = wait_for(fd, POLLIN, deadline);
		if (r < 0)
			return r;
	}
}

static int read_answer(const struct hr_strbuf *line, json_t **result, struct hr_strbuf *err)
{
	json_t *doc = json_loadb(line->data, line->len, 0, NULL), *error;
	int r = 0;

	if (!json_is_object(doc)) {
		hr_sb_add(err, "the agent's answer is no JSON object");
		r = -EPROTO;
	} else if (json_is_true(json_object_get(doc, "ok"))) {
		*result = json_incref(json_object_get(doc, "result"));
	} else {
		error = json_object_get(doc, "error");
		const char *message = json_string_value(json_object_get(error, "message"));

		hr_sb_add(err, message ? message : "refused");
		*result = json_incref(json_object_get(doc, "result"));
		r = -EBADE;
	}
	json_decref(doc);
	return r;
}

static int exchange(int fd, const char *text, int64_t deadline, json_t **result,
		    struct hr_strbuf *err)
{
	_cleanup_sb_ struct hr_strbuf line = {};
	int r = send_all(fd, text, strlen(text), deadline);

	/* refused before all was sent: its sentence may still be there to read */
	if (r == 0 || r == -EPIPE || r == -ECONNRESET)
		r = read_line(fd, &line, deadline);
	if (r < 0) {
		hr_sb_printf(err, "the agent did not answer: %s", strerror(-r));
		return r;
	}
	return read_answer(&line, result, err);
}

int hr_control_call(const char *path, const char *op, json_t *req, int timeout_ms, json_t **result,
		    struct hr_strbuf *err)
{
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *text = NULL;
	_cleanup_sb_ struct hr_strbuf line = {};

	if (!req)
		req = json_object();
	json_object_set_new(req, "v", json_integer(HR_CONTROL_VERSION));
	json_object_set_new(req, "op", json_string(op));
	text = json_dumps(req, JSON_COMPACT);
	json_decref(req);
	if (!text) {
		hr_sb_add(err, "the request holds bytes that are no UTF-8");
		return -EILSEQ;
	}
	hr_sb_printf(&line, "%s\n", text);
	fd = dial(path, err);
	if (fd < 0)
		return fd;
	return exchange(fd, line.data, now_ms() + timeout_ms, result, err);
}
