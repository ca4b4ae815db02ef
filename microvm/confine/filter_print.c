/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of system calls as text; see filter.h. */
#include "microvm/confine/filter.h"

/* In an array of arrays, not of pointers: nothing of it is touched or relocated at a start. */
static const char names[][32] = {
#include <syscall_names.h> /* made by make */
};

const char *filter_call_name(unsigned nr)
{
	return nr < sizeof(names) / sizeof(names[0]) && names[nr][0] ? names[nr] : NULL;
}

/* With the n behind it that have to hold, too. */
static void print_call(FILE *out, const struct call *call, size_t n)
{
	const char *name = filter_call_name(call->nr);

	fputs(name ? name : "?", out);
	for (size_t i = 0; i <= n; i++)
		if (call[i].rule == CALL_CHECKED && !call[i].own)
			fprintf(out, " %u 0x%x 0x%x", call[i].arg, call[i].mask, call[i].value);
	if (call->rule == CALL_REFUSED)
		fputs(" refused", out);
	else if (call->rarely)
		fputs(" rarely", out);
	fputc('\n', out);
}

void filter_print(FILE *out, const struct filter *filter, const char *suffix)
{
	for (unsigned p = 0; p < FILTER_PARTS_MAX && filter->parts[p]; p++) {
		const struct calls *part = filter->parts[p];
		for (size_t i = 0, more; i < part->n; i += 1 + more) {
			for (more = 0; i + more + 1 < part->n && part->table[i + more + 1].also;)
				more++;
			fprintf(out, "%s%s ", filter->kind, suffix);
			print_call(out, &part->table[i], more);
		}
	}
}
