// SPDX-License-Identifier: Apache-2.0
/* The engine of the schema table: a tree, the rows of its message -> a typed struct. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/cleanup.h"
#include "model/schema.h"

static void say(struct hr_dec *x, enum hr_severity sev, struct hr_pos pos, const char *code,
		const char *fmt, va_list ap)
{
	char text[1024];

	vsnprintf(text, sizeof(text), fmt, ap);
	hr_diag_add(x->diags, sev, pos, code, x->meta, hr_sb_str(&x->path), "%s", text);
}

void hr_dec_say(struct hr_dec *x, enum hr_severity sev, struct hr_pos pos, const char *code,
		const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(x, sev, pos, code, fmt, ap);
	va_end(ap);
}

void hr_dec_say_at(struct hr_dec *x, const char *field, enum hr_severity sev, struct hr_pos pos,
		   const char *code, const char *fmt, ...)
{
	size_t mark = x->path.len;
	va_list ap;

	hr_path_key(&x->path, field);
	va_start(ap, fmt);
	say(x, sev, pos, code, fmt, ap);
	va_end(ap);
	hr_path_cut(&x->path, mark);
}

void hr_dec_missing(struct hr_dec *x, const char *field, const char *why)
{
	if (!hr_streq(x->suggested, field))
		hr_dec_say_at(x, field, HR_SEV_ERROR, x->meta->pos, "missing", "%s",
			      why ? why : "missing required field");
}

void hr_dec_not_built(struct hr_dec *x, struct hr_pos pos, const char *field, const char *why)
{
	if (x->unbuilt)
		return;
	hr_dec_say(x, x->flags & HR_DECODE_UNBUILT ? HR_SEV_WARNING : HR_SEV_ERROR, pos,
		   "not-built", "not built yet: %s%s%s%s", field, why ? " (" : "", why ? why : "",
		   why ? ")" : "");
}

bool hr_dec_is(struct hr_dec *x, const struct hr_ynode *n, enum hr_node_type type)
{
	static const char *const words[] = {
		[HR_NODE_SCALAR] = "a single value",
		[HR_NODE_MAP] = "a mapping (name: value)",
		[HR_NODE_SEQ] = "a list (- item)",
	};

	if (n->type == type)
		return true;
	hr_dec_say(x, HR_SEV_ERROR, n->pos, "bad-value", "expected %s, found %s", words[type],
		   words[n->type]);
	return false;
}

bool hr_dec_is_list(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n)
{
	if (!hr_dec_is(x, n, HR_NODE_SEQ))
		return false;
	if (!f->max || n->count <= (size_t)f->max)
		return true;
	hr_dec_say(x, HR_SEV_ERROR, n->pos, "limit", "%zu items, more than %lld", n->count,
		   (long long)f->max);
	return false;
}

void *hr_dec_list(struct hr_dec *x, size_t n, size_t size)
{
	return n ? hr_arena_alloc(x->arena, n * size) : NULL;
}

static void bad_value(struct hr_dec *x, const struct hr_ynode *n, const char *why)
{
	hr_dec_say(x, HR_SEV_ERROR, n->pos, "bad-value", "%s, found \"%.80s\"", why,
		   n->type == HR_NODE_SCALAR ? n->value : "a collection");
}

const char *hr_dec_string(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n)
{
	static const char *const words[] = {
		[HR_SCALAR_NULL] = "null",
		[HR_SCALAR_BOOL] = "a boolean",
		[HR_SCALAR_INT] = "a number",
		[HR_SCALAR_FLOAT] = "a number",
	};
	enum hr_scalar kind;
	char *s;

	if (!hr_dec_is(x, n, HR_NODE_SCALAR))
		return NULL;
	kind = hr_scalar_kind(n);
	if (kind != HR_SCALAR_STRING && !(f->flags & HR_F_ANY_SCALAR)) {
		hr_dec_say(x, HR_SEV_ERROR, n->pos, "bad-value",
			   "expected a string, found %s; write it in quotes: \"%.80s\"",
			   words[kind], n->value);
		return NULL;
	}
	if (n->len > HR_SCALAR_MAX && !(f->flags & HR_F_LONG)) {
		hr_dec_say(x, HR_SEV_ERROR, n->pos, "limit", "longer than %d bytes", HR_SCALAR_MAX);
		return NULL;
	}
	if (f->check)
		f->check(x, n, n->value);
	s = hr_arena_strndup(x->arena, n->value, n->len);
	if (f->flags & HR_F_LOWER)
		for (char *c = s; *c; c++)
			*c = (char)(*c >= 'A' && *c <= 'Z' ? *c | 0x20 : *c);
	return s;
}

static void store_int(void *to, size_t width, int64_t v)
{
	switch (width) {
	case 1:
		*(uint8_t *)to = (uint8_t)v;
		break;
	case 2:
		*(uint16_t *)to = (uint16_t)v;
		break;
	case 4:
		*(uint32_t *)to = (uint32_t)v;
		break;
	default:
		*(uint64_t *)to = (uint64_t)v;
	}
}

static void set_int(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n, void *to)
{
	int64_t min = f->min, max = f->max, v;
	const char *why;

	if (!min && !max) {
		min = INT32_MIN;
		max = INT32_MAX;
	}
	why = hr_scalar_int(n, min, max, &v);
	if (why && hr_streq(why, "out of range"))
		hr_dec_say(x, HR_SEV_ERROR, n->pos, "bad-value",
			   "expected a number from %lld to %lld, found \"%.80s\"", (long long)min,
			   (long long)max, n->value);
	else if (why)
		bad_value(x, n, why);
	else if (to && !(v == 0 && (f->flags & HR_F_ZERO_UNSET)))
		store_int(to, f->width, v);
}

static void set_double(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n,
		       void *to)
{
	bool ppm = f->type == HR_T_PPM;
	double max = ppm ? 100 : f->max ? (double)f->max : 1e18, v;
	const char *why = hr_scalar_double(n, (double)f->min, max, &v);

	if (why && hr_streq(why, "out of range"))
		hr_dec_say(x, HR_SEV_ERROR, n->pos, "bad-value",
			   "expected a number from %lld to %.0f, found \"%.80s\"",
			   (long long)f->min, max, n->value);
	else if (why)
		bad_value(x, n, why);
	else if (to && ppm)
		*(int32_t *)to = (int32_t)(v * 10000 + 0.5);
	else if (to)
		*(double *)to = v;
	if (!why && ppm && v > 0 && v < 0.00005)
		hr_dec_say(x, HR_SEV_WARNING, n->pos, "bad-value",
			   "finer than 0.0001 %%: taken as 0");
}

static void set_time(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n, void *to)
{
	bool dur = f->type == HR_T_DURATION;
	const char *why;
	int64_t v;

	if (!hr_dec_is(x, n, HR_NODE_SCALAR))
		return;
	why = dur ? hr_parse_duration(n->value, &v) : hr_parse_time(n->value, &v);
	if (!why && dur && v < 0)
		why = "a duration cannot be negative";
	else if (!why && dur && v < f->min)
		why = f->min == 1 ? "too short, 1ms is the least" : "too short, 1s is the least";
	else if (!why && dur && f->max && v > f->max)
		why = "too long, 24h is the most";
	if (why)
		bad_value(x, n, why);
	else if (to)
		*(int64_t *)to = v;
}

static void set_bool(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n, void *to)
{
	if (n->type != HR_NODE_SCALAR || hr_scalar_kind(n) != HR_SCALAR_BOOL)
		bad_value(x, n,
			  n->type == HR_NODE_SCALAR && !n->plain
				  ? "expected true or false without quotes"
				  : "expected true or false");
	else if (to)
		store_int(to, f->width, hr_scalar_bool(n));
}

static void unknown_word(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n)
{
	_cleanup_sb_ struct hr_strbuf m = {};
	const char *words[64] = {}, *near;
	size_t k = 0;

	for (const struct hr_word *w = f->words; w->word && k < HR_ARRAY_SIZE(words); w++)
		words[k++] = w->word;
	near = hr_nearest(n->value, words, k);
	hr_sb_printf(&m, "unknown value \"%.80s\"; ", n->value);
	if (near)
		hr_sb_printf(&m, "did you mean \"%s\"? ", near);
	hr_sb_add(&m, "Known:");
	for (size_t i = 0; i < k; i++)
		hr_sb_printf(&m, " %s", words[i]);
	hr_dec_say(x, HR_SEV_ERROR, n->pos, "bad-value", "%s", m.data);
}

static void set_enum(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n, void *to)
{
	if (!hr_dec_is(x, n, HR_NODE_SCALAR))
		return;
	for (const struct hr_word *w = f->words; w->word; w++) {
		if (!hr_streq(w->word, n->value))
			continue;
		if (w->status == HR_ST_NOT_BUILT)
			hr_dec_not_built(x, n->pos, w->word, w->why);
		else if (w->status == HR_ST_WARN && !x->unbuilt)
			hr_dec_say(x, HR_SEV_WARNING, n->pos, "not-built",
				   "not built yet: %s is read but has no effect (%s)", w->word,
				   w->why);
		else if (w->status == HR_ST_REFUSED)
			hr_dec_say(x, HR_SEV_ERROR, n->pos, "bad-value", "%s: %s", w->word, w->why);
		if (to && f->type == HR_T_WORD)
			*(const char **)to = w->word;
		else if (to)
			store_int(to, f->width, w->value);
		return;
	}
	unknown_word(x, f, n);
}

static void set_strings(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n,
			void *to)
{
	hr_strs list = {};
	size_t mark = x->path.len, i = 0;

	if (!hr_dec_is_list(x, f, n))
		return;
	list.data = hr_dec_list(x, n->count, sizeof(*list.data));
	for (const struct hr_ynode *c = n->first; c; c = c->next, i++) {
		const char *s;

		hr_path_index(&x->path, i);
		s = hr_dec_string(x, f, c);
		if (s)
			list.data[list.len++] = s;
		hr_path_cut(&x->path, mark);
	}
	if (to)
		*(hr_strs *)to = list;
}

static void set_string_map(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n,
			   void *to)
{
	hr_kvs list = {};
	size_t mark = x->path.len;

	if (!hr_dec_is(x, n, HR_NODE_MAP))
		return;
	list.data = hr_dec_list(x, n->count, sizeof(*list.data));
	for (const struct hr_ynode *c = n->first; c; c = c->next) {
		const char *v;

		hr_path_key(&x->path, c->key);
		v = hr_node_is_null(c) ? "" : hr_dec_string(x, f, c);
		if (v)
			list.data[list.len++] =
				(struct hr_kv){hr_arena_strdup(x->arena, c->key), v, c->pos};
		hr_path_cut(&x->path, mark);
	}
	if (to)
		*(hr_kvs *)to = list;
}

static void set_match_map(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n,
			  void *to)
{
	HR_LIST(struct hr_header_match) list = {};
	size_t mark = x->path.len;

	if (!hr_dec_is(x, n, HR_NODE_MAP))
		return;
	list.data = hr_dec_list(x, n->count, sizeof(*list.data));
	for (const struct hr_ynode *c = n->first; c; c = c->next) {
		struct hr_header_match *h = &list.data[list.len++];
		char *name = hr_arena_strdup(x->arena, c->key);

		hr_path_key(&x->path, c->key);
		if (f->check)
			f->check(x, &(struct hr_ynode){.pos = c->key_pos}, c->key);
		if (f->flags & HR_F_LOWER)
			for (char *p = name; *p; p++)
				*p = (char)(*p >= 'A' && *p <= 'Z' ? *p | 0x20 : *p);
		h->name = name;
		h->m.type = HR_MATCH_PRESENT;
		h->m.pos = c->pos;
		/* "name: {}" and "name:" alike ask for presence */
		if (!hr_node_is_null(c) && !(c->type == HR_NODE_MAP && !c->count))
			hr_decode_message(x, f->msg, c, &h->m);
		hr_path_cut(&x->path, mark);
	}
	if (to)
		memcpy(to, &list, sizeof(list));
}

static void set_messages(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n,
			 void *to)
{
	HR_LIST(char) list = {};
	size_t mark = x->path.len, i = 0;

	if (!hr_dec_is_list(x, f, n))
		return;
	list.data = hr_dec_list(x, n->count, f->msg->size);
	for (const struct hr_ynode *c = n->first; c; c = c->next, i++) {
		hr_path_index(&x->path, i);
		if (hr_dec_is(x, c, HR_NODE_MAP)) {
			void *obj = list.data + list.len++ * f->msg->size;

			if (f->msg->init)
				f->msg->init(obj);
			hr_decode_message(x, f->msg, c, obj);
		}
		hr_path_cut(&x->path, mark);
	}
	if (to)
		memcpy(to, &list, sizeof(list));
}

static void set_value(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n,
		      void *obj)
{
	void *to = obj && f->off != HR_NO_OFF ? (char *)obj + f->off : NULL;
	const char *s;

	switch (f->type) {
	case HR_T_STRING:
		s = hr_dec_string(x, f, n);
		if (to && s)
			*(const char **)to = s;
		break;
	case HR_T_BOOL:
		return set_bool(x, f, n, to);
	case HR_T_INT:
		return set_int(x, f, n, to);
	case HR_T_DOUBLE:
	case HR_T_PPM:
		return set_double(x, f, n, to);
	case HR_T_DURATION:
	case HR_T_TIME:
		return set_time(x, f, n, to);
	case HR_T_ENUM:
	case HR_T_WORD:
		return set_enum(x, f, n, to);
	case HR_T_MESSAGE:
		return hr_decode_message(x, f->msg, n, to);
	case HR_T_MESSAGES:
		return set_messages(x, f, n, to);
	case HR_T_STRINGS:
		return set_strings(x, f, n, to);
	case HR_T_STRING_MAP:
		return set_string_map(x, f, n, to);
	case HR_T_MATCH_MAP:
		return set_match_map(x, f, n, to);
	case HR_T_ANY:
		break;
	}
}

static const struct hr_field *find_field(const struct hr_message *msg, const char *name)
{
	for (const struct hr_field *f = msg->fields; f->name; f++)
		if (hr_streq(f->name, name))
			return f;
	return NULL;
}

static void unknown_field(struct hr_dec *x, const struct hr_message *msg, const struct hr_ynode *n)
{
	const char *names[128], *near;
	size_t k = 0;

	for (const struct hr_hint *h = msg->hints; h && h->msg; h++) {
		bool lenient = h->lenient && x->flags & HR_DECODE_LENIENT;

		if (!find_field(h->msg, n->key))
			continue;
		hr_dec_say(x, lenient ? HR_SEV_WARNING : HR_SEV_ERROR, n->key_pos,
			   "misplaced-field", "unknown field here; belongs to %s%s", h->where,
			   lenient ? " (ignored)" : "");
		return;
	}
	for (const struct hr_field *f = msg->fields; f->name && k < HR_ARRAY_SIZE(names); f++)
		names[k++] = f->name;
	near = x->diags->errors < HR_DIAGS_MAX ? hr_nearest(n->key, names, k) : NULL;
	x->suggested = near ? near : x->suggested;
	if (near)
		hr_dec_say(x, HR_SEV_ERROR, n->key_pos, "unknown-field",
			   "unknown field; did you mean \"%s\"?", near);
	else
		hr_dec_say(x, HR_SEV_ERROR, n->key_pos, "unknown-field", "unknown field of %s",
			   msg->name);
}

/* What is due before the value is read: words about the row's status. */
static void say_status(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n)
{
	/* what --lenient takes of two must not be refused by it */
	bool taken = f->status == HR_ST_NOT_BUILT && x->flags & HR_DECODE_LENIENT &&
		     f->flags & HR_F_LENIENT_WINS;

	if (f->status == HR_ST_NOT_BUILT && !taken)
		hr_dec_not_built(x, n->key_pos, f->name, f->why);
	else if ((f->status == HR_ST_WARN || taken) && !x->unbuilt)
		hr_dec_say(x, HR_SEV_WARNING, n->key_pos, "not-built",
			   "not built yet: %s is read but has no effect (%s)", f->name, f->why);
	else if (f->status == HR_ST_REFUSED)
		hr_dec_say(x, HR_SEV_ERROR, n->key_pos, "refused", "not supported: %s", f->why);
	if (f->flags & HR_F_DEPRECATED)
		hr_dec_say(x, HR_SEV_WARNING, n->key_pos, "deprecated", "deprecated: %s", f->why);
}

/* One child of a message. */
static void decode_field(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n,
			 void *obj)
{
	bool unbuilt = f->status == HR_ST_NOT_BUILT || f->status == HR_ST_WARN;

	say_status(x, f, n);
	x->unbuilt += unbuilt;
	if (f->set)
		f->set(x, f, n, obj);
	else
		set_value(x, f, n, obj);
	x->unbuilt -= unbuilt;
}

/*
 * Two fields of a one-of: said at the second, naming both lines. True when this one is to be left
 * out: under --lenient one row may win over the others.
 */
static bool oneof_loses(struct hr_dec *x, const struct hr_message *msg, const struct hr_ynode *map,
			const struct hr_field *f, const struct hr_ynode *n)
{
	const struct hr_ynode *first = NULL, *winner = NULL, *c;

	for (c = map->first; c; c = c->next) {
		const struct hr_field *o = find_field(msg, c->key);

		if (!o || o->oneof != f->oneof || hr_node_is_null(c))
			continue;
		if (o->flags & HR_F_LENIENT_WINS)
			winner = c;
		if (!first)
			first = c;
	}
	if (x->flags & HR_DECODE_LENIENT && winner) {
		if (winner == n)
			return false;
		hr_dec_say(x, HR_SEV_WARNING, n->key_pos, "one-of",
			   "only one of \"%s\" (line %u) and \"%s\" (line %u) may be set; %s is "
			   "taken",
			   n->key, n->key_pos.line, winner->key, winner->key_pos.line, winner->key);
		return true;
	}
	if (first != n)
		hr_dec_say(x, HR_SEV_ERROR, n->key_pos, "one-of",
			   "only one of \"%s\" (line %u) and \"%s\" (line %u) may be set",
			   first->key, first->key_pos.line, n->key, n->key_pos.line);
	return first != n;
}

bool hr_dec_absent(const struct hr_ynode *map, const char *field)
{
	const struct hr_ynode *c = hr_node_get(map, field);

	return !c || hr_node_is_null(c) || (c->type == HR_NODE_SCALAR ? !c->len : !c->count);
}

static void check_required(struct hr_dec *x, const struct hr_message *msg,
			   const struct hr_ynode *map)
{
	for (const struct hr_field *f = msg->fields; f->name; f++) {
		const struct hr_ynode *c;

		if (!(f->flags & HR_F_REQUIRED) || !hr_dec_absent(map, f->name))
			continue;
		/* an empty mapping says itself what it misses */
		c = hr_node_get(map, f->name);
		if (!c || hr_node_is_null(c) || f->type != HR_T_MESSAGE)
			hr_dec_missing(x, f->name,
				       c ? "missing required field (it is empty)" : NULL);
	}
}

void hr_decode_message(struct hr_dec *x, const struct hr_message *msg, const struct hr_ynode *n,
		       void *obj)
{
	const char *outer = x->suggested;
	size_t mark = x->path.len;

	if (!hr_dec_is(x, n, HR_NODE_MAP))
		return;
	x->suggested = NULL;
	if (obj && msg->set_off)
		*(bool *)((char *)obj + msg->set_off - 1) = true;
	if (obj && msg->pos_off)
		*(struct hr_pos *)((char *)obj + msg->pos_off - 1) = n->pos;
	for (const struct hr_ynode *c = n->first; c; c = c->next) {
		const struct hr_field *f = find_field(msg, c->key);

		hr_path_key(&x->path, c->key);
		if (!f && !msg->open)
			unknown_field(x, msg, c);
		else if (f && !hr_node_is_null(c) && !(f->oneof && oneof_loses(x, msg, n, f, c)))
			decode_field(x, f, c, obj);
		hr_path_cut(&x->path, mark);
	}
	check_required(x, msg, n);
	if (msg->check)
		msg->check(x, n, obj);
	x->suggested = outer;
}
