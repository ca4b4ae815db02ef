/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Updates of limits; see update.h. What an update leaves out stays as it is, and where two values
 * belong together (quota and period, limit and swap) the other one is what was set before.
 */
#include "guestinit/update.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "guestinit/agent.h"
#include "guestinit/arena.h"
#include "guestinit/cgroup.h"
#include "guestinit/container.h"
#include "guestinit/guest.h"
#include "guestinit/sysfile.h"

/* Complements pairs of which the update has one half. */
static void update_complete(struct cfg_resources *r, const struct cfg_resources *old)
{
	if (r->memory.swap.set && !r->memory.limit.set)
		r->memory.limit = old->memory.limit;
	if (r->cpu.quota.set && !(r->cpu.period.set && r->cpu.period.value))
		r->cpu.period = old->cpu.period;
	if (r->cpu.period.set && !(r->cpu.quota.set && r->cpu.quota.value))
		r->cpu.quota = old->cpu.quota;
}

static void update_keep(struct cfg_resources *old, const struct cfg_resources *r)
{
	if (r->memory.limit.set && r->memory.limit.value)
		old->memory.limit = r->memory.limit;
	if (r->memory.swap.set && r->memory.swap.value)
		old->memory.swap = r->memory.swap;
	if (r->cpu.period.set && r->cpu.period.value)
		old->cpu.period = r->cpu.period;
	if (r->cpu.quota.set && r->cpu.quota.value)
		old->cpu.quota = r->cpu.quota;
}

static void update_remember(struct container *c)
{
	static const char *const names[] = {"memory.max", "memory.swap.max", "memory.low",
		"memory.high", "memory.min", "memory.swap.high", "cpu.max", "cpu.max.burst",
		"cpu.idle", "cpu.weight", "pids.max", "hugetlb.2MB.max", "hugetlb.2MB.rsvd.max",
		"hugetlb.1GB.max", "hugetlb.1GB.rsvd.max", "io.weight", "io.bfq.weight",
		/* what "unified" alone sets */
		"memory.oom.group", "memory.zswap.max", "memory.zswap.writeback", "cpu.uclamp.min",
		"cpu.uclamp.max", "misc.max"};
	const struct cfg_resources *r = &c->create->os.resources;

	c->before_update = (struct update_before){
		.set = true,
		.memory = r->memory.limit,
		.swap = r->memory.swap,
		.quota = r->cpu.quota,
		.period = r->cpu.period,
	};
	saved_files_read(
		&c->before_update.files, c->cgroup_fd, names, sizeof(names) / sizeof(names[0]));
}

int guest_update_undo(struct container *c, struct err *e)
{
	const struct update_before *before = &c->before_update;
	struct cfg_resources *r = &c->create->os.resources;

	if (!before->set)
		return err_set(e, EINVAL, "there is no update to take back");
	r->memory.limit = before->memory;
	r->memory.swap = before->swap;
	r->cpu.quota = before->quota;
	r->cpu.period = before->period;
	c->before_update.set = false;
	int ret = saved_files_restore(&before->files, c->cgroup_fd);
	return ret < 0 ? err_sys(e, -ret, "the limits before can't be set again") : 0;
}

/* With checkBeforeUpdate, a limit below what is in use is refused rather than killed for. */
static int update_check(
	struct container *c, const json_t *resources, const struct cfg_resources *r, struct err *e)
{
	const json_t *memory = json_object_get(resources, "memory");
	char text[64];

	if (!json_is_true(json_object_get(memory, "checkBeforeUpdate")) || !r->memory.limit.set ||
		r->memory.limit.value <= 0 ||
		sysfile_read(c->cgroup_fd, "memory.current", text, sizeof(text)) <= 0)
		return 0;
	int64_t used = strtoll(text, NULL, 10);
	if (r->memory.limit.value >= used)
		return 0;
	return err_set(e, EBUSY,
		"unable to set memory limit to %" PRId64 " (current usage: %" PRId64 ")",
		r->memory.limit.value, used);
}

int guest_update(struct container *c, const json_t *resources, struct err *e)
{
	struct cfg_resources *old = &c->create->os.resources, r;
	struct arena arena = {0};
	int ret = create_decode_resources(&arena, resources, &r, e);

	if (ret == 0) {
		update_complete(&r, old);
		ret = update_check(c, resources, &r, e);
	}
	if (ret == 0) {
		struct err second;
		update_remember(c);
		ret = guest_cgroup_limit(c->cgroup_fd, &r, e);
		if (ret < 0 && guest_update_undo(c, &second) < 0)
			agent_log(c->guest->agent, LOG_LEVEL_WARNING, "%s", second.text);
	}
	if (ret == 0) {
		update_keep(old, &r);
		ret = thrash_watch(&c->thrash, &c->guest->loop, c->cgroup_fd);
		if (ret < 0)
			err_sys(e, -ret, "can't watch the cgroup's memory");
	}
	arena_fini(&arena);
	return ret;
}
