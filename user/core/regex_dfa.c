// SPDX-License-Identifier: Apache-2.0
/*
 * NFA -> DFA by subsets, whole and before it is used, so that nobody writes while others match. A
 * pattern whose DFA would be large, or whose assertions look at neighbours, has none.
 */
#include <string.h>

#include "core/cleanup.h"
#include "core/map.h"
#include "core/regex_int.h"

struct dfa {
	struct hr_regex *re;
	struct hr_arena *temp;
	struct hr_map *by_set; /* struct rx_threads.seen of the set -> state */
	struct rx_threads *sets[HR_REGEX_STATES_MAX];
	unsigned n, work;
	uint8_t sample[256]; /* a byte of each class */
};

/* Bytes that no set tells apart are one class. */
static void find_classes(struct dfa *d)
{
	struct hr_regex *re = d->re;

	re->n_classes = 1;
	for (unsigned b = 1; b < 256; b++) {
		bool differs = false;

		for (uint16_t i = 0; i < re->n_sets && !differs; i++)
			differs = rx_set_has(&re->sets[i], (uint8_t)b) !=
				  rx_set_has(&re->sets[i], (uint8_t)(b - 1));
		if (differs)
			d->sample[re->n_classes++] = (uint8_t)b;
		re->class_of[b] = (uint8_t)(re->n_classes - 1);
	}
}

/* State of a set, made when it is new; -1: too many. */
static int state_of(struct dfa *d, const struct rx_threads *t)
{
	size_t size = (d->re->n + 63) / 64 * sizeof(*t->seen);
	uintptr_t known;

	if (!t->n)
		return 0;
	known = (uintptr_t)hr_map_get(d->by_set, t->seen, size);
	if (known)
		return (int)known;
	if (d->n == HR_REGEX_STATES_MAX)
		return -1;
	d->sets[d->n] = hr_arena_new0(d->temp, struct rx_threads);
	memcpy(d->sets[d->n], t, sizeof(*t));
	hr_map_put(d->by_set, t->seen, size, (void *)(uintptr_t)d->n);
	return (int)d->n++;
}

static int step(struct dfa *d, const struct rx_threads *from, uint8_t byte)
{
	struct rx_threads to;

	rx_threads_clear(&to);
	for (uint16_t i = 0; i < from->n; i++) {
		const struct rx_inst *in = &d->re->inst[from->pc[i]];

		d->work++;
		if (in->op == RX_OP_SET && rx_set_has(&d->re->sets[in->set], byte))
			d->work += rx_follow(d->re, &to, in->x, 0);
	}
	return state_of(d, &to);
}

/* Does the set match when the text ends here? */
static bool accepts(struct dfa *d, const struct rx_threads *t, unsigned holds)
{
	struct rx_threads end;

	rx_threads_clear(&end);
	for (uint16_t i = 0; i < t->n; i++)
		d->work += rx_follow(d->re, &end, t->pc[i], RX_END | holds);
	return rx_matched(d->re, &end);
}

static bool explore(struct dfa *d, uint16_t *next, bool *accept)
{
	for (unsigned s = 1; s < d->n; s++) {
		accept[s] = accepts(d, d->sets[s], s == 1 ? RX_BEGIN : 0);
		for (unsigned c = 0; c < d->re->n_classes; c++) {
			int to = step(d, d->sets[s], d->sample[c]);

			if (to < 0 || d->work > HR_REGEX_DFA_STEPS)
				return false;
			next[s * d->re->n_classes + c] = (uint16_t)to;
		}
	}
	return true;
}

void rx_build_dfa(struct hr_arena *a, struct hr_regex *re)
{
	_cleanup_arena_ struct hr_arena *temp = hr_arena_new();
	_cleanup_map_ struct hr_map *by_set = hr_map_new();
	struct dfa d = {.re = re, .temp = temp, .by_set = by_set, .n = 1};
	struct rx_threads start;
	uint16_t *next;
	bool *accept;

	if (re->looks_around)
		return;
	find_classes(&d);
	next = hr_arena_array(temp, uint16_t, HR_REGEX_STATES_MAX * re->n_classes);
	accept = hr_arena_array(temp, bool, HR_REGEX_STATES_MAX);
	rx_threads_clear(&start);
	rx_follow(re, &start, re->start, RX_BEGIN);
	/* by itself: assertions hold before the first byte that do not in an equal set later */
	d.sets[d.n++] = &start;
	if (!explore(&d, next, accept))
		return;
	re->next = hr_arena_array(a, uint16_t, d.n * re->n_classes);
	memcpy(re->next, next, d.n * re->n_classes * sizeof(*next));
	re->accept = hr_arena_array(a, bool, d.n);
	memcpy(re->accept, accept, d.n * sizeof(*accept));
	re->n_states = (uint16_t)d.n;
}
