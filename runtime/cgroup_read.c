/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers out of a cgroup's files. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/cgroup_internal.h"

#define FILE_BYTES 8192

static int parse_number(const char *text, uint64_t *value)
{
	char *end;

	if (strncmp(text, "max", 3) == 0) {
		*value = UINT64_MAX;
		return 0;
	}
	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	*value = strtoull(text, &end, 10);
	return errno || (*end && *end != '\n' && *end != ' ') ? -EINVAL : 0;
}

int cgroup_read_number(const char *dir, const char *file, uint64_t *value)
{
	char text[64];
	int r = cgroup_read(dir, file, text, sizeof(text));

	return r < 0 ? r : parse_number(text, value);
}

int cgroup_read_field(const char *dir, const char *file, const char *name, uint64_t *value)
{
	char text[FILE_BYTES], *save = NULL;
	size_t len = strlen(name);
	int r = cgroup_read(dir, file, text, sizeof(text));

	if (r < 0)
		return r;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (strncmp(line, name, len) == 0 && line[len] == ' ')
			return parse_number(line + len + 1, value);
	}
	return -ENOENT;
}
