// SPDX-License-Identifier: Apache-2.0
/*
 * The control socket against clients that behave and clients that do not.
 *
 *	main thread: loop + server ("echo", "refuse", "big")      client thread: one case
 *
 * What must hold: one answer a line, in order; a dead agent's socket is replaced, a living one's
 * never; no client can make the agent hold more than its bounds or wait for it.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "control/control.h"
#include "core/cleanup.h"

static char dir[] = "/tmp/headrace-test-control-XXXXXX";
static char path[128];

struct stage {
	struct hr_loop *loop;
	struct hr_control *control;
	void (*client)(void);
};

static struct hr_control_client *watching; /* who asked for events; the server's thread */
static int went;

static void gone(void *ctx, struct hr_control_client *client)
{
	(void)ctx;
	if (client == watching) {
		watching = NULL;
		went++;
	}
}

static json_t *handle(void *ctx, const char *op, const json_t *req,
		      const struct hr_control_peer *peer, const char **code, struct hr_strbuf *why)
{
	(void)ctx;
	if (strcmp(op, "echo") == 0)
		return json_pack("{s:O,s:i}", "got", json_object_get(req, "say"), "pid",
				 (int)peer->pid);
	if (strcmp(op, "watch") == 0) {
		watching = peer->client;
		return json_object();
	}
	if (strcmp(op, "tell") == 0) {
		int told = 0, n = (int)json_integer_value(json_object_get(req, "n"));

		for (int i = 0; i < n; i++)
			told += watching &&
				hr_control_event(
					watching,
					json_pack("{s:i,s:s}", "event", i, "pad",
						  json_string_value(json_object_get(req, "pad"))));
		return json_pack("{s:i,s:b}", "told", told, "watched", watching != NULL);
	}
	if (strcmp(op, "big") == 0) {
		json_t *list = json_array();

		for (int i = 0; i < 40000; i++)
			json_array_append_new(list, json_string("0123456789012345678901234567890"));
		return json_pack("{s:o}", "list", list);
	}
	*code = "not-found";
	hr_sb_printf(why, "no operation \"%s\"", op);
	return NULL;
}

static void stop(void *loop)
{
	hr_loop_stop(loop);
}

static void *client_thread(void *arg)
{
	struct stage *s = arg;

	s->client();
	hr_loop_post(s->loop, stop, s->loop);
	return NULL;
}

/* Runs `client` in its own thread against a server with the given bounds. */
static void run(void (*client)(void), struct hr_control_opts o)
{
	_cleanup_sb_ struct hr_strbuf err = {};
	struct stage s = {.client = client};
	pthread_t t;

	assert_int_equal(hr_loop_new(&s.loop), 0);
	o.loop = s.loop;
	o.path = path;
	o.handle = handle;
	o.gone = gone;
	if (hr_control_new(&s.control, &o, &err) < 0)
		fail_msg("%s", hr_sb_str(&err));
	pthread_create(&t, NULL, client_thread, &s);
	assert_int_equal(hr_loop_run(s.loop), 0);
	pthread_join(t, NULL);
	hr_control_free(s.control);
	hr_loop_free(s.loop);
	assert_int_equal(access(path, F_OK), -1);
}

static int dial(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval tv = {.tv_sec = 10};

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	strcpy(sa.sun_path, path);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* One line without its newline; "" at the end of the stream. */
static void hear(int fd, char *buf, size_t size)
{
	size_t n = 0;

	while (n + 1 < size && recv(fd, buf + n, 1, 0) == 1 && buf[n] != '\n')
		n++;
	buf[n] = 0;
}

static void ask_and_refuse(void)
{
	_cleanup_sb_ struct hr_strbuf err = {};
	json_t *result = NULL;

	assert_int_equal(hr_control_call(path, "echo", json_pack("{s:s}", "say", "h\xc3\xa9"), 5000,
					 &result, &err),
			 0);
	assert_string_equal(json_string_value(json_object_get(result, "got")), "h\xc3\xa9");
	assert_int_equal(json_integer_value(json_object_get(result, "pid")), getpid());
	json_decref(result);
	result = NULL;
	assert_int_equal(hr_control_call(path, "fly", NULL, 5000, &result, &err), -EBADE);
	assert_string_equal(hr_sb_str(&err), "no operation \"fly\"");
	json_decref(result);
}

static void test_answers_and_refusals(void **state)
{
	(void)state;
	run(ask_and_refuse, (struct hr_control_opts){});
}

static int64_t tell(int n, const char *pad)
{
	_cleanup_sb_ struct hr_strbuf err = {};
	json_t *result = NULL;
	int64_t told;

	assert_int_equal(hr_control_call(path, "tell", json_pack("{s:i,s:s}", "n", n, "pad", pad),
					 5000, &result, &err),
			 0);
	told = json_integer_value(json_object_get(result, "told"));
	json_decref(result);
	return told;
}

/* Events come to who asked, between answers; to a reader that does not read only so many as its
 * socket holds, and nothing piles up behind them; a connection that ends is told. */
static void events(void)
{
	static char pad[60001];
	int fd = dial();
	char line[64], *long_line = malloc(1 << 17);

	assert_int_equal(tell(1, ""), 0); /* nobody asked yet */
	say(fd, "{\"v\":1,\"op\":\"watch\"}\n");
	hear(fd, line, sizeof(line));
	assert_int_equal(tell(2, ""), 2);
	say(fd, "{\"v\":1,\"op\":\"echo\",\"say\":5}\n");
	hear(fd, line, sizeof(line));
	assert_non_null(strstr(line, "\"event\":0"));
	hear(fd, line, sizeof(line));
	assert_non_null(strstr(line, "\"event\":1"));
	hear(fd, line, sizeof(line));
	assert_non_null(strstr(line, "\"got\":5"));
	memset(pad, 'x', sizeof(pad) - 1);
	assert_in_range(tell(200, pad), 1, 100);
	hear(fd, long_line, 1 << 17);
	assert_non_null(strstr(long_line, "\"event\":0"));
	assert_string_equal(long_line + strlen(long_line) - 3, "x\"}");
	free(long_line);
	close(fd);
	for (int i = 0; i < 100 && !went; i++) {
		tell(0, "");
		usleep(10000);
	}
	assert_int_equal(went, 1);
	assert_int_equal(tell(1, ""), 0);
}

static void test_events(void **state)
{
	(void)state;
	run(events, (struct hr_control_opts){});
}

/* Lines in one segment, a line in three, an empty line: one answer each, in order, ids echoed. */
static void framing(void)
{
	_cleanup_close_ int fd = dial();
	char line[512];

	say(fd, "{\"v\":1,\"op\":\"echo\",\"say\":1,\"id\":\"a\"}\n\n"
		"{\"v\":1,\"op\":\"echo\",\"say\":2,\"id\":7}\n{\"v\":1,");
	hear(fd, line, sizeof(line));
	assert_non_null(strstr(line, "\"id\":\"a\""));
	hear(fd, line, sizeof(line));
	assert_non_null(strstr(line, "\"got\":2"));
	assert_non_null(strstr(line, "\"id\":7"));
	say(fd, "\"op\":\"echo\"");
	usleep(20000);
	say(fd, ",\"say\":3}\n");
	hear(fd, line, sizeof(line));
	assert_non_null(strstr(line, "\"got\":3"));
}

static void test_lines_however_they_are_cut(void **state)
{
	(void)state;
	run(framing, (struct hr_control_opts){});
}

/* Refused with words, and the connection goes on. */
static void nonsense(void)
{
	static const struct {
		const char *line, *code;
	} cases[] = {
		{"GET / HTTP/1.1\r\n", "bad-request"},
		{"[1,2]\n", "bad-request"},
		{"{\"v\":1}\n", "bad-request"},
		{"{\"v\":2,\"op\":\"echo\"}\n", "bad-version"},
		{"{\"op\":\"echo\"}\n", "bad-version"},
		{"{\"v\":1,\"op\":\"echo\",\"op\":\"big\"}\n", "bad-request"},
		{"{\"v\":1,\"op\":\"\xff\xfe\"}\n", "bad-request"},
		{"{\"v\":1,\"op\":\"a\\u0000b\"}\n", "bad-request"},
		{"{\"v\":1,\"op\":{}}\n", "bad-request"},
		{"{\"v\":1,\"op\":\"nix\"}\n", "not-found"},
	};
	_cleanup_close_ int fd = dial();
	char line[512];

	for (size_t i = 0; i < HR_ARRAY_SIZE(cases); i++) {
		say(fd, cases[i].line);
		hear(fd, line, sizeof(line));
		if (!strstr(line, cases[i].code))
			fail_msg("%s answered %s", cases[i].line, line);
	}
	say(fd, "{\"v\":1,\"op\":\"echo\",\"say\":9}\n");
	hear(fd, line, sizeof(line));
	assert_non_null(strstr(line, "\"got\":9"));
}

static void test_nonsense_is_refused(void **state)
{
	(void)state;
	run(nonsense, (struct hr_control_opts){});
}

/* 10,000 levels of nesting must not reach the parser's stack. */
static void deep(void)
{
	_cleanup_close_ int fd = dial();
	_cleanup_free_ char *brackets = malloc(10002);
	char line[512];

	memset(brackets, '[', 10000);
	strcpy(brackets + 10000, "\n");
	say(fd, brackets);
	hear(fd, line, sizeof(line));
	assert_non_null(strstr(line, "bad-request"));
}

static void test_deep_nesting(void **state)
{
	(void)state;
	run(deep, (struct hr_control_opts){});
}

/* A line over the bound is refused when the bound is passed, not when it ends. */
static void endless_line(void)
{
	_cleanup_close_ int fd = dial();
	char part[1024], line[512];

	memset(part, 'x', sizeof(part));
	for (int i = 0; i < 8; i++)
		if (send(fd, part, sizeof(part), MSG_NOSIGNAL) < 0)
			break;
	hear(fd, line, sizeof(line));
	assert_non_null(strstr(line, "too-big"));
	hear(fd, line, sizeof(line));
	assert_string_equal(line, "");
}

static void test_endless_line(void **state)
{
	(void)state;
	run(endless_line, (struct hr_control_opts){.line_max = 4096});
}

/* Half a line and silence: closed after its time; an idle connection without a line may stay. */
static void half_line(void)
{
	_cleanup_close_ int half = dial(), idle = dial();
	char line[512];

	say(half, "{\"v\":1");
	hear(half, line, sizeof(line));
	assert_string_equal(line, "");
	say(idle, "{\"v\":1,\"op\":\"echo\",\"say\":5}\n");
	hear(idle, line, sizeof(line));
	assert_non_null(strstr(line, "\"got\":5"));
}

static void test_half_a_line_times_out(void **state)
{
	(void)state;
	run(half_line, (struct hr_control_opts){.partial_timeout_ms = 100});
}

/* Asks for 100 big answers and reads none: the agent holds one, serves others, then closes. */
static void never_reads(void)
{
	_cleanup_close_ int deaf = dial();
	_cleanup_sb_ struct hr_strbuf err = {};
	json_t *result = NULL;

	for (int i = 0; i < 100; i++)
		say(deaf, "{\"v\":1,\"op\":\"big\"}\n");
	for (int i = 0; i < 5; i++) {
		assert_int_equal(hr_control_call(path, "echo", json_pack("{s:i}", "say", i), 5000,
						 &result, &err),
				 0);
		json_decref(result);
	}
}

static void test_reader_that_never_reads(void **state)
{
	(void)state;
	run(never_reads, (struct hr_control_opts){.partial_timeout_ms = 200});
}

/* The third of two is told so; when one goes, there is room again. */
static void crowd(void)
{
	int a = dial(), b = dial();
	_cleanup_close_ int c = -1, d = -1;
	char line[512];

	say(a, "{\"v\":1,\"op\":\"echo\",\"say\":1}\n");
	hear(a, line, sizeof(line));
	say(b, "{\"v\":1,\"op\":\"echo\",\"say\":1}\n");
	hear(b, line, sizeof(line));
	c = dial();
	hear(c, line, sizeof(line));
	assert_non_null(strstr(line, "busy"));
	close(a);
	usleep(50000);
	d = dial();
	say(d, "{\"v\":1,\"op\":\"echo\",\"say\":4}\n");
	hear(d, line, sizeof(line));
	assert_non_null(strstr(line, "\"got\":4"));
	close(b);
}

static void test_too_many_clients(void **state)
{
	(void)state;
	run(crowd, (struct hr_control_opts){.max_clients = 2});
}

static void only_owner(void)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	if (geteuid() != 0)
		return;
	/* the file mode is not all: a descriptor opened to everybody would still be refused */
	chmod(path, 0666);
	chmod(dir, 0755);
	pid_t pid = fork();

	if (pid == 0) {
		char line[512];
		int fd;

		if (setgid(65534) < 0 || setuid(65534) < 0)
			_exit(9);
		fd = dial();
		hear(fd, line, sizeof(line));
		_exit(strstr(line, "forbidden") ? 0 : 1);
	}
	int status = -1;
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
}

static void test_only_root_and_owner(void **state)
{
	(void)state;
	run(only_owner, (struct hr_control_opts){});
}

/* A file that a killed agent left is replaced; a socket somebody listens on is not. */
static void test_stale_and_live_sockets(void **state)
{
	_cleanup_sb_ struct hr_strbuf err = {};
	struct hr_control_opts o = {.path = path, .handle = handle};
	struct hr_control *first = NULL, *second = NULL;
	char pid[64];
	int fd;

	(void)state;
	pid_t child = fork();

	if (child == 0) { /* an agent that is killed: nothing of it is cleaned up */
		assert_int_equal(hr_loop_new(&o.loop), 0);
		assert_int_equal(hr_control_new(&first, &o, &err), 0);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(hr_loop_new(&o.loop), 0);
	assert_int_equal(hr_control_new(&first, &o, &err), 0);

	assert_int_equal(hr_control_new(&second, &o, &err), -EADDRINUSE);
	snprintf(pid, sizeof(pid), "pid %d", (int)getpid());
	assert_non_null(strstr(hr_sb_str(&err), pid));
	assert_int_equal(access(path, F_OK), 0);
	hr_control_free(first);

	/* something that is no socket is never removed */
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	hr_sb_free(&err);
	assert_int_equal(hr_control_new(&second, &o, &err), -EEXIST);
	assert_int_equal(access(path, F_OK), 0);
	unlink(path);
	hr_loop_free(o.loop);
}

static void test_nobody_there(void **state)
{
	_cleanup_sb_ struct hr_strbuf err = {};
	json_t *result = NULL;

	(void)state;
	assert_int_equal(hr_control_call(path, "echo", NULL, 1000, &result, &err), -ENOENT);
	assert_non_null(strstr(hr_sb_str(&err), path));
	assert_null(result);
}

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/run/a.sock", dir);
	return 0;
}

static int teardown(void **state)
{
	char run_dir[128];

	(void)state;
	snprintf(run_dir, sizeof(run_dir), "%s/run", dir);
	/* rmdir, not rm -r: a lock or socket that was left is a failure */
	return rmdir(run_dir) || rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers_and_refusals),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_lines_however_they_are_cut),
		cmocka_unit_test(test_nonsense_is_refused),
		cmocka_unit_test(test_deep_nesting),
		cmocka_unit_test(test_endless_line),
		cmocka_unit_test(test_half_a_line_times_out),
		cmocka_unit_test(test_reader_that_never_reads),
		cmocka_unit_test(test_too_many_clients),
		cmocka_unit_test(test_only_root_and_owner),
		cmocka_unit_test(test_stale_and_live_sockets),
		cmocka_unit_test(test_nobody_there),
	};

	return cmocka_run_group_tests_name("control", tests, setup, teardown);
}
