/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allow-lists of system calls. Each lies beside the code that needs its calls, as a table of
 * struct call; several tables may make up the list of one kind of thread. What is on none of them
 * is not carried out and ends the process.
 */
#ifndef MICROVM_CONFINE_FILTER_H
#define MICROVM_CONFINE_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "base/err.h"

enum call_rule {
	CALL_ALLOWED,
	CALL_CHECKED, /* when (argument arg, its low 32 bits, & mask) == value */
	CALL_REFUSED, /* fails with errno value, for what the C library can do without */
};

struct call {
	uint16_t nr;
	uint8_t rule; /* enum call_rule */
	uint8_t arg;  /* from 0 */
	bool rarely;  /* tests do not see it happen: what faults and full memory bring about */
	bool own;     /* value is the pid of the process that puts the list on */
	bool also;    /* together with the one before it in its table: all of these have to hold */
	uint32_t mask, value;
};

/* In a table of struct call. A call may have several CALL_IF: one of them has to hold. */
#define CALL(name)                                                                                 \
	{                                                                                          \
		.nr = SYS_##name, .rule = CALL_ALLOWED                                             \
	}
#define CALL_RARELY(name)                                                                          \
	{                                                                                          \
		.nr = SYS_##name, .rule = CALL_ALLOWED, .rarely = true                             \
	}
#define CALL_IF(name, n, m, v)                                                                     \
	{                                                                                          \
		.nr = SYS_##name, .rule = CALL_CHECKED, .arg = (n), .mask = (m),                   \
		.value = (uint32_t)(v)                                                             \
	}
#define CALL_IF_EQUAL_RARELY(name, n, v)                                                           \
	{                                                                                          \
		.nr = SYS_##name, .rule = CALL_CHECKED, .rarely = true, .arg = (n),                \
		.mask = UINT32_MAX, .value = (uint32_t)(v)                                         \
	}
#define CALL_IF_EQUAL(name, n, v)   CALL_IF(name, n, UINT32_MAX, v)
#define CALL_IF_WITHOUT(name, n, m) CALL_IF(name, n, m, 0)
/* Behind a CALL_IF of the same call: and this argument, too. */
#define CALL_AND_EQUAL(name, n, v)                                                                 \
	{                                                                                          \
		.nr = SYS_##name, .rule = CALL_CHECKED, .also = true, .arg = (n),                  \
		.mask = UINT32_MAX, .value = (uint32_t)(v)                                         \
	}
/* When argument n is the process itself. */
#define CALL_IF_OWN(name, n)                                                                       \
	{                                                                                          \
		.nr = SYS_##name, .rule = CALL_CHECKED, .own = true, .arg = (n),                   \
		.mask = UINT32_MAX                                                                 \
	}
#define CALL_FAILS(name, code)                                                                     \
	{                                                                                          \
		.nr = SYS_##name, .rule = CALL_REFUSED, .value = (code)                            \
	}

/* A part of a list. */
struct calls {
	const struct call *table;
	size_t n;
};
#define CALLS(t)                                                                                   \
	{                                                                                          \
		.table = (t), .n = sizeof(t) / sizeof((t)[0])                                      \
	}

#define FILTER_PARTS_MAX 8
#define FILTER_CALLS_MAX 128

/* The list of a kind of thread. */
struct filter {
	const char *kind;			     /* what the thread is, in a word or two */
	const struct calls *parts[FILTER_PARTS_MAX]; /* up to the first NULL */
	/*
	 * SECCOMP_RET_KILL_PROCESS, or SECCOMP_RET_TRAP with a number (of 16 bits) in its lowest
	 * bits, for a process with violation_watch (violation.h), which knows a kind by it.
	 */
	uint32_t denied;
};

/*
 * For this thread and those that it starts from now on; no_new_privs is set already. 0, or -errno:
 * -E2BIG when the list is too long, -EINVAL when it contradicts itself (a call both allowed and
 * checked, a CALL_AND behind nothing).
 */
int filter_install(const struct filter *filter) must_check;

struct sock_filter;

/* The program of a list: its length in instructions (at most cap), or -errno. For tests, too. */
int filter_compile(
	const struct filter *filter, struct sock_filter *program, unsigned cap) must_check;

/*
 * Prints "KIND CALL [ARGUMENT MASK VALUE]... [rarely|refused]" for each entry of a list, those that
 * have to hold together in one line; for tests. KIND is the filter's with `suffix`.
 */
void filter_print(FILE *out, const struct filter *filter, const char *suffix);

/* "openat"; NULL for a number that no call has. */
const char *filter_call_name(unsigned nr);

#endif
