/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes into a container's cgroup, from outside, alone or with all that they have started. A
 * child is where its parent is when it is forked: with the parents in, the children that are still
 * missing are those from before, and whoever looks then finds them.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "runtime/cgroup_internal.h"
#include "runtime/descendants.h"

static int attach(const struct cgroup *cg, const pid_t *pids, size_t n, struct err *e)
{
	char text[16];

	if (cg->attach_late)
		return cgroup_systemd_attach(cg, pids, n, e);
	for (size_t i = 0; i < cg->n; i++) {
		for (size_t j = 0; j < n; j++) {
			snprintf(text, sizeof(text), "%d", (int)pids[j]);
			int r = cgroup_write(cg->places[i].path, "cgroup.procs", text);
			if (r < 0)
				return err_sys(e, -r, "cgroup: process %s into %s", text,
					cg->places[i].path);
		}
	}
	return 0;
}

/* Drops those that are gone from a list; how many are left. */
static size_t keep_living(pid_t *pids, size_t n)
{
	size_t left = 0;

	for (size_t i = 0; i < n; i++)
		if (kill(pids[i], 0) == 0 || errno == EPERM)
			pids[left++] = pids[i];
	return left;
}

/* What others have started may end at any time: nothing is amiss then. */
static int attach_children(const struct cgroup *cg, const pid_t *pids, size_t n, struct err *e)
{
	pid_t left[DESCENDANTS_MAX];
	size_t before;
	int ret;

	memcpy(left, pids, n * sizeof(*pids));
	do {
		ret = attach(cg, left, n, e);
		before = n;
		if (ret < 0)
			n = keep_living(left, n);
	} while (ret < 0 && n > 0 && n < before);
	return n > 0 ? ret : 0;
}

int cgroup_attach(const struct cgroup *cg, pid_t pid, struct err *e)
{
	return attach(cg, &pid, 1, e);
}

int cgroup_attach_trees(const struct cgroup *cg, const pid_t *pids, size_t n, struct err *e)
{
	pid_t list[DESCENDANTS_MAX];
	size_t known = 0, in;

	for (size_t i = 0; i < n && known < DESCENDANTS_MAX; i++)
		if (pids[i] > 0)
			list[known++] = pids[i];
	int ret = attach(cg, list, known, e);
	for (in = known; ret == 0; in = known) {
		ret = descendants_add(list, &known, DESCENDANTS_MAX);
		if (ret < 0)
			return err_sys(e, -ret, "cgroup: the processes below %d", (int)list[0]);
		if (known == in)
			break;
		ret = attach_children(cg, list + in, known - in, e);
	}
	return ret;
}
