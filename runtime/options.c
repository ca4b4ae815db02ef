/* SPDX-License-Identifier: Apache-2.0 */
/* Table-driven command lines; see options.h. */
#include "runtime/options.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define HELP_COLUMN 28

int options_number(const char *text, unsigned min, unsigned max, unsigned *out)
{
	uint64_t value = 0;

	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		value = value * 10 + (uint64_t)(*text - '0');
		if (value > max)
			return -EINVAL;
	}
	if (value < min)
		return -EINVAL;
	*out = (unsigned)value;
	return 0;
}

static const struct option_spec *options_find(
	const struct option_spec *specs, const char *word, size_t len)
{
	for (; specs->name; specs++) {
		if (strlen(specs->name) == len && memcmp(specs->name, word, len) == 0)
			return specs;
		if (len == 1 && specs->letter && specs->letter == *word)
			return specs;
	}
	return NULL;
}

static int options_store(
	const struct option_spec *spec, void *target, const char *value, struct err *e)
{
	void *place = (char *)target + spec->offset;
	struct option_list *list = place;

	switch (spec->kind) {
	case OPTION_FLAG:
		*(bool *)place = true;
		break;
	case OPTION_TEXT:
		*(const char **)place = value;
		break;
	case OPTION_LIST:
		if (list->n == OPTION_LIST_MAX)
			return err_set(e, EINVAL, "--%s is given more than %d times", spec->name,
				OPTION_LIST_MAX);
		list->texts[list->n++] = value;
		break;
	case OPTION_NUMBER:
		if (!value || options_number(value, spec->min, spec->max, place) < 0)
			return err_set(e, EINVAL, "--%s: \"%s\" is not a number from %u to %u",
				spec->name, value ? value : "", spec->min, spec->max);
		break;
	case OPTION_ACCEPT:
	case OPTION_ACCEPT_TEXT:
		break;
	}
	return 0;
}

int options_parse(const struct option_spec *specs, void *target, int argc, char **argv, int *first,
	struct err *e)
{
	int i = 1;

	for (; i < argc; i++) {
		const char *word = argv[i];
		if (word[0] != '-' || !word[1])
			break;
		if (strcmp(word, "--") == 0) {
			i++;
			break;
		}
		word += word[1] == '-' ? 2 : 1;
		size_t len = strcspn(word, "=");
		const char *value = word[len] ? word + len + 1 : NULL;
		const struct option_spec *spec = options_find(specs, word, len);
		if (!spec)
			return err_set(e, EINVAL, "%.*s: no such option",
				(int)(word - argv[i]) + (int)len, argv[i]);
		bool flag = spec->kind == OPTION_FLAG || spec->kind == OPTION_ACCEPT;
		if (flag && value) {
			if (strcmp(value, "false") == 0)
				continue;
			if (strcmp(value, "true") != 0)
				return err_set(e, EINVAL, "--%s takes no value", spec->name);
		}
		if (!flag && !value) {
			if (i + 1 >= argc)
				return err_set(e, EINVAL, "--%s needs a value: %s", spec->name,
					spec->value_name ? spec->value_name : "TEXT");
			value = argv[++i];
		}
		int ret = options_store(spec, target, value, e);
		if (ret < 0)
			return ret;
	}
	*first = i;
	return 0;
}

int options_parse_words(const struct option_spec *specs, void *target, int argc, char **argv,
	const char **words, int n_words, struct err *e)
{
	int at = 0, n = 0, next = 0;

	while (at + 1 < argc) {
		/* The word before is taken for the command's name. */
		int ret = options_parse(specs, target, argc - at, argv + at, &next, e);
		if (ret < 0)
			return ret;
		bool end = next > 1 && strcmp(argv[at + next - 1], "--") == 0;
		at += next;
		while (at < argc) {
			if (n < n_words)
				words[n] = argv[at];
			n++;
			if (!end)
				break;
			at++;
		}
	}
	if (n == n_words)
		return 0;
	return err_set(e, EINVAL, "\"%s\" requires exactly %d argument(s)", argv[0], n_words);
}

void options_help(const struct option_spec *specs)
{
	for (; specs->name; specs++) {
		char left[64];
		if (!specs->help)
			continue;
		int n = specs->letter
			? snprintf(left, sizeof(left), "-%c, --%s", specs->letter, specs->name)
			: snprintf(left, sizeof(left), "--%s", specs->name);
		if (specs->value_name)
			n += snprintf(left + n, sizeof(left) - (size_t)n, " %s", specs->value_name);
		printf("  %-*s", HELP_COLUMN, left);
		if (n > HELP_COLUMN - 2)
			printf("\n  %-*s", HELP_COLUMN, "");
		for (const char *c = specs->help; *c; c++) {
			putchar(*c);
			if (*c == '\n')
				printf("  %-*s", HELP_COLUMN, "");
		}
		putchar('\n');
	}
}
