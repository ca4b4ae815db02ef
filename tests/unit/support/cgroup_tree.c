/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/support/cgroup_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/cgroup_internal.h"

char cgroup_tree_root[64], cgroup_tree_proc[96];

void cgroup_tree_put(const char *name, const char *text)
{
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", cgroup_tree_root, name);
	for (char *c = path + strlen(cgroup_tree_root) + 1; *c; c++) {
		if (*c != '/')
			continue;
		*c = '\0';
		(void)!mkdir(path, 0755);
		*c = '/';
	}
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

void cgroup_tree_expect(const char *name, const char *want)
{
	char path[512], text[256] = "";

	snprintf(path, sizeof(path), "%s/%s", cgroup_tree_root, name);
	assert_int_equal(cgroup_read(cgroup_tree_root, name, text, sizeof(text)), 0);
	assert_string_equal(text, want);
}

void cgroup_tree_host(const char *mountinfo, const char *own)
{
	char text[4096], *out = text;

	for (const char *in = mountinfo; *in; in++) {
		if (*in == '%')
			out += sprintf(out, "%s", cgroup_tree_root);
		else
			*out++ = *in;
	}
	*out = '\0';
	cgroup_tree_put("proc/self/mountinfo", text);
	cgroup_tree_put("proc/self/cgroup", own);
	cgroup_tree_put("proc/1/cgroup", own);
}

int cgroup_tree_setup(void **state)
{
	(void)state;
	strcpy(cgroup_tree_root, "/tmp/hvrun-cgroup.XXXXXX");
	if (!mkdtemp(cgroup_tree_root))
		return -1;
	snprintf(cgroup_tree_proc, sizeof(cgroup_tree_proc), "%s/proc", cgroup_tree_root);
	return 0;
}

int cgroup_tree_teardown(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", cgroup_tree_root);
	return system(command);
}
