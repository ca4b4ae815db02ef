/* SPDX-License-Identifier: Apache-2.0 */
/* The end of containers that thrash at their memory limit; see thrash.h. */
#include "guestinit/thrash.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "guestinit/cgroup.h"
#include "guestinit/sysfile.h"

/* All of its processes waited for memory for 8 of 10 seconds (the longest window there is). */
#define THRASH_TRIGGER "full 8000000 10000000"
/* At the limit, and no more than this part of it could be dropped. */
#define THRASH_FILE_SHARE 10

/* A number of a cgroup file ("max" is none); -1 when it can't be had. */
static int64_t thrash_number(int dir_fd, const char *file)
{
	char text[64];

	if (sysfile_read(dir_fd, file, text, sizeof(text)) <= 0 || text[0] < '0' || text[0] > '9')
		return -1;
	return strtoll(text, NULL, 10);
}

/* The memory that could be dropped: pages of files that are on a disk. */
static int64_t thrash_file_bytes(int dir_fd)
{
	char stat[8192];

	if (sysfile_read(dir_fd, "memory.stat", stat, sizeof(stat)) <= 0)
		return -1;
	int64_t sum = 0;
	static const char *const lines[] = {"\nactive_file ", "\ninactive_file "};
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		const char *line = strstr(stat, lines[i]);
		if (!line)
			return -1;
		sum += strtoll(line + strlen(lines[i]), NULL, 10);
	}
	return sum;
}

static bool thrash_is_out_of_memory(int dir_fd)
{
	int64_t limit = thrash_number(dir_fd, "memory.max");
	int64_t used = thrash_number(dir_fd, "memory.current");
	int64_t file = thrash_file_bytes(dir_fd);

	return limit > 0 && file >= 0 && used > limit - limit / THRASH_FILE_SHARE &&
		file < limit / THRASH_FILE_SHARE;
}

static void thrash_ready(struct loop_source *source, uint32_t events)
{
	struct thrash *thrash =
		(struct thrash *)(void *)((char *)source - offsetof(struct thrash, source));

	if (events & (EPOLLERR | EPOLLHUP)) {
		thrash_fini(thrash); /* the cgroup is gone */
		return;
	}
	if (!thrash_is_out_of_memory(thrash->cgroup_fd))
		return;
	thrash->killed = true;
	guest_cgroup_kill(thrash->cgroup_fd);
}

void thrash_init(struct thrash *thrash)
{
	*thrash = (struct thrash){.source = {.fd = -1, .ready = thrash_ready}, .cgroup_fd = -1};
}

int thrash_watch(struct thrash *thrash, struct loop *loop, int cgroup_fd)
{
	if (thrash_number(cgroup_fd, "memory.max") < 0)
		return 0;
	cleanup_close int fd =
		openat(cgroup_fd, "memory.pressure", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || errno == EOPNOTSUPP ? 0 : -errno;
	/* The terminating NUL belongs to it. */
	if (write(fd, THRASH_TRIGGER, sizeof(THRASH_TRIGGER)) < 0)
		return errno == EOPNOTSUPP ? 0 : -errno;
	int ret = loop_add(loop, &thrash->source, fd, EPOLLPRI);
	if (ret < 0)
		return ret;
	(void)steal_fd(&fd);
	thrash->loop = loop;
	thrash->cgroup_fd = cgroup_fd;
	return 0;
}

void thrash_fini(struct thrash *thrash)
{
	int fd = thrash->source.fd;

	if (fd < 0)
		return;
	loop_del(thrash->loop, &thrash->source);
	close(fd);
}
