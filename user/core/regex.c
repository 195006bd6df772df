// SPDX-License-Identifier: Apache-2.0
/* Tree -> program of an NFA, and matching with either automaton. */
#include "core/regex.h"

#include <errno.h>
#include <string.h>

#include "core/cleanup.h"
#include "core/regex_int.h"

/* ---- program: each node is written with what follows it already known ---- */

struct emitter {
	struct hr_arena *a;
	struct hr_regex *re;
	bool full;
	bool captures;
};

static uint16_t put(struct emitter *w, struct rx_inst i)
{
	if (w->re->n == HR_REGEX_INSTS_MAX) {
		w->full = true;
		return 0;
	}
	w->re->inst[w->re->n] = i;
	return w->re->n++;
}

static uint16_t set_index(struct emitter *w, const struct rx_set *s)
{
	struct hr_regex *re = w->re;
	uint16_t i = 0;

	while (i < re->n_sets && memcmp(&re->sets[i], s, sizeof(*s)))
		i++;
	if (i == re->n_sets)
		re->sets[re->n_sets++] = *s;
	return i;
}

static uint16_t emit(struct emitter *w, const struct rx_node *n, uint16_t next);

/* Once more, or on: the preferred way first. */
static struct rx_inst choice(const struct rx_node *n, uint16_t more, uint16_t on)
{
	return (struct rx_inst){
		.op = RX_OP_SPLIT, .x = n->lazy ? on : more, .y = n->lazy ? more : on};
}

static uint16_t emit_capture(struct emitter *w, const struct rx_node *n, uint16_t next)
{
	struct rx_inst save = {.op = RX_OP_SAVE, .x = next, .set = (uint16_t)(2 * n->group + 1)};

	if (!w->captures)
		return emit(w, n->a, next);
	save.x = emit(w, n->a, put(w, save));
	save.set--;
	return put(w, save);
}

static uint16_t emit_repeat(struct emitter *w, const struct rx_node *n, uint16_t next)
{
	unsigned copies = n->min;
	uint16_t pc = next;

	if (n->max == RX_INF) {
		uint16_t loop = put(w, (struct rx_inst){.op = RX_OP_SPLIT});
		uint16_t body = emit(w, n->a, loop);

		w->re->inst[loop] = choice(n, body, next);
		pc = copies ? body : loop;
		copies -= copies > 0;
	} else {
		for (unsigned i = n->min; i < n->max && !w->full; i++)
			pc = put(w, choice(n, emit(w, n->a, pc), next));
	}
	while (copies-- && !w->full)
		pc = emit(w, n->a, pc);
	return pc;
}

static uint16_t emit(struct emitter *w, const struct rx_node *n, uint16_t next)
{
	uint16_t a, b;

	if (w->full)
		return 0;
	switch (n->type) {
	case RX_SET:
		return put(w, (struct rx_inst){
				      .op = RX_OP_SET, .x = next, .set = set_index(w, &n->set)});
	case RX_ASSERT:
		if (n->assertion & ~(RX_BEGIN | RX_END))
			w->re->looks_around = true;
		return put(w, (struct rx_inst){
				      .op = RX_OP_ASSERT, .x = next, .assertion = n->assertion});
	case RX_CAT:
		return emit(w, n->a, emit(w, n->b, next));
	case RX_ALT:
		a = emit(w, n->a, next);
		b = emit(w, n->b, next);
		return put(w, (struct rx_inst){.op = RX_OP_SPLIT, .x = a, .y = b});
	case RX_REPEAT:
		return emit_repeat(w, n, next);
	case RX_CAPTURE:
		return emit_capture(w, n, next);
	default:
		return next;
	}
}

int rx_compile(struct hr_arena *arena, const char *pattern, uint16_t *groups, struct hr_regex **out,
	       struct hr_regex_error *err)
{
	_cleanup_arena_ struct hr_arena *temp = hr_arena_new();
	struct hr_regex draft = {}, *re;
	struct emitter w = {temp, &draft, false, groups};
	struct rx_node *tree;
	uint16_t captured;

	if (strlen(pattern) > HR_REGEX_MAX) {
		*err = (struct hr_regex_error){"longer than 1024 bytes", HR_REGEX_MAX};
		return -E2BIG;
	}
	tree = rx_parse(temp, pattern, &captured, err);
	if (!tree)
		return -EINVAL;
	draft.inst = hr_arena_array(temp, struct rx_inst, HR_REGEX_INSTS_MAX);
	draft.sets = hr_arena_array(temp, struct rx_set, HR_REGEX_MAX + 1);
	put(&w, (struct rx_inst){.op = RX_OP_MATCH});
	draft.start = emit(&w, tree, 0);
	if (w.full) {
		*err = (struct hr_regex_error){"too large once its repetitions are written out", 0};
		return -E2BIG;
	}
	re = hr_arena_new0(arena, struct hr_regex);
	*re = draft;
	re->inst = hr_arena_array(arena, struct rx_inst, re->n);
	memcpy(re->inst, draft.inst, re->n * sizeof(*re->inst));
	re->sets = hr_arena_array(arena, struct rx_set, re->n_sets + 1);
	memcpy(re->sets, draft.sets, re->n_sets * sizeof(*re->sets));
	if (groups)
		*groups = captured;
	*out = re;
	return 0;
}

int hr_regex_new(struct hr_arena *arena, const char *pattern, struct hr_regex **out,
		 struct hr_regex_error *err)
{
	struct hr_regex *re;
	int r = rx_compile(arena, pattern, NULL, &re, err);

	if (r)
		return r;
	rx_build_dfa(arena, re);
	*out = re;
	return 0;
}

unsigned hr_regex_states(const struct hr_regex *re)
{
	return re->n_states;
}

/* ---- NFA ---- */

void rx_threads_clear(struct rx_threads *t)
{
	t->n = 0;
	memset(t->seen, 0, sizeof(t->seen));
}

unsigned rx_follow(const struct hr_regex *re, struct rx_threads *t, uint16_t pc, unsigned holds)
{
	uint16_t todo[HR_REGEX_INSTS_MAX];
	unsigned n = 0, steps = 0;

	if (t->seen[pc / 64] >> pc % 64 & 1)
		return 0;
	t->seen[pc / 64] |= 1ULL << pc % 64;
	todo[n++] = pc;
	while (n) {
		const struct rx_inst *i = &re->inst[todo[--n]];
		uint16_t to[2] = {i->x, i->y};
		unsigned ways = i->op == RX_OP_SPLIT ? 2 : 0;

		steps++;
		if (i->op == RX_OP_ASSERT && (i->assertion & holds))
			ways = 1;
		else if (!ways)
			t->pc[t->n++] = (uint16_t)(i - re->inst);
		for (unsigned k = 0; k < ways; k++) {
			if (t->seen[to[k] / 64] >> to[k] % 64 & 1)
				continue;
			t->seen[to[k] / 64] |= 1ULL << to[k] % 64;
			todo[n++] = to[k];
		}
	}
	return steps;
}

bool rx_matched(const struct hr_regex *re, const struct rx_threads *t)
{
	for (uint16_t i = 0; i < t->n; i++)
		if (re->inst[t->pc[i]].op == RX_OP_MATCH)
			return true;
	return false;
}

static bool is_word(const char *text, size_t n, size_t i)
{
	uint8_t c = i < n ? (uint8_t)text[i] : 0;

	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       c == '_';
}

unsigned rx_holds_at(const char *text, size_t n, size_t i)
{
	bool edge = is_word(text, n, i) != (i > 0 && is_word(text, n, i - 1));

	return (edge ? RX_WORD : RX_NOT_WORD) | (i ? 0 : RX_BEGIN | RX_LINE_BEGIN) |
	       (i == n ? RX_END | RX_LINE_END : 0) |
	       (i > 0 && text[i - 1] == '\n' ? RX_LINE_BEGIN : 0) |
	       (i < n && text[i] == '\n' ? RX_LINE_END : 0);
}

bool rx_simulate(const struct hr_regex *re, const char *text, size_t n)
{
	struct rx_threads sets[2], *now = &sets[0], *then = &sets[1];

	rx_threads_clear(now);
	rx_follow(re, now, re->start, rx_holds_at(text, n, 0));
	for (size_t i = 0; i < n && now->n; i++) {
		unsigned holds = rx_holds_at(text, n, i + 1);
		struct rx_threads *was = now;

		rx_threads_clear(then);
		for (uint16_t k = 0; k < now->n; k++) {
			const struct rx_inst *in = &re->inst[now->pc[k]];

			if (in->op == RX_OP_SET && rx_set_has(&re->sets[in->set], (uint8_t)text[i]))
				rx_follow(re, then, in->x, holds);
		}
		now = then;
		then = was;
	}
	return rx_matched(re, now);
}

bool hr_regex_full(const struct hr_regex *re, const char *text, size_t n)
{
	unsigned state = 1;

	if (!re->n_states)
		return rx_simulate(re, text, n);
	for (size_t i = 0; i < n && state; i++)
		state = re->next[state * re->n_classes + re->class_of[(uint8_t)text[i]]];
	return re->accept[state];
}
