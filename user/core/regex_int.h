/* SPDX-License-Identifier: Apache-2.0 */
/* What the steps of the regex engine hand to each other: tree, program, automaton. */
#pragma once

#include <stdint.h>

#include "core/regex.h"
#include "headrace/limits.h"

#define RX_WORDS (HR_REGEX_INSTS_MAX / 64)
#define RX_INF UINT16_MAX

struct rx_set { /* of bytes */
	uint64_t w[4];
};
static inline bool rx_set_has(const struct rx_set *s, uint8_t b)
{
	return s->w[b / 64] >> b % 64 & 1;
}

enum { /* assertions: what must hold between two bytes */
       RX_BEGIN = 1 << 0,
       RX_END = 1 << 1,
       RX_LINE_BEGIN = 1 << 2,
       RX_LINE_END = 1 << 3,
       RX_WORD = 1 << 4,
       RX_NOT_WORD = 1 << 5,
};

enum rx_type { RX_EMPTY, RX_SET, RX_ASSERT, RX_CAT, RX_ALT, RX_REPEAT, RX_CAPTURE };

struct rx_node {
	enum rx_type type;
	struct rx_node *a, *b;
	struct rx_set set;
	uint16_t min, max; /* REPEAT; max RX_INF: without bound */
	uint32_t copies;   /* of the innermost node when all repetitions are written out */
	uint16_t group;	   /* CAPTURE: from 1 */
	bool lazy;	   /* REPEAT: as few as possible first */
	uint8_t assertion;
};

enum { RX_FLAG_I = 1, RX_FLAG_M = 2, RX_FLAG_S = 4, RX_FLAG_U = 8 };
struct rx_parser {
	struct hr_arena *a;
	const char *begin, *p;
	unsigned flags, depth;
	uint16_t groups; /* capturing ones so far */
	bool quoting;	 /* after \Q */
	struct hr_regex_error err;
};
/* Keeps the first error; NULL. */
void *rx_fail(struct rx_parser *x, const char *at, const char *why);

/* ---- sets (regex_class.c) ---- */
void rx_add_range(struct rx_set *s, unsigned lo, unsigned hi);
void rx_negate(struct rx_set *s);
void rx_fold(struct rx_set *s); /* both cases of a letter */
/* \d \w \s and their opposites; false: another letter. */
bool rx_perl_class(char c, struct rx_set *s);
/* The byte that an escape stands for; p is after the backslash. -1: an error. */
int rx_escaped_byte(struct rx_parser *x, const char *at);
/* [...] at p. false: an error. */
bool rx_class(struct rx_parser *x, struct rx_set *out);

/* Tree of a pattern, in the arena, and how many groups capture. NULL: *err. */
struct rx_node *rx_parse(struct hr_arena *a, const char *pattern, uint16_t *groups,
			 struct hr_regex_error *err);

/* SAVE only in programs that capture. The x of a SPLIT is preferred to its y. */
enum rx_op { RX_OP_MATCH, RX_OP_SET, RX_OP_ASSERT, RX_OP_SPLIT, RX_OP_SAVE };
struct rx_inst {
	uint8_t op, assertion;
	uint16_t x, y; /* next, and the other next of SPLIT */
	uint16_t set;  /* index; of SAVE: the slot, 2 * group or 2 * group + 1 */
};

struct hr_regex {
	struct rx_inst *inst;
	uint16_t n, start;
	uint16_t n_sets;
	struct rx_set *sets;
	bool looks_around; /* has an assertion that depends on a neighbour */
	/* DFA: state 0 is dead, 1 the start; next[state * n_classes + class] */
	uint16_t n_states, n_classes;
	uint8_t class_of[256];
	uint16_t *next;
	bool *accept;
};

/* Instructions reached without a byte, as a set in the order of discovery. */
struct rx_threads {
	uint16_t pc[HR_REGEX_INSTS_MAX];
	uint16_t n;
	uint64_t seen[RX_WORDS];
};
void rx_threads_clear(struct rx_threads *t);
/* Adds pc and all behind it; `holds`: the assertions that hold here. Assertions that do not hold
 * stay in the set as themselves. Gives the instructions looked at. */
unsigned rx_follow(const struct hr_regex *re, struct rx_threads *t, uint16_t pc, unsigned holds);
bool rx_matched(const struct hr_regex *re, const struct rx_threads *t);

/* Program of a pattern, in the arena, without DFA; `groups` NULL: nothing is captured. */
int rx_compile(struct hr_arena *a, const char *pattern, uint16_t *groups, struct hr_regex **out,
	       struct hr_regex_error *err);
/* Assertions that hold before byte i. */
unsigned rx_holds_at(const char *text, size_t n, size_t i);

/* hr_regex_full without the DFA. */
bool rx_simulate(const struct hr_regex *re, const char *text, size_t n);

/* Fills the DFA when it fits the limits. */
void rx_build_dfa(struct hr_arena *a, struct hr_regex *re);
