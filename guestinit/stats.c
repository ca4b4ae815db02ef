/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The numbers of a container's cgroup (v2) as JSON, under the names that the kernel has for them,
 * and of its network. What the kernel does not have is left out.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/json.h"
#include "guestinit/container.h"
#include "guestinit/network.h"
#include "guestinit/query.h"
#include "guestinit/sysfile.h"

#define STATS_FILE_BYTES 16384
#define STATS_DEVICES	 64

static void stats_set(json_t *out, const char *key, json_int_t value)
{
	int ret = json_object_set_new(out, key, json_integer(value));

	(void)ret; /* without memory it is left out */
}

/* One number of a file; "max" and a missing file are none. */
static void stats_number(json_t *out, const char *key, int dir_fd, const char *file)
{
	char text[64];

	if (sysfile_read(dir_fd, file, text, sizeof(text)) > 0 && text[0] >= '0' && text[0] <= '9')
		stats_set(out, key, strtoll(text, NULL, 10));
}

/* A file of lines "name number". */
static json_t *stats_lines(int dir_fd, const char *file)
{
	cleanup_free char *text = malloc(STATS_FILE_BYTES);
	json_t *out = json_object();
	char *save = NULL;

	if (!text || !out || sysfile_read(dir_fd, file, text, STATS_FILE_BYTES) <= 0)
		return out;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *space = strchr(line, ' ');
		if (!space)
			continue;
		*space = '\0';
		stats_set(out, line, strtoll(space + 1, NULL, 10));
	}
	return out;
}

static json_t *stats_memory(int dir)
{
	json_t *out = json_pack("{so so}", "events", stats_lines(dir, "memory.events"), "stat",
		stats_lines(dir, "memory.stat"));

	if (!out)
		return NULL;
	stats_number(out, "current", dir, "memory.current");
	stats_number(out, "peak", dir, "memory.peak");
	stats_number(out, "max", dir, "memory.max");
	stats_number(out, "swap_current", dir, "memory.swap.current");
	stats_number(out, "swap_max", dir, "memory.swap.max");
	return out;
}

static json_t *stats_pids(int dir)
{
	json_t *out = json_object();

	stats_number(out, "current", dir, "pids.current");
	stats_number(out, "max", dir, "pids.max");
	return out;
}

/* "8:0 rbytes=1 wbytes=2 …" */
static json_t *stats_device(char *line)
{
	unsigned major, minor;
	char *save = NULL;

	if (sscanf(line, "%u:%u", &major, &minor) != 2)
		return NULL;
	json_t *out = json_pack("{si si}", "major", (int)major, "minor", (int)minor);
	strtok_r(line, " ", &save); /* the numbers */
	for (char *word; out && (word = strtok_r(NULL, " ", &save));) {
		char *equals = strchr(word, '=');
		if (!equals)
			continue;
		*equals = '\0';
		stats_set(out, word, strtoll(equals + 1, NULL, 10));
	}
	return out;
}

static json_t *stats_io(int dir)
{
	cleanup_free char *text = malloc(STATS_FILE_BYTES);
	json_t *out = json_array();
	char *save = NULL;

	if (!text || !out || sysfile_read(dir, "io.stat", text, STATS_FILE_BYTES) <= 0)
		return out;
	for (char *line = strtok_r(text, "\n", &save); line && json_array_size(out) < STATS_DEVICES;
		line = strtok_r(NULL, "\n", &save)) {
		json_t *device = stats_device(line);
		if (device && json_array_append_new(out, device) < 0)
			break;
	}
	return out;
}

/* Of one page size, as "2MB". */
static json_t *stats_hugepages(int dir, const char *size)
{
	json_t *out = json_object();
	char file[64];

	snprintf(file, sizeof(file), "hugetlb.%s.current", size);
	stats_number(out, "current", dir, file);
	snprintf(file, sizeof(file), "hugetlb.%s.max", size);
	stats_number(out, "max", dir, file);
	snprintf(file, sizeof(file), "hugetlb.%s.events", size);
	json_t *events = stats_lines(dir, file);
	stats_set(out, "failcnt", json_integer_value(json_object_get(events, "max")));
	json_decref(events);
	return out;
}

static json_t *stats_hugetlb(int dir_fd)
{
	json_t *out = json_object();
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir) {
		fd_closep(&fd);
		return out;
	}
	for (struct dirent *entry; (entry = readdir(dir));) {
		char size[16], rest[16];
		/* hugetlb.2MB.current, but not hugetlb.2MB.rsvd.current */
		if (sscanf(entry->d_name, "hugetlb.%15[0-9KMGB].%15s", size, rest) != 2 ||
			strcmp(rest, "current") != 0)
			continue;
		if (json_object_set_new(out, size, stats_hugepages(dir_fd, size)) < 0)
			break;
	}
	closedir(dir);
	return out;
}

json_t *query_stats(struct container *c, struct err *e)
{
	int dir = c->cgroup_fd;
	json_t *out = json_pack("{s{so so so so so so}}", "stats", "cpu",
		stats_lines(dir, "cpu.stat"), "memory", stats_memory(dir), "pids", stats_pids(dir),
		"io", stats_io(dir), "hugetlb", stats_hugetlb(dir), "network",
		c->has_network ? guest_network_stats(c->guest) : json_array());

	if (!out)
		err_set(e, ENOMEM, "out of memory");
	return out;
}
