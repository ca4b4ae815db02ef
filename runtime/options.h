/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command lines by tables: one entry per option says its name, where its value goes and what the
 * help text says. As with runc, options may be written --name value, --name=value or with a single
 * dash, and end at the first word that is none.
 */
#ifndef RUNTIME_OPTIONS_H
#define RUNTIME_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum option_kind {
	OPTION_FLAG,   /* bool */
	OPTION_TEXT,   /* const char *, a pointer into argv */
	OPTION_LIST,   /* struct option_list: may be given many times */
	OPTION_NUMBER, /* unsigned, from min to max */
	OPTION_ACCEPT, /* no place: accepted because callers pass it, without effect */
	OPTION_ACCEPT_TEXT,
};

#define OPTION_LIST_MAX 256

struct option_list {
	const char *texts[OPTION_LIST_MAX]; /* pointers into argv */
	size_t n;
};

struct option_spec {
	const char *name;
	char letter; /* 0: none */
	enum option_kind kind;
	size_t offset; /* into the structure that options_parse fills */
	unsigned min, max;
	const char *value_name; /* "FILE", for the help text */
	const char *help;	/* NULL: not shown */
};

/*
 * Reads options from argv[1] on into target; the table ends with a NULL name. *first is the index
 * of the first word behind them. 0, or -EINVAL with e naming the option.
 */
int options_parse(const struct option_spec *specs, void *target, int argc, char **argv, int *first,
	struct err *e) must_check;

/*
 * The same for a command whose options may also stand behind its words (hvrun update ID
 * --memory 1G), up to "--". The words go to words, of which there must be as many as it has room
 * for: else -EINVAL with what runc says then.
 */
int options_parse_words(const struct option_spec *specs, void *target, int argc, char **argv,
	const char **words, int n_words, struct err *e) must_check;

/* Prints the table's help texts to stdout. */
void options_help(const struct option_spec *specs);

/* Decimal digits and nothing else, from min to max. 0 or -EINVAL. */
int options_number(const char *text, unsigned min, unsigned max, unsigned *out) must_check;

#endif
