// SPDX-License-Identifier: Apache-2.0
/*
 * headrace canary run: the canary's weight in steps, each judged by what the canary did in it.
 *
 *	set weights -> look every LOOK_MS -> breach: roll back, exit 1
 *	     ^                            -> enough seen, time over: next step; after the last exit
 *0
 *	     +------- an agent that came back has its counters at 0: the step begins again
 *
 * What happens outside is met, not fought: weights that somebody else changed end the run.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/canary/canary.h"
#include "cli/canary/judge.h"
#include "cli/verbs.h"
#include "control/control.h"

#define LOOK_MS 500
#define STEPS_MAX 100
#define AGENT_GONE_MS 60000 /* so long an agent may be away */

struct run {
	const struct hr_args *a;
	struct hr_judge judge;
	int64_t every_ms, give_up_ms; /* give_up < 0: never */
	unsigned steps[STEPS_MAX];
	size_t n_steps;
	char *stable, *canary; /* names of the sides */
	unsigned step;	       /* weight of the canary now */
	json_t *status;	       /* the last look */
	json_t *before;	       /* the canary's counters at the beginning of the step */
	int64_t agent_pid;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
	interrupted = sig;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- options ------------------------------------------------------------------------------- */

static int read_steps(struct run *r)
{
	_cleanup_free_ char *copy = strdup(hr_arg_str(r->a, "steps", "5,25,50,100"));
	char *save = NULL;

	for (char *w = strtok_r(copy, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
		uint64_t n;

		if (hr_parse_u64(w, 100, &n) < 0 || !n || r->n_steps == STEPS_MAX ||
		    (r->n_steps && n <= r->steps[r->n_steps - 1]))
			return hr_fail(r->a, HR_EXIT_USAGE,
				       "--steps: \"%s\": growing numbers from 1 to 100 are needed",
				       w);
		r->steps[r->n_steps++] = (unsigned)n;
	}
	return r->n_steps ? 0 : hr_fail(r->a, HR_EXIT_USAGE, "--steps: no step");
}

static int read_percent(struct run *r)
{
	const char *text = hr_arg_str(r->a, "max-error", "1%");
	char *end;
	double percent = strtod(text, &end);

	if (end == text || (*end && strcmp(end, "%") != 0) || !(percent >= 0 && percent <= 100))
		return hr_fail(r->a, HR_EXIT_USAGE, "--max-error: \"%s\": 0%% to 100%% is needed",
			       text);
	r->judge.max_error = percent / 100;
	return 0;
}

static int read_options(struct run *r)
{
	int64_t p99 = -1;
	int e = read_steps(r);

	r->judge.min_requests = (double)hr_arg_uint(r->a, "min-requests", 100);
	if (!e)
		e = read_percent(r);
	if (!e)
		e = hr_split_duration(r->a, "every", 30000, &r->every_ms);
	if (!e)
		e = hr_split_duration(r->a, "give-up", -1, &r->give_up_ms);
	if (!e)
		e = hr_split_duration(r->a, "max-p99", -1, &p99);
	if (e)
		return e;
	if (r->judge.min_requests < 1)
		return hr_fail(r->a, HR_EXIT_USAGE, "--min-requests: 1 or more");
	r->judge.max_p99_ms = p99 < 0 ? -1 : hr_judge_bound((double)p99);
	if (p99 >= 0 && r->judge.max_p99_ms < 0)
		return hr_fail(r->a, HR_EXIT_USAGE, "--max-p99: more than an hour");
	if (r->judge.max_p99_ms != (double)p99)
		fprintf(stderr,
			"headrace %s: latencies are counted in buckets: --max-p99 is judged at %g "
			"ms\n",
			r->a->cmd->name, r->judge.max_p99_ms);
	return 0;
}

/* ---- saying -------------------------------------------------------------------------------- */

/* A line of text, or an object a line. */
static void say(const struct run *r, const char *event, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void say(const struct run *r, const char *event, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		abort();
	va_end(ap);
	if (r->a->json) {
		json_t *j = json_pack("{s:s,s:s,s:i}", "event", event, "message", text, "canary",
				      (int)r->step);

		json_dumpf(j, stdout, JSON_COMPACT);
		json_decref(j);
		fputc('\n', stdout);
	} else {
		printf("%s\n", text);
	}
	fflush(stdout);
}

/* ---- the agent ----------------------------------------------------------------------------- */

/* As hr_ask, and an agent that is away for a while is waited for. */
static int ask(struct run *r, const char *op, json_t *req, json_t **result)
{
	int64_t until = now_ms() + AGENT_GONE_MS;
	bool said = false;
	int e;

	for (;;) {
		_cleanup_sb_ struct hr_strbuf err = {};

		e = hr_control_call(r->a->socket, op, json_incref(req), 30000, result, &err);
		if (e == 0 || e == -EBADE || interrupted || now_ms() > until) {
			if (e && !interrupted)
				hr_fail(r->a, 0, "%s", hr_sb_str(&err));
			break;
		}
		if (!said)
			fprintf(stderr, "headrace %s: %s; waiting for an agent\n", r->a->cmd->name,
				hr_sb_str(&err));
		said = true;
		poll(NULL, 0, LOOK_MS);
	}
	json_decref(req);
	return !e ? 0 : e == -EBADE ? HR_EXIT_REFUSED : HR_EXIT_UNREACHABLE;
}

static int look(struct run *r)
{
	json_t *status = NULL;
	int e = ask(r, "canaryStatus", hr_split_request(r->a), &status);

	if (e)
		return e;
	json_decref(r->status);
	r->status = status;
	return 0;
}

static int set_step(struct run *r, unsigned percent)
{
	_cleanup_json_ json_t *result = NULL;
	json_t *req = hr_split_request(r->a);
	int e;

	json_object_set_new(
		req, "weights",
		json_pack("{s:i,s:i}", r->stable, 100 - (int)percent, r->canary, (int)percent));
	e = ask(r, "updateTrafficWeights", req, &result);
	if (!e)
		r->step = percent;
	return e;
}

static int roll_back(struct run *r, const char *why)
{
	_cleanup_json_ json_t *result = NULL;
	int e = ask(r, "rollbackCanary", hr_split_request(r->a), &result);
	unsigned at = r->step;

	if (e)
		return hr_fail(r->a, e, "%s at %u %%, and the rollback failed: %s KEEPS %u %%", why,
			       at, r->canary, at);
	r->step = 0;
	say(r, "rollback", "rolled back from %u %%: %s: %s; %s has all of the weight again", at,
	    r->canary, why, r->stable);
	return HR_EXIT_REFUSED;
}

/* ---- one step ------------------------------------------------------------------------------ */

static void begin_window(struct run *r)
{
	json_decref(r->before);
	r->before = json_deep_copy(json_object_get(hr_split_side(r->status, 1), "counters"));
	r->agent_pid = hr_jint(r->status, "pid");
}

static bool weights_are_ours(const struct run *r)
{
	return hr_jint(hr_split_side(r->status, 0), "weight") == 100 - (int)r->step &&
	       hr_jint(hr_split_side(r->status, 1), "weight") == (int)r->step;
}

static void report(const struct run *r, const struct hr_delta *d, const char *event,
		   const char *what)
{
	char p99[32];

	hr_quantile_text(hr_delta_quantile(d, 0.99), p99, sizeof(p99));
	say(r, event, "%s %u %%: %s: %.0f requests, %.2f %% failed, p99 %s", r->canary, r->step,
	    what, d->requests, d->requests > 0 ? 100 * (d->requests - d->good) / d->requests : 0.0,
	    p99);
}

/* -1: go on looking; else the exit code of the run, or 0 for the next step. */
static int judge_now(struct run *r, int64_t waited, int64_t *reminded)
{
	const json_t *side = hr_split_side(r->status, 1);
	struct hr_delta d = hr_delta(r->before, json_object_get(side, "counters"));
	_cleanup_sb_ struct hr_strbuf why = {};
	bool over = waited >= r->every_ms;

	if (!hr_jint(side, "healthy"))
		return roll_back(r, "no endpoint of it is healthy");
	switch (hr_judge(&r->judge, &d, over, &why)) {
	case HR_JUDGE_BREACH:
		return roll_back(r, why.data);
	case HR_JUDGE_PASS:
		report(r, &d, "passed", "passed");
		return 0;
	case HR_JUDGE_WAIT:
		break;
	}
	if (!over)
		return -1;
	if (r->give_up_ms >= 0 && waited >= r->give_up_ms)
		return roll_back(r, "too few requests to judge it");
	if (waited - *reminded >= HR_MAX(r->every_ms, 10000)) {
		*reminded = waited;
		report(r, &d, "waiting", "too few requests, waiting");
	}
	return -1;
}

static int watch_step(struct run *r)
{
	int64_t start = now_ms(), reminded = r->every_ms - HR_MAX(r->every_ms, 10000);
	int e = -1;

	begin_window(r);
	while (e < 0) {
		poll(NULL, 0, (int)HR_MIN(LOOK_MS, HR_MAX(r->every_ms, 10)));
		if (interrupted)
			return 0;
		e = look(r);
		if (e)
			return interrupted ? 0 : e;
		if (!weights_are_ours(r))
			return hr_fail(r->a, HR_EXIT_REFUSED,
				       "somebody else changed the weights: they stay as they are");
		if (hr_jint(r->status, "pid") != r->agent_pid) {
			say(r, "restarted", "the agent was restarted: this step begins again");
			start = now_ms();
			begin_window(r);
		}
		e = judge_now(r, now_ms() - start, &reminded);
	}
	return e;
}

/* ---- all of them --------------------------------------------------------------------------- */

static int begin(struct run *r)
{
	size_t n;
	int e = look(r);

	if (e)
		return e;
	n = json_array_size(json_object_get(r->status, "sides"));
	if (n != 2)
		return hr_fail(r->a, HR_EXIT_REFUSED,
			       "%zu sides: a run is between a stable one and a canary", n);
	r->stable = strdup(hr_jstr(hr_split_side(r->status, 0), "name", ""));
	r->canary = strdup(hr_jstr(hr_split_side(r->status, 1), "name", ""));
	r->step = (unsigned)hr_jint(hr_split_side(r->status, 1), "weight");
	return 0;
}

static int all_steps(struct run *r)
{
	int e = begin(r);

	for (size_t i = 0; i < r->n_steps && !e && !interrupted; i++) {
		e = set_step(r, r->steps[i]);
		if (!e)
			say(r, "step", "%s %u %%, %s %u %%: watched for %g s", r->canary, r->step,
			    r->stable, 100 - r->step, (double)r->every_ms / 1000);
		/* the counters of this moment, under the new weights */
		if (!e)
			e = look(r);
		if (!e)
			e = watch_step(r);
	}
	if (!e && !interrupted)
		say(r, "done", "%s has %u %%: done", r->canary, r->step);
	return e;
}

static void catch (int sig, void (*fn)(int))
{
	const struct sigaction sa = {.sa_handler = fn}; /* no SA_RESTART: a wait ends */

	sigaction(sig, &sa, NULL);
}

/* As if we had not caught it: the shell learns why we ended. */
static void leave(const struct run *r)
{
	int sig = interrupted;

	fprintf(stderr,
		"headrace %s: interrupted: %s stays at %u %%; `headrace canary rollback %s` takes "
		"it back\n",
		r->a->cmd->name, r->canary ? r->canary : "the canary", r->step, r->a->pos[0]);
	catch (sig, SIG_DFL);
	raise(sig);
}

int hr_verb_canary_run(const struct hr_args *a)
{
	struct run r = {.a = a};
	int e = read_options(&r);

	if (e)
		return e;
	catch (SIGINT, on_signal);
	catch (SIGTERM, on_signal);
	e = all_steps(&r);
	if (interrupted)
		leave(&r);
	json_decref(r.status);
	json_decref(r.before);
	free(r.stable);
	free(r.canary);
	return e;
}
