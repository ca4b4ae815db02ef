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

static void print_call(FILE *out, const struct call *call)
{
	const char *name = filter_call_name(call->nr);

	fputs(name ? name : "?", out);
	if (call->rule == CALL_CHECKED && !call->own)
		fprintf(out, " %u 0x%x 0x%x", call->arg, call->mask, call->value);
	if (call->rule == CALL_REFUSED)
		fputs(" refused", out);
	else if (call->rarely)
		fputs(" rarely", out);
	fputc('\n', out);
}

void filter_print(FILE *out, const struct filter *filter, const char *suffix)
{
	for (unsigned p = 0; p < FILTER_PARTS_MAX && filter->parts[p]; p++) {
		for (size_t i = 0; i < filter->parts[p]->n; i++) {
			fprintf(out, "%s%s ", filter->kind, suffix);
			print_call(out, &filter->parts[p]->table[i]);
		}
	}
}
