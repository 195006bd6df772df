/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data path on real sockets, without the agent (rig.h). Each test is a client in a process of
 * its own, inside the captured cgroup; the parent checks afterwards how its requests were carried
 * and that nothing is left: no connection, no slot, no request in flight.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "path.h"
#include "rig.h"

struct want {
	enum hr_why why;
	int n; /* requests carried that way; -1: at least one */
};
/* Any other reason is as good. */
#define LOOSE {HR_WHY_MAX, 1}
static const struct test {
	const char *name;
	void (*client)(void);
	struct want want[6];
} tests[] = {
	{"native", t_native, {{HR_WHY_NATIVE, 52}}},
	{"peer-name", t_peer_name, {}},
	{"moved", t_moved, {{HR_WHY_NATIVE, 50}, {HR_WHY_MOVED, 100}}},
	{"moved-body", t_moved_body, {{HR_WHY_NATIVE, 5}, {HR_WHY_MOVED, 5}}},
	{"round-robin", t_round_robin, {{HR_WHY_NATIVE, 10}, {HR_WHY_MOVED, 10}}},
	{"local", t_local, {{HR_WHY_NATIVE, 20}, {HR_WHY_LOCAL, 60}}},
	{"bound", t_bound, {{HR_WHY_RULE, 20}, {HR_WHY_NATIVE, 20}}},
	{"mixed", t_mixed, {{HR_WHY_RULE, -1}, {HR_WHY_NATIVE, -1}, {HR_WHY_MOVED, -1}, LOOSE}},
	{"same-head", t_same_head, {{HR_WHY_NATIVE, 192}, {HR_WHY_MOVED, 128}}},
	{"same-head-body", t_same_head_body, {{HR_WHY_NATIVE, 10}, {HR_WHY_PIPELINED, 1}}},
	{"same-head-new-rules", t_same_head_new_rules, {{HR_WHY_NATIVE, 10}, {HR_WHY_LOCAL, 10}}},
	{"same-answer", t_same_answer, {{HR_WHY_NATIVE, 72}, {HR_WHY_MOVED, 16}}},
	{"same-answer-moved", t_same_answer_moved, {{HR_WHY_MOVED, 72}, {HR_WHY_NATIVE, 16}}},
	{"split-head", t_split_head, {{HR_WHY_HEAD_SPLIT, 1}, {HR_WHY_NATIVE, 1}}},
	{"pipelined", t_pipelined, {{HR_WHY_PIPELINED, 3}, {HR_WHY_NATIVE, 1}, {HR_WHY_MOVED, 1}}},
	{"upload-native",
	 t_upload_native,
	 {{HR_WHY_NATIVE, 2}, {HR_WHY_LOCAL, 1}, {HR_WHY_MOVED, 1}}},
	{"upload-bound", t_upload_bound, {{HR_WHY_BODY_BIG, 1}, {HR_WHY_NATIVE, 1}}},
	{"body-and-next", t_body_and_next, {{HR_WHY_NATIVE, 1}, {HR_WHY_PIPELINED, 1}}},
	{"edit", t_edit, {{HR_WHY_NATIVE, 21}, {HR_WHY_MOVED, 14}}},
	{"edit-agent", t_edit_agent, {{HR_WHY_EDIT, 2}}},
	{"edit-upload", t_edit_upload, {{HR_WHY_NATIVE, 3}}},
	{"request-close",
	 t_request_close,
	 {{HR_WHY_NATIVE, 1}, {HR_WHY_MOVED, 1}, {HR_WHY_RELAY, 1}, {HR_WHY_CLOSE, 1}}},
	{"moved-close", t_moved_close, {{HR_WHY_MOVED, 20}}},
	{"request-chunked", t_request_chunked, {{HR_WHY_CHUNKED, 1}}},
	{"response-chunked",
	 t_response_chunked,
	 {{HR_WHY_NATIVE, 10}, {HR_WHY_MOVED, 10}, {HR_WHY_RELAY, 5}}},
	{"response-big",
	 t_response_big,
	 {{HR_WHY_NATIVE, 3}, {HR_WHY_MOVED, 6}, {HR_WHY_RELAY, 3}}},
	{"response-slow",
	 t_response_slow,
	 {{HR_WHY_NATIVE, 3}, {HR_WHY_MOVED, 6}, {HR_WHY_RELAY, 3}}},
	{"response-odd",
	 t_response_odd,
	 {{HR_WHY_NATIVE, 9}, {HR_WHY_MOVED, 6}, {HR_WHY_PIPELINED, 3}}},
	{"response-close", t_response_close, {{HR_WHY_NATIVE, 1}}},
	{"server-closes", t_server_closes, {{HR_WHY_NATIVE, 1}}},
	{"shield-fin", t_shield_fin, {{HR_WHY_NATIVE, 1}, {HR_WHY_MOVED, 2}}},
	{"shield-reset", t_shield_reset, {{HR_WHY_NATIVE, 1}, {HR_WHY_MOVED, 2}}},
	{"answer-lost", t_answer_lost, {{HR_WHY_NATIVE, 4}, {HR_WHY_MOVED, 2}, {HR_WHY_TAKEN, 2}}},
	{"timed", t_timed, {{HR_WHY_NATIVE, 62}, {HR_WHY_MOVED, 30}}},
	{"timeout-native",
	 t_timeout_native,
	 {{HR_WHY_NATIVE, 2}, {HR_WHY_TAKEN, 1}, {HR_WHY_MOVED, 2}}},
	{"timeout-moved",
	 t_timeout_moved,
	 {{HR_WHY_NATIVE, 4}, {HR_WHY_MOVED, 4}, {HR_WHY_TAKEN, 2}}},
	{"timeout-pipelined",
	 t_timeout_pipelined,
	 {{HR_WHY_NATIVE, 1}, {HR_WHY_MOVED, 1}, {HR_WHY_TAKEN, 2}, {HR_WHY_PIPELINED, 2}}},
	{"timeout-upload", t_timeout_upload, {{HR_WHY_NATIVE, 2}, {HR_WHY_TAKEN, 1}}},
	{"timeout-alone", t_timeout_alone, {{HR_WHY_NATIVE, 3}}},
	{"retry-native",
	 t_retry_native,
	 {{HR_WHY_NATIVE, 40}, {HR_WHY_TAKEN, 20}, {HR_WHY_REPLAY_BODY, 1}}},
	{"retry-in-pieces",
	 t_retry_in_pieces,
	 {{HR_WHY_NATIVE, 5}, {HR_WHY_TAKEN, 3}, {HR_WHY_PIPELINED, 1}, {HR_WHY_MOVED, 1}}},
	{"retry-held", t_retry_held, {{HR_WHY_NATIVE, 3}, {HR_WHY_TAKEN, 1}}},
	{"retry-moved", t_retry_moved, {{HR_WHY_MOVED, 6}, {HR_WHY_RELAY, 3}}},
	{"close-while-taken", t_close_while_taken, {{HR_WHY_NATIVE, 1}, {HR_WHY_TAKEN, 1}}},
	{"half-close", t_half_close, {{HR_WHY_NATIVE, 1}}},
	{"close-while-native", t_close_while_native, {{HR_WHY_NATIVE, 1}}},
	{"close-while-moved", t_close_while_moved, {{HR_WHY_MOVED, 1}}},
	{"close-while-bound", t_close_while_bound, {{HR_WHY_HEAD_SPLIT, 1}}},
	{"flood-after-close", t_flood_after_close, {{HR_WHY_RULE, 3 + 2 * RIG_G}}},
	{"ipv6",
	 t_ipv6,
	 {{HR_WHY_NATIVE, 10}, {HR_WHY_MOVED, 10}, {HR_WHY_LOCAL, 10}, {HR_WHY_RULE, 10}}},
	{"ipv4-mapped", t_ipv4_mapped, {{HR_WHY_NATIVE, 1}, {HR_WHY_MOVED, 1}}},
	{"agent-only", t_agent_only, {{HR_WHY_NATIVE, 2}, {HR_WHY_DATAPATH, 1}}},
	{"no-agent", t_no_agent, {{HR_WHY_NATIVE, 3}, {HR_WHY_LOCAL, 1}, {HR_WHY_NO_G, 4}}},
	{"no-pool", t_no_pool, {{HR_WHY_NO_U, 1}, {HR_WHY_MOVED, 1}}},
	{"breaker", t_breaker, {{HR_WHY_NATIVE, 2}, {HR_WHY_LOCAL, 1}}},
	{"tunnel", t_tunnel, {{HR_WHY_TUNNEL, 1}}},
	{"opaque", t_opaque, {{HR_WHY_TUNNEL, 1}}},
	{"doors", t_doors, {}},
	{"dns", t_dns, {}},
	{"send-while-connecting", t_send_while_connecting, {{HR_WHY_LOCAL, -1}, LOOSE}},
	{"two-senders", t_two_senders, {{HR_WHY_PIPELINED, -1}, LOOSE}},
	{"stress", t_stress, {{HR_WHY_NATIVE, -1}, {HR_WHY_MOVED, -1}, {HR_WHY_LOCAL, -1}, LOOSE}},
	{"many", t_many, {{HR_WHY_NATIVE, 600}, {HR_WHY_MOVED, 603}}},
};

/* With captured servers only; how the connections before were carried depends on who taught. */
static const struct test near_tests[] = {
	{"half-close", t_near_half_close, {{HR_WHY_NATIVE, -1}, LOOSE}},
	{"server-closes", t_near_server_closes, {{HR_WHY_NATIVE, -1}, LOOSE}},
	{"abort", t_near_abort, {{HR_WHY_NATIVE, -1}, LOOSE}},
	{"peek", t_near_peek, {{HR_WHY_NATIVE, -1}, LOOSE}},
	{"epoll", t_near_epoll, {{HR_WHY_NATIVE, -1}, LOOSE}},
	{"writev", t_near_writev, {{HR_WHY_NATIVE, -1}, {HR_WHY_BODY_SPLIT, 0}, LOOSE}},
	{"node-bound", t_near_node_bound, {{HR_WHY_NATIVE, -1}, LOOSE}},
	{"opaque-skips-tcp", t_near_opaque, {{HR_WHY_NATIVE, -1}, {HR_WHY_TUNNEL, -1}, LOOSE}},
	{"in-turn", t_near_in_turn, {{HR_WHY_NATIVE, -1}, {HR_WHY_MOVED, -1}, LOOSE}},
};

static int check_counts(const struct test *t, const uint64_t before[HR_WHY_MAX])
{
	int bad = 0, loose = 0;

	for (size_t i = 0; i < 6; i++)
		loose |= t->want[i].why == HR_WHY_MAX;
	for (int w = 0; w < HR_WHY_MAX; w++) {
		int64_t got = rig_why(w) - before[w], want = 0;

		for (size_t i = 0; i < 6; i++)
			if (t->want[i].n && (int)t->want[i].why == w)
				want = t->want[i].n;
		/* on one node fewer moved answers are left to the agent */
		if (rig_near && w == HR_WHY_RELAY && got < want)
			continue;
		if (want == -1 ? got < 1 : got != want && !loose) {
			fprintf(stderr, "    reason %d: %lld requests, wanted %lld\n", w,
				(long long)got, (long long)want);
			bad = 1;
		}
	}
	return bad;
}

static int check_rest(void)
{
	for (int i = 0; i < 200; i++) {
		if (!rig_conns() && !rig_inflight() && !rig_busy())
			return 0;
		usleep(10000);
	}
	fprintf(stderr, "    left: %d connections, %d in flight, %d slots\n", rig_conns(),
		rig_inflight(), rig_busy());
	return 1;
}

static int run(const struct test *t)
{
	uint64_t before[HR_WHY_MAX];
	int status;
	pid_t pid;

	for (int w = 0; w < HR_WHY_MAX; w++)
		before[w] = rig_why(w);
	pid = fork();
	if (!pid) {
		alarm(30);
		if (rig_enter_cgroup())
			_exit(1);
		t->client();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status))
		fprintf(stderr, "    killed by signal %d\n", WTERMSIG(status));
	rig_agent_only(false);
	rig_no_agent(false);
	status |= check_rest() | check_counts(t, before);
	printf("%s %s%s\n", status ? "FAIL" : "ok  ", rig_near ? "near " : "", t->name);
	return !!status;
}

/* Sums that no single test shows: every finished request has a status and a duration. */
static int check_stats(void)
{
	struct hr_stats ep1, ep2;
	uint64_t lat = 0;

	rig_ep_stats(1, &ep1);
	rig_ep_stats(2, &ep2);
	for (int i = 0; i <= HR_LAT_BUCKETS; i++)
		lat += ep1.lat[i];
	if (ep1.requests && ep2.requests && lat == ep1.requests && ep1.status[5] == 4 &&
	    ep1.tx_bytes > 20 * 1000 * 1000 && ep1.rx_bytes > 9 * 1000 * 1000)
		return 0;
	fprintf(stderr,
		"    endpoint 1: %llu requests, %llu durations, %llu 5xx, tx %llu, rx %llu\n",
		(unsigned long long)ep1.requests, (unsigned long long)lat,
		(unsigned long long)ep1.status[5], (unsigned long long)ep1.tx_bytes,
		(unsigned long long)ep1.rx_bytes);
	return 1;
}

/* With captured servers all this went the short way, or it has proved nothing. */
static int check_pairs(void)
{
	uint64_t n[HR_PAIR_COUNTS];

	for (int i = 0; i < HR_PAIR_COUNTS; i++)
		n[i] = rig_pairs(i);
	printf("pairs %llu, redirected: %llu requests, %llu answers, %llu bytes; %llu spills\n",
	       (unsigned long long)n[HR_PAIR_MADE], (unsigned long long)n[HR_PAIR_REQUESTS],
	       (unsigned long long)n[HR_PAIR_ANSWERS], (unsigned long long)n[HR_PAIR_BYTES],
	       (unsigned long long)n[HR_PAIR_SPILLED]);
	return rig_near !=
	       (n[HR_PAIR_MADE] > 50 && n[HR_PAIR_REQUESTS] > 1000 && n[HR_PAIR_ANSWERS] > 1000);
}

int main(int argc, char **argv)
{
	int failed = 0, n = 0;

	setlinebuf(stdout);
	signal(SIGPIPE, SIG_IGN);
	if (argc > 1 && !strcmp(argv[1], "--near")) {
		rig_near = true;
		argv++;
		argc--;
	}
	if (rig_start())
		return 1;
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		if (argc > 1 && strcmp(argv[1], tests[i].name))
			continue;
		failed += run(&tests[i]);
		n++;
	}
	for (size_t i = 0; rig_near && i < sizeof(near_tests) / sizeof(near_tests[0]); i++) {
		if (argc > 1 && strcmp(argv[1], near_tests[i].name))
			continue;
		failed += run(&near_tests[i]);
		n++;
	}
	if (argc == 1)
		failed += check_stats() + check_pairs();
	rig_stop();
	printf("%d passed, %d failed\n", n - failed, failed);
	return failed || !n;
}
