/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers out of a cgroup's files. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/fd.h"
#include "runtime/cgroup_internal.h"

#define FILE_BYTES    8192
#define V1_NO_LIMIT   (1ull << 62) /* v1 writes no limit as a number of pages that nobody has */
#define NS_PER_US     1000
#define US_PER_SECOND 1000000ull

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

/* Sets a number that could be read; those that the host does not tell are left out. */
static int put(json_t *object, const char *name, int r, uint64_t value)
{
	if (r < 0)
		return 0;
	return json_object_set_new(
		object, name, json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value));
}

static int put_number(json_t *object, const char *name, const char *dir, const char *file)
{
	uint64_t value = 0;
	int r = cgroup_read_number(dir, file, &value);

	return r == 0 && value >= V1_NO_LIMIT ? 0 : put(object, name, r, value);
}

static int put_field(
	json_t *object, const char *name, const char *dir, const char *file, const char *field)
{
	uint64_t value = 0;
	int r = cgroup_read_field(dir, file, field, &value);

	return put(object, name, r, value);
}

static int cpu_v1(json_t *cpu, const char *dir)
{
	uint64_t ns = 0, user = 0, system = 0, hz = (uint64_t)sysconf(_SC_CLK_TCK);
	int usage = cgroup_read_number(dir, "cpuacct.usage", &ns);
	int u = cgroup_read_field(dir, "cpuacct.stat", "user", &user);
	int s = cgroup_read_field(dir, "cpuacct.stat", "system", &system);

	return put(cpu, "usage_usec", usage, ns / NS_PER_US) |
		put(cpu, "user_usec", u, user * (US_PER_SECOND / hz)) |
		put(cpu, "system_usec", s, system * (US_PER_SECOND / hz));
}

static int cpu_stats(const struct cgroup *cg, json_t *cpu)
{
	const struct cgroup_place *place = cgroup_place_of(cg, "cpuacct");

	if (!place)
		return 0;
	if (!cgroup_place_v2(place))
		return cpu_v1(cpu, place->path);
	return put_field(cpu, "usage_usec", place->path, "cpu.stat", "usage_usec") |
		put_field(cpu, "user_usec", place->path, "cpu.stat", "user_usec") |
		put_field(cpu, "system_usec", place->path, "cpu.stat", "system_usec");
}

static int memory_stats(const struct cgroup *cg, json_t *memory)
{
	const struct cgroup_place *place = cgroup_place_of(cg, "memory");
	const char *dir = place ? place->path : NULL;

	if (!place)
		return 0;
	if (!cgroup_place_v2(place))
		return put_number(memory, "current", dir, "memory.usage_in_bytes") |
			put_number(memory, "peak", dir, "memory.max_usage_in_bytes") |
			put_number(memory, "max", dir, "memory.limit_in_bytes") |
			put_field(memory, "oom_kill", dir, "memory.oom_control", "oom_kill");
	return put_number(memory, "current", dir, "memory.current") |
		put_number(memory, "peak", dir, "memory.peak") |
		put_number(memory, "max", dir, "memory.max") |
		put_field(memory, "oom_kill", dir, "memory.events", "oom_kill");
}

int cgroup_stats(const struct cgroup *cg, json_t **out)
{
	cleanup_json json_t *stats = json_pack("{s:{}, s:{}, s:{}}", "cpu", "memory", "pids");
	const struct cgroup_place *pids = cgroup_place_of(cg, "pids");

	if (!stats || cpu_stats(cg, json_object_get(stats, "cpu")) ||
		memory_stats(cg, json_object_get(stats, "memory")) ||
		(pids &&
			put_number(json_object_get(stats, "pids"), "current", pids->path,
				"pids.current")))
		return -ENOMEM;
	*out = steal_ptr(&stats);
	return 0;
}
