/* SPDX-License-Identifier: Apache-2.0 */
/* The end of containers that thrash at their memory limit; see thrash.h. */
#include "guestinit/thrash.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "guestinit/cgroup.h"
#include "guestinit/sysfile.h"

#define THRASH_LOOK_NS	 UINT64_C(5000000000)
#define THRASH_STRIKES	 3  /* looks in a row, before the container is ended */
#define THRASH_SHARE	 10 /* at the limit: within this part of it; and less than it to drop */
#define THRASH_TURNS	 4 /* each page that could be dropped came back as often between two looks */
#define THRASH_PAGES_MIN 32
#define THRASH_PAGE	 4096
#define THRASH_READAHEAD 32 /* pages that one fault brings back at the most: 128 KiB */

/* A number of a cgroup file ("max" is none); -1 when it can't be had. */
static int64_t thrash_number(int dir_fd, const char *file)
{
	char text[64];

	if (sysfile_read(dir_fd, file, text, sizeof(text)) <= 0 || text[0] < '0' || text[0] > '9')
		return -1;
	return strtoll(text, NULL, 10);
}

/* The value of a line of memory.stat, or 0; name begins with the newline before it. */
static int64_t thrash_stat(const char *stat, const char *name)
{
	const char *line = strstr(stat, name);

	return line ? strtoll(line + strlen(name), NULL, 10) : 0;
}

static bool thrash_looks_like_it(struct thrash *thrash)
{
	int64_t limit = thrash_number(thrash->cgroup_fd, "memory.max");
	int64_t used = thrash_number(thrash->cgroup_fd, "memory.current");
	char stat[8192];

	if (limit <= 0 || used < limit - limit / THRASH_SHARE)
		return false;
	if (sysfile_read(thrash->cgroup_fd, "memory.stat", stat, sizeof(stat)) <= 0)
		return false;
	int64_t file = thrash_stat(stat, "\nactive_file ") + thrash_stat(stat, "\ninactive_file ");
	int64_t refaults = thrash_stat(stat, "\nworkingset_refault_file ");
	int64_t faults = thrash_stat(stat, "\npgmajfault ");
	int64_t came_back = refaults - thrash->refaults, pages = file / THRASH_PAGE;
	int64_t faulted_in = (faults - thrash->faults) * THRASH_READAHEAD;
	thrash->refaults = refaults;
	thrash->faults = faults;
	if (pages < THRASH_PAGES_MIN)
		pages = THRASH_PAGES_MIN;
	/* Who reads a file over and over gets on; who waits for its own text does not. */
	return file < limit / THRASH_SHARE && came_back > THRASH_TURNS * pages &&
		faulted_in >= came_back;
}

static void thrash_look(struct loop_timer *timer)
{
	struct thrash *thrash =
		(struct thrash *)(void *)((char *)timer - offsetof(struct thrash, timer));

	thrash->strikes = thrash_looks_like_it(thrash) ? thrash->strikes + 1 : 0;
	if (thrash->strikes < THRASH_STRIKES)
		return;
	thrash->killed = true;
	guest_cgroup_kill(thrash->cgroup_fd);
}

void thrash_init(struct thrash *thrash)
{
	*thrash = (struct thrash){.cgroup_fd = -1};
}

int thrash_watch(struct thrash *thrash, struct loop *loop, int cgroup_fd)
{
	if (thrash->armed || thrash_number(cgroup_fd, "memory.max") < 0)
		return 0;
	int ret = loop_timer_init(loop, &thrash->timer, thrash_look);
	if (ret < 0)
		return ret;
	thrash->cgroup_fd = cgroup_fd;
	thrash->armed = true;
	return loop_timer_set(&thrash->timer, THRASH_LOOK_NS, THRASH_LOOK_NS);
}

void thrash_fini(struct thrash *thrash)
{
	if (!thrash->armed)
		return;
	thrash->armed = false;
	loop_timer_fini(&thrash->timer);
}
