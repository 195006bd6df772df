// SPDX-License-Identifier: Apache-2.0
/* The event loop: timers in order, watches that remove each other, messages from other threads. */
#include "unit.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/loop.h"

#define TIMERS 300

static struct hr_loop *loop;
static struct hr_timer timers[TIMERS];
static uint64_t last_at;
static int fired;

static void on_timer(void *ctx)
{
	struct hr_timer *t = ctx;

	assert_true(t->at >= last_at);
	last_at = t->at;
	fired++;
	/* one timer stops another: a third of them never fires */
	hr_timer_stop(&timers[(size_t)(t - timers + 1) % TIMERS]);
}

static void stop_loop(void *ctx)
{
	hr_loop_stop(ctx);
}

static void test_timers_in_order(void **state)
{
	struct hr_timer end = {0};

	(void)state;
	assert_int_equal(hr_loop_new(&loop), 0);
	srand(3);
	for (int i = 0; i < TIMERS; i++)
		hr_timer_start(loop, &timers[i], (uint64_t)rand() % 40, on_timer, &timers[i]);
	for (int i = 0; i < TIMERS; i += 3) /* restarting moves, stopping twice is harmless */
		hr_timer_start(loop, &timers[i], (uint64_t)rand() % 40, on_timer, &timers[i]);
	hr_timer_start(loop, &end, 60, stop_loop, loop);
	assert_int_equal(hr_loop_run(loop), 0);
	assert_in_range(fired, TIMERS / 3, TIMERS);
	for (int i = 0; i < TIMERS; i++)
		assert_false(hr_timer_running(&timers[i]));
	hr_loop_free(loop);
}

/*   a <-- both readable in one turn --> b      whoever runs first deletes the other:
 *                                              the other must not be called any more */
static struct hr_watch *pair[2];
static int calls;

static void delete_other(void *ctx, uint32_t events)
{
	(void)events;
	calls++;
	hr_watch_del(pair[*(int *)ctx == 0]);
	hr_loop_stop(loop);
}

static void test_deleted_watch_is_silent(void **state)
{
	int sv[2][2], who[2] = {0, 1};

	(void)state;
	assert_int_equal(hr_loop_new(&loop), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv[i]), 0);
		assert_int_equal(write(sv[i][1], "x", 1), 1);
		assert_int_equal(
			hr_watch_add(loop, sv[i][0], EPOLLIN, delete_other, &who[i], &pair[i]), 0);
	}
	assert_int_equal(hr_loop_run(loop), 0);
	assert_int_equal(calls, 1);
	hr_loop_free(loop);
	for (int i = 0; i < 4; i++)
		close(sv[i / 2][i % 2]);
}

/* Two threads post 10,000 messages each; all arrive, each thread's in its order. */
static int next_of[2];

static void on_mail(void *ctx)
{
	uintptr_t v = (uintptr_t)ctx;

	assert_int_equal(next_of[v & 1], v >> 1);
	next_of[v & 1]++;
	if (next_of[0] + next_of[1] == 20000)
		hr_loop_stop(loop);
}

static void *poster(void *who)
{
	for (uintptr_t i = 0; i < 10000; i++)
		assert_int_equal(hr_loop_post(loop, on_mail, (void *)(i << 1 | (uintptr_t)who)), 0);
	return NULL;
}

static void test_posts(void **state)
{
	pthread_t t[2];

	(void)state;
	assert_int_equal(hr_loop_new(&loop), 0);
	for (uintptr_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&t[i], NULL, poster, (void *)i), 0);
	assert_int_equal(hr_loop_run(loop), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	hr_loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_timers_in_order),
		cmocka_unit_test(test_deleted_watch_is_silent),
		cmocka_unit_test(test_posts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
