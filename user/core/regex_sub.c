// SPDX-License-Identifier: Apache-2.0
/*
 * Replacing what a pattern matches, with groups: the NFA is simulated with its threads in order of
 * preference, and each carries the places where its groups began and ended.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "core/regex_int.h"

#define SLOTS_MAX 20 /* \0 to \9 */
#define NOWHERE UINT16_MAX

struct piece { /* of the rewrite: literal text, then a group */
	const char *text;
	size_t len;
	int group; /* -1: none */
};

struct hr_regex_sub {
	struct hr_regex *re;
	struct piece *pieces;
	size_t n_pieces;
	unsigned slots; /* that the rewrite asks for */
};

/* ---- compiling ---- */

static int parse_rewrite(struct hr_arena *a, const char *text, uint16_t groups,
			 struct hr_regex_sub *s, struct hr_regex_error *err)
{
	const char *begin = text;

	s->pieces = hr_arena_array(a, struct piece, strlen(text) + 1);
	s->slots = 2;
	while (*text) {
		struct piece *p = &s->pieces[s->n_pieces++];

		p->text = text;
		p->len = strcspn(text, "\\");
		p->group = -1;
		text += p->len;
		if (!*text)
			break;
		if (text[1] == '\\') {
			p->len++; /* one of the two is text */
		} else if (isdigit((unsigned char)text[1]) && text[1] - '0' <= groups) {
			p->group = text[1] - '0';
			s->slots = HR_MAX(s->slots, 2 * (unsigned)p->group + 2);
		} else {
			*err = (struct hr_regex_error){
				isdigit((unsigned char)text[1])
					? "refers to a group that the pattern does not have"
					: "a backslash that is not followed by a digit or another",
				(size_t)(text - begin)};
			return -EINVAL;
		}
		text += 2;
	}
	return 0;
}

int hr_regex_sub_new(struct hr_arena *a, const char *pattern, const char *rewrite,
		     struct hr_regex_sub **out, struct hr_regex_error *err, bool *of_rewrite)
{
	struct hr_regex_sub *s = hr_arena_new0(a, struct hr_regex_sub);
	uint16_t groups;
	int r = rx_compile(a, pattern, &groups, &s->re, err);

	*of_rewrite = !r;
	if (!r)
		r = parse_rewrite(a, hr_arena_strdup(a, rewrite), groups, s, err);
	if (!r)
		*out = s;
	return r;
}

/* ---- matching ---- */

struct threads {
	uint16_t n;
	uint16_t *pc;
	uint16_t *caps; /* `slots` of each */
	uint64_t seen[RX_WORDS];
};

struct todo { /* of following: go to pc, or put back what a slot held */
	uint16_t pc, slot, was;
};

struct search {
	const struct hr_regex *re;
	const char *text;
	size_t n;
	unsigned slots;
	struct threads lists[2];
	struct todo *todo;
	uint16_t best[SLOTS_MAX];
	uint64_t steps;
};

static void clear(struct threads *t)
{
	t->n = 0;
	memset(t->seen, 0, sizeof(t->seen));
}

/* Adds pc and all behind it at byte i, in order of preference. `caps` comes back as it was. */
static void follow(struct search *s, struct threads *t, uint16_t pc, size_t i, uint16_t *caps)
{
	unsigned holds = rx_holds_at(s->text, s->n, i), n = 0;

	s->todo[n++] = (struct todo){.pc = pc, .slot = NOWHERE};
	while (n) {
		struct todo now = s->todo[--n];
		const struct rx_inst *in = &s->re->inst[now.pc];

		if (now.slot != NOWHERE) {
			caps[now.slot] = now.was;
			continue;
		}
		if (t->seen[now.pc / 64] >> now.pc % 64 & 1)
			continue;
		t->seen[now.pc / 64] |= 1ULL << now.pc % 64;
		s->steps++;
		if (in->op == RX_OP_SPLIT) {
			s->todo[n++] = (struct todo){.pc = in->y, .slot = NOWHERE};
			s->todo[n++] = (struct todo){.pc = in->x, .slot = NOWHERE};
		} else if (in->op == RX_OP_SAVE) {
			if (in->set < s->slots) {
				s->todo[n++] = (struct todo){.slot = in->set, .was = caps[in->set]};
				caps[in->set] = (uint16_t)i;
			}
			s->todo[n++] = (struct todo){.pc = in->x, .slot = NOWHERE};
		} else if (in->op == RX_OP_ASSERT) {
			if (in->assertion & holds)
				s->todo[n++] = (struct todo){.pc = in->x, .slot = NOWHERE};
		} else {
			memcpy(&t->caps[t->n * s->slots], caps, s->slots * sizeof(*caps));
			t->pc[t->n++] = now.pc;
		}
	}
}

/* One byte on. True: a match ends here; threads less preferred than its are dropped. */
static bool step(struct search *s, const struct threads *now, struct threads *then, size_t i)
{
	for (uint16_t k = 0; k < now->n; k++) {
		const struct rx_inst *in = &s->re->inst[now->pc[k]];
		uint16_t *caps = &now->caps[k * s->slots];

		if (in->op == RX_OP_MATCH) {
			memcpy(s->best, caps, s->slots * sizeof(*caps));
			s->best[1] = (uint16_t)i;
			return true;
		}
		if (i < s->n && rx_set_has(&s->re->sets[in->set], (uint8_t)s->text[i]))
			follow(s, then, in->x, i + 1, caps);
	}
	return false;
}

/* The leftmost match from byte `from` on, into s->best. */
static bool find(struct search *s, size_t from)
{
	struct threads *now = &s->lists[0], *then = &s->lists[1], *was;
	bool found = false;

	clear(now);
	for (size_t i = from; s->steps <= HR_REGEX_SUB_STEPS; i++) {
		uint16_t caps[SLOTS_MAX];

		if (!found) {
			memset(caps, 0xff, sizeof(caps));
			caps[0] = (uint16_t)i;
			follow(s, now, s->re->start, i, caps);
		}
		if (found && !now->n)
			break;
		clear(then);
		found |= step(s, now, then, i);
		s->steps += now->n;
		if (i == s->n)
			break;
		was = now;
		now = then;
		then = was;
	}
	return found;
}

static void rewrite(const struct hr_regex_sub *sub, const struct search *s, struct hr_strbuf *out)
{
	for (size_t i = 0; i < sub->n_pieces; i++) {
		const struct piece *p = &sub->pieces[i];
		const uint16_t *span = p->group < 0 ? NULL : &s->best[2 * p->group];

		hr_sb_addn(out, p->text, p->len);
		if (span && span[0] != NOWHERE && span[1] != NOWHERE)
			hr_sb_addn(out, s->text + span[0], span[1] - span[0]);
	}
}

static int replace(const struct hr_regex_sub *sub, struct search *s, size_t max,
		   struct hr_strbuf *out)
{
	size_t at = 0, last = SIZE_MAX, begin = out->len;

	while (at <= s->n && find(s, at)) {
		hr_sb_addn(out, s->text + at, s->best[0] - at);
		if (s->best[0] == s->best[1] && s->best[0] == last) {
			/* no empty match where the one before ended */
			at = s->best[0];
			if (at < s->n)
				hr_sb_addc(out, s->text[at]);
			at++;
			continue;
		}
		rewrite(sub, s, out);
		at = last = s->best[1];
		if (out->len - begin > max)
			return -E2BIG;
	}
	if (s->steps > HR_REGEX_SUB_STEPS)
		return -E2BIG;
	if (at < s->n)
		hr_sb_addn(out, s->text + at, s->n - at);
	return out->len - begin > max ? -E2BIG : 0;
}

int hr_regex_sub(const struct hr_regex_sub *sub, const char *text, size_t n, size_t max,
		 struct hr_strbuf *out)
{
	struct search s = {.re = sub->re, .text = text, .n = n, .slots = sub->slots};
	size_t insts = sub->re->n, begin = out->len;
	_cleanup_free_ uint16_t *room =
		malloc(2 * insts * (s.slots + 1) * sizeof(*room) + 3 * insts * sizeof(*s.todo));
	int r = -E2BIG;

	if (!room)
		abort();
	if (n >= NOWHERE)
		return -E2BIG;
	for (unsigned i = 0; i < 2; i++) {
		s.lists[i].pc = room + i * insts * (s.slots + 1);
		s.lists[i].caps = s.lists[i].pc + insts;
	}
	s.todo = (struct todo *)(room + 2 * insts * (s.slots + 1));
	r = replace(sub, &s, max, out);
	if (r) {
		out->len = begin;
		if (out->data)
			out->data[begin] = 0;
	}
	return r;
}
