/* SPDX-License-Identifier: Apache-2.0 */
/* Intrusive doubly linked list; a head points to itself when empty. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct hr_list {
	struct hr_list *next, *prev;
};

static inline void hr_list_init(struct hr_list *l)
{
	l->next = l->prev = l;
}

static inline bool hr_list_empty(const struct hr_list *l)
{
	return l->next == l;
}

static inline void hr_list_add_tail(struct hr_list *head, struct hr_list *n)
{
	n->prev = head->prev;
	n->next = head;
	head->prev->next = n;
	head->prev = n;
}

static inline void hr_list_add_head(struct hr_list *head, struct hr_list *n)
{
	hr_list_add_tail(head->next, n);
}

/* Leaves n empty: deleting twice is harmless. */
static inline void hr_list_del(struct hr_list *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	hr_list_init(n);
}

#define hr_list_entry(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
/* Safe against deletion of the current node. */
#define hr_list_for_each(pos, head)                                                 \
	for (struct hr_list *pos = (head)->next, *_next = pos->next; pos != (head); \
	     pos = _next, _next = pos->next)
