/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The schema table: a row a field. What it is called, what it holds, where it goes in the typed
 * struct, and what becomes of it. Decoder, validator, `headrace check` and docs/FIELDS.md read
 * these rows and nothing else, so a field cannot be documented one way and treated another.
 *
 * To build a field that is "not built yet": change `status` in its row. Nothing else.
 */
#pragma once

#include "model/scalar.h"

enum hr_status {
	HR_ST_KERNEL = 1, /* the kernel does it */
	HR_ST_AGENT,	  /* the agent's proxy does it */
	HR_ST_CONTROL,	  /* decides what the plan looks like; no request meets it */
	HR_ST_WARN,	  /* read and kept, not enforced yet: a warning says so */
	HR_ST_NOT_BUILT,  /* an error says so */
	HR_ST_REFUSED,	  /* never: an error gives the reason */
	HR_ST_FOREIGN,	  /* belongs to Kubernetes or its tools: no effect on the mesh */
};

enum hr_type {
	HR_T_STRING = 1, /* const char * */
	HR_T_BOOL,	 /* bool, or int with -1 for not set */
	HR_T_INT,	 /* any integer */
	HR_T_DOUBLE,	 /* double */
	HR_T_DURATION,	 /* int64_t ms */
	HR_T_TIME,	 /* int64_t Unix ms */
	HR_T_PPM,	 /* 0..100 -> int32_t parts per million */
	HR_T_ENUM,	 /* words[].value into any integer */
	HR_T_WORD,	 /* words[].word into const char * */
	HR_T_MESSAGE,	 /* struct at off, described by msg */
	HR_T_MESSAGES,	 /* HR_LIST of them */
	HR_T_STRINGS,	 /* hr_strs */
	HR_T_STRING_MAP, /* hr_kvs */
	HR_T_MATCH_MAP,	 /* HR_LIST(struct hr_header_match), values described by msg */
	HR_T_ANY,	 /* not looked into */
};

struct hr_dec;
struct hr_field;

struct hr_word { /* of an enum */
	const char *word;
	int value;
	enum hr_status status;
	const char *why; /* NOT_BUILT, REFUSED: what is missing; else a remark or NULL */
};

/* Constraint on one string (an item of STRINGS, a key of MATCH_MAP): says what is wrong itself. */
typedef void hr_check_fn(struct hr_dec *x, const struct hr_ynode *n, const char *value);
/* Decodes a field whose struct has another shape. `obj` is the struct of the message. */
typedef void hr_set_fn(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n,
		       void *obj);

#define HR_F_REQUIRED 0x01
#define HR_F_DEPRECATED 0x02   /* a warning with `why` */
#define HR_F_LOWER 0x04	       /* strings are kept in lower case */
#define HR_F_ZERO_UNSET 0x08   /* 0 is the same as not written (a proto3 scalar) */
#define HR_F_LENIENT_WINS 0x10 /* of a one-of under --lenient */
#define HR_F_LONG 0x20	       /* HR_BODY_SCALAR_MAX instead of HR_SCALAR_MAX */
#define HR_F_ANY_SCALAR 0x40   /* STRING: also plain numbers, kept as written */

#define HR_NO_OFF UINT32_MAX /* checked, not kept */

struct hr_field {
	const char *name;
	enum hr_type type;
	enum hr_status status;
	const char *why; /* what is missing (NOT_BUILT, WARN, REFUSED), else a remark or NULL */
	uint32_t flags;	 /* HR_F_* */
	uint32_t off;
	uint16_t width;	  /* of the member, bytes */
	uint8_t oneof;	  /* fields of one number exclude each other; 0: none */
	int64_t min, max; /* INT, DURATION (ms); both 0: no bound but the type's. Lists: items */
	const struct hr_message *msg;
	const struct hr_word *words; /* ends with word NULL */
	hr_check_fn *check;
	hr_set_fn *set;
};

struct hr_hint { /* where a field that is unknown here is known */
	const struct hr_message *msg;
	const char *where;
	bool lenient; /* a slip that --lenient forgives: warned of and ignored */
};

struct hr_message {
	const char *name;	       /* Istio's or Kubernetes' name of the type */
	const struct hr_field *fields; /* ends with name NULL */
	size_t size;		       /* as an item of a list */
	void (*init)(void *obj);       /* "not set" where zero bytes would not say so */
	void (*check)(struct hr_dec *x, const struct hr_ynode *n, void *obj);
	uint32_t set_off, pos_off;   /* bool and struct hr_pos members + 1, 0: none */
	bool open;		     /* unknown fields are not ours and pass */
	const struct hr_hint *hints; /* ends with msg NULL */
};

/* A row: name, HR_T_ type, HR_ST_ status, then the other members by name. T struct, M member. */
#define HR_ROW(name_, type_, status_, ...) \
	{.name = name_, .type = HR_T_##type_, .status = HR_ST_##status_, __VA_ARGS__}
#define HR_AT(T, M) .off = offsetof(T, M), .width = sizeof(((T *)0)->M)
#define HR_NOWHERE .off = HR_NO_OFF
#define HR_SET(T) .set_off = offsetof(T, set) + 1, .pos_off = offsetof(T, pos) + 1
#define HR_POS(T) .pos_off = offsetof(T, pos) + 1
#define HR_END {.name = NULL}

/* One kind of object. */
struct hr_kind_row {
	enum hr_kind kind;
	const char *name, *plural, *shorts[3];
	const char *group;	 /* "" for core */
	const char *versions[4]; /* ends with NULL */
	const struct hr_message *msg;
	size_t size;
	bool cluster_scoped;
};
extern const struct hr_kind_row hr_kind_rows[]; /* ends with kind 0 */

/* Kinds that are known and not read: either not built (error) or without effect (notice). */
struct hr_other_kind {
	const char *group, *name;
	enum hr_status status; /* NOT_BUILT or FOREIGN */
};
extern const struct hr_other_kind hr_other_kinds[]; /* ends with name NULL */

/* ---- the engine (fields.c) ----------------------------------------------------------------- */

struct hr_dec {
	struct hr_arena *arena; /* of the set */
	struct hr_diags *diags;
	unsigned flags;		    /* HR_DECODE_* */
	const struct hr_meta *meta; /* of the object being read */
	struct hr_strbuf path;
	unsigned unbuilt;      /* inside a subtree that was already said to be not built */
	const char *suggested; /* of the message being read: the field that an unknown one meant */
};

void hr_decode_message(struct hr_dec *x, const struct hr_message *msg, const struct hr_ynode *n,
		       void *obj);
/* A finding at `pos` about the field that is being read. */
void hr_dec_say(struct hr_dec *x, enum hr_severity sev, struct hr_pos pos, const char *code,
		const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* The same, about `field` below it. */
void hr_dec_say_at(struct hr_dec *x, const char *field, enum hr_severity sev, struct hr_pos pos,
		   const char *code, const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/* A field that must be there is not: said at the object's first line, unless an unknown field was
 * already taken for it. `why` NULL: "missing required field". */
void hr_dec_missing(struct hr_dec *x, const char *field, const char *why);
/* Is a field of a MAP not written, null, or an empty string, list or mapping? */
bool hr_dec_absent(const struct hr_ynode *map, const char *field);
/* The string of a scalar that must be one (said when not); NULL then. Set's arena. */
const char *hr_dec_string(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n);
/* Is it a list, and of no more items than its row allows? Said when not. */
bool hr_dec_is_list(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n);
bool hr_dec_is(struct hr_dec *x, const struct hr_ynode *n, enum hr_node_type type);
/* "not built yet: FIELD (why)", unless inside of what was said already. */
void hr_dec_not_built(struct hr_dec *x, struct hr_pos pos, const char *field, const char *why);
void *hr_dec_list(struct hr_dec *x, size_t n, size_t size); /* zeroed array, NULL for 0 */

/* ---- constraints (checks.c) ---------------------------------------------------------------- */

hr_check_fn hr_check_host;	   /* DNS name, wildcard or address */
hr_check_fn hr_check_dest_host;	   /* DNS name without wildcard */
hr_check_fn hr_check_dns_label;	   /* subset and port names, namespaces */
hr_check_fn hr_check_dns_name;	   /* object names */
hr_check_fn hr_check_header_name;  /* RFC 9110 token */
hr_check_fn hr_check_header_value; /* no CR, LF, NUL */
hr_check_fn hr_check_token;	   /* HTTP method */
hr_check_fn hr_check_path;	   /* starts with /, canonical */
hr_check_fn hr_check_authority;
hr_check_fn hr_check_regex;
hr_check_fn hr_check_gateway;	  /* mesh, name or ns/name */
hr_check_fn hr_check_tunnel_host; /* DNS name or address */
hr_check_fn hr_check_ip;
hr_check_fn hr_check_ip_or_cidr;
hr_check_fn hr_check_cidr_vip; /* an address; blocks are not built */
hr_check_fn hr_check_export_to;
hr_check_fn hr_check_export_ns; /* the same where namespaces are built */
hr_check_fn hr_check_workload_address;
hr_check_fn hr_check_nonempty;
hr_check_fn hr_check_locality;
/* Key and value of a label, as Kubernetes has them. */
void hr_check_label(struct hr_dec *x, const struct hr_ynode *n);

/* ---- messages that several kinds share ----------------------------------------------------- */

extern const struct hr_message hr_msg_meta, hr_msg_cluster_meta, hr_msg_open_meta,
	hr_msg_open_cluster_meta;
extern const struct hr_message hr_msg_port_selector;
extern const struct hr_message hr_msg_virtual_service, hr_msg_destination_rule,
	hr_msg_service_entry, hr_msg_workload_entry_object, hr_msg_workload_entry;
extern const struct hr_message hr_msg_service, hr_msg_endpoint_slice, hr_msg_endpoints, hr_msg_pod,
	hr_msg_namespace, hr_msg_node;
