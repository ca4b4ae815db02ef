/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From JSON to C structures, driven by tables: one entry per key says the type, the place and
 * whether the key must be there. A key that no table knows, a wrong type or a number out of range
 * is refused with its JSON path (`config.mounts[3].options: …`), so that nothing is ignored in
 * silence. Strings are not copied: the JSON must outlive the structure.
 */
#ifndef GUESTINIT_DECODE_H
#define GUESTINIT_DECODE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "guestinit/arena.h"

#define DECODE_PATH_BYTES 512
#define DECODE_LIST_MAX	  65536

#define DECODE_WARNINGS_MAX 16

/* What was left out although it was asked for; further warnings are dropped. */
struct decode_warnings {
	const char *v[DECODE_WARNINGS_MAX];
	size_t n;
};

struct decode {
	struct arena *arena;
	struct err *e;
	struct decode_warnings *warnings;
	char path[DECODE_PATH_BYTES]; /* of the value under way */
};

/* Optional numbers keep whether they were there. */
struct opt_u64 {
	bool set;
	uint64_t value;
};

struct opt_i64 {
	bool set;
	int64_t value;
};

/* A list of strings; v has a NULL behind the last. */
struct strings {
	const char **v;
	size_t n;
	bool set;
};

/* Any list of structures; the users declare the same layout with their own element type. */
struct decode_list {
	void *v;
	size_t n;
};

#define DECLARE_LIST(type)                                                                         \
	struct {                                                                                   \
		struct type *v;                                                                    \
		size_t n;                                                                          \
	}

enum decode_type {
	DECODE_STRING,	/* const char * */
	DECODE_BOOL,	/* bool */
	DECODE_U32,	/* uint32_t, 0 to 2^32-1 */
	DECODE_PORT,	/* uint32_t, 1 to 2^32-2 */
	DECODE_I64,	/* struct opt_i64 */
	DECODE_U64,	/* struct opt_u64; 2^63 and above come as the signed number of equal bits */
	DECODE_RAW64,	/* uint64_t, the same way */
	DECODE_STRINGS, /* struct strings */
	DECODE_OBJECT,	/* a structure in place, by `fields` */
	DECODE_LIST,	/* struct decode_list of structures, by `fields` and `elem_bytes` */
	DECODE_CUSTOM,	/* by `custom` */
	DECODE_IGNORE,	/* of any type: has no meaning in the guest */
};

struct decode_field {
	const char *key;
	enum decode_type type;
	size_t offset;
	bool required;
	const struct decode_field *fields;
	size_t elem_bytes;
	int (*custom)(struct decode *d, const json_t *value, void *out);
};

/* One entry of a table; further members behind the offset, by name. */
#define FIELD(key_, type_, offset_, ...)                                                           \
	{                                                                                          \
		.key = (key_), .type = (type_), .offset = (offset_), ##__VA_ARGS__                 \
	}
#define FIELD_END                                                                                  \
	{                                                                                          \
		.key = NULL                                                                        \
	}

/* Fills *out from an object. The table ends with a NULL key. 0 or -errno with the error filled. */
int decode_object(struct decode *d, const json_t *value, const struct decode_field *fields,
	void *out) must_check;

/* Runs decode_object over the elements of an array. */
int decode_list(struct decode *d, const json_t *value, const struct decode_field *fields,
	size_t elem_bytes, struct decode_list *out) must_check;

int decode_strings(struct decode *d, const json_t *value, struct strings *out) must_check;

/* Fills the error with "PATH: text" and returns -EINVAL. */
int decode_fail(struct decode *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int decode_no_memory(struct decode *d);

/* Notes "PATH: text" as a warning. */
void decode_warn(struct decode *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Lengthens the path by the text; returns the old length for decode_leave. */
size_t decode_enter(struct decode *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void decode_leave(struct decode *d, size_t old_len);

#endif
