/* SPDX-License-Identifier: Apache-2.0 */
/* Cgroups of containers; see cgroup.h. */
#include "guestinit/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "guestinit/create.h"
#include "guestinit/sysfile.h"

#define CGROUP_LIST_BYTES 512
#define KILL_WAIT_MS	  5000

/* A controller that can't be enabled is missed by whoever sets a limit with it, by name. */
int guest_cgroup_enable(int root_fd)
{
	char list[CGROUP_LIST_BYTES], words[2 * CGROUP_LIST_BYTES] = "";
	char *save = NULL;
	int ret = sysfile_read(root_fd, "cgroup.controllers", list, sizeof(list));

	if (ret < 0)
		return ret;
	size_t used = 0;
	for (char *p = strtok_r(list, " \n", &save); p; p = strtok_r(NULL, " \n", &save))
		used += (size_t)snprintf(words + used, sizeof(words) - used, "+%s ", p);
	if (!used || sysfile_write(root_fd, "cgroup.subtree_control", words) == 0)
		return 0;
	for (char *p = strtok_r(words, " ", &save); p; p = strtok_r(NULL, " ", &save)) {
		ret = sysfile_write(root_fd, "cgroup.subtree_control", p);
		(void)ret;
	}
	return 0;
}

int guest_cgroup_create(int root_fd, const char *name, struct err *e)
{
	if (mkdirat(root_fd, name, 0755) < 0)
		return err_sys(e, errno, "cgroup \"%s\"", name);
	int fd = openat(root_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0) {
		int code = errno;
		guest_cgroup_remove(root_fd, name);
		return err_sys(e, code, "cgroup \"%s\"", name);
	}
	return fd;
}

/* One limit. "max" for negative numbers is the caller's business. */
static int limit_write(int dir_fd, const char *file, const char *field, struct err *e,
	const char *fmt, ...) __attribute__((format(printf, 5, 6)));

static int limit_write(
	int dir_fd, const char *file, const char *field, struct err *e, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	int ret = sysfile_write(dir_fd, file, text);
	if (ret == -ENOENT)
		return err_set(e, ENOTSUP,
			"config.linux.resources.%s: the guest's kernel has no %s", field, file);
	if (ret < 0)
		return err_sys(e, -ret, "config.linux.resources.%s: can't write \"%s\" to %s",
			field, text, file);
	return 0;
}

static int limit_bytes(
	int dir_fd, const char *file, const char *field, int64_t value, struct err *e)
{
	if (value < 0)
		return limit_write(dir_fd, file, field, e, "max");
	return limit_write(dir_fd, file, field, e, "%" PRId64, value);
}

/*
 * OCI's swap is memory and swap together; cgroup v2 limits swap alone (runc's conversion). Without
 * swap in the kernel there is no such file, and nothing to limit.
 */
static int limit_swap(int dir_fd, const struct cfg_resources *r, struct err *e)
{
	int64_t swap = r->memory.swap.value, limit = r->memory.limit.value;
	static const char field[] = "memory.swap";

	if (!r->memory.swap.set || swap == 0)
		return 0;
	if (swap > 0 && (!r->memory.limit.set || limit == 0))
		return err_set(
			e, EINVAL, "config.linux.resources.%s: needs memory.limit as well", field);
	if (swap > 0 && limit > 0 && swap < limit)
		return err_set(
			e, EINVAL, "config.linux.resources.%s: less than memory.limit", field);
	if (faccessat(dir_fd, "memory.swap.max", F_OK, 0) < 0)
		return 0;
	int64_t value = swap < 0 || limit < 0 ? -1 : swap - limit;
	return limit_bytes(dir_fd, "memory.swap.max", field, value, e);
}

static int limit_memory(int dir_fd, const struct cfg_resources *r, struct err *e)
{
	int ret = limit_swap(dir_fd, r, e);

	if (ret == 0 && r->memory.limit.set && r->memory.limit.value)
		ret = limit_bytes(dir_fd, "memory.max", "memory.limit", r->memory.limit.value, e);
	if (ret == 0 && r->memory.reservation.set && r->memory.reservation.value)
		ret = limit_bytes(
			dir_fd, "memory.low", "memory.reservation", r->memory.reservation.value, e);
	return ret;
}

/* shares 2…262144 onto weight 1…10000, linearly, as every runtime does it. */
static uint64_t cpu_weight(uint64_t shares)
{
	if (shares < 2)
		return 1;
	if (shares > 262144)
		return 10000;
	return 1 + (shares - 2) * 9999 / 262142;
}

static int limit_quota(int dir_fd, const struct cfg_resources *r, struct err *e)
{
	uint64_t period = r->cpu.period.set && r->cpu.period.value ? r->cpu.period.value : 100000;

	if (!(r->cpu.quota.set && r->cpu.quota.value) &&
		!(r->cpu.period.set && r->cpu.period.value))
		return 0;
	if (r->cpu.quota.value > 0)
		return limit_write(dir_fd, "cpu.max", "cpu.quota", e, "%" PRId64 " %" PRIu64,
			r->cpu.quota.value, period);
	return limit_write(dir_fd, "cpu.max", "cpu.quota", e, "max %" PRIu64, period);
}

static int limit_cpu(int dir_fd, const struct cfg_resources *r, struct err *e)
{
	int ret = 0;

	if (r->cpu.idle.set)
		ret = limit_write(dir_fd, "cpu.idle", "cpu.idle", e, "%" PRId64, r->cpu.idle.value);
	if (ret == 0 && r->cpu.shares.set && r->cpu.shares.value &&
		!(r->cpu.idle.set && r->cpu.idle.value)) /* an idle cgroup has no weight */
		ret = limit_write(dir_fd, "cpu.weight", "cpu.shares", e, "%" PRIu64,
			cpu_weight(r->cpu.shares.value));
	if (ret == 0)
		ret = limit_quota(dir_fd, r, e);
	if (ret == 0 && r->cpu.burst.set)
		ret = limit_write(
			dir_fd, "cpu.max.burst", "cpu.burst", e, "%" PRIu64, r->cpu.burst.value);
	if (ret == 0 && r->cpu.cpus && r->cpu.cpus[0])
		ret = limit_write(dir_fd, "cpuset.cpus", "cpu.cpus", e, "%s", r->cpu.cpus);
	if (ret == 0 && r->cpu.mems && r->cpu.mems[0])
		ret = limit_write(dir_fd, "cpuset.mems", "cpu.mems", e, "%s", r->cpu.mems);
	return ret;
}

static int limit_hugepages(int dir_fd, const struct cfg_resources *r, struct err *e)
{
	for (size_t i = 0; i < r->hugepages.n; i++) {
		const struct cfg_hugepage *huge = &r->hugepages.v[i];
		char file[64];

		if (strchr(huge->page_size, '/') || strlen(huge->page_size) > 16)
			return err_set(e, EINVAL,
				"config.linux.resources.hugepageLimits[%zu].pageSize: malformed",
				i);
		snprintf(file, sizeof(file), "hugetlb.%s.max", huge->page_size);
		int ret = limit_write(
			dir_fd, file, "hugepageLimits", e, "%" PRIu64, huge->limit.value);
		if (ret < 0)
			return ret;
		/* Reservations as well, or a fault beyond the limit would be a SIGBUS (runc). */
		snprintf(file, sizeof(file), "hugetlb.%s.rsvd.max", huge->page_size);
		ret = sysfile_writef(dir_fd, file, "%" PRIu64, huge->limit.value);
		if (ret < 0 && ret != -ENOENT)
			return err_sys(e, -ret, "config.linux.resources.hugepageLimits[%zu]", i);
	}
	return 0;
}

static int limit_throttle(int dir_fd, const struct cfg_blkio_device *v, size_t n, const char *key,
	const char *field, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		int ret = limit_write(dir_fd, "io.max", field, e,
			"%" PRId64 ":%" PRId64 " %s=%" PRIu64, v[i].major.value, v[i].minor.value,
			key, v[i].rate.value);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* blkio's 10…1000 onto io.weight's 1…10000. */
static uint64_t io_weight(uint64_t weight)
{
	if (weight < 10)
		return 1;
	return weight > 1000 ? 10000 : 1 + (weight - 10) * 9999 / 990;
}

static int limit_io_weight(int dir_fd, const struct cfg_resources *r, struct err *e)
{
	bool bfq = faccessat(dir_fd, "io.bfq.weight", F_OK, 0) == 0;
	const char *file = bfq ? "io.bfq.weight" : "io.weight";
	int ret = 0;

	if (r->blkio.weight.set && r->blkio.weight.value) {
		uint64_t weight = r->blkio.weight.value;
		ret = limit_write(dir_fd, file, "blockIO.weight", e, "default %" PRIu64,
			bfq ? weight : io_weight(weight));
	}
	for (size_t i = 0; i < r->blkio.weights.n && ret == 0; i++) {
		const struct cfg_blkio_device *dev = &r->blkio.weights.v[i];
		ret = limit_write(dir_fd, file, "blockIO.weightDevice", e,
			"%" PRId64 ":%" PRId64 " %" PRIu64, dev->major.value, dev->minor.value,
			bfq ? dev->weight.value : io_weight(dev->weight.value));
	}
	return ret;
}

static int limit_io(int dir_fd, const struct cfg_resources *r, struct err *e)
{
	int ret = limit_io_weight(dir_fd, r, e);

	if (ret == 0)
		ret = limit_throttle(dir_fd, r->blkio.read_bps.v, r->blkio.read_bps.n, "rbps",
			"blockIO.throttleReadBpsDevice", e);
	if (ret == 0)
		ret = limit_throttle(dir_fd, r->blkio.write_bps.v, r->blkio.write_bps.n, "wbps",
			"blockIO.throttleWriteBpsDevice", e);
	if (ret == 0)
		ret = limit_throttle(dir_fd, r->blkio.read_iops.v, r->blkio.read_iops.n, "riops",
			"blockIO.throttleReadIOPSDevice", e);
	if (ret == 0)
		ret = limit_throttle(dir_fd, r->blkio.write_iops.v, r->blkio.write_iops.n, "wiops",
			"blockIO.throttleWriteIOPSDevice", e);
	return ret;
}

static int limit_rdma(int dir_fd, const struct cfg_resources *r, struct err *e)
{
	for (size_t i = 0; i < r->rdma.n; i++) {
		const struct cfg_rdma *rdma = &r->rdma.v[i];
		char handles[32] = "max", objects[32] = "max";

		if (rdma->handles.set)
			snprintf(handles, sizeof(handles), "%" PRIu64, rdma->handles.value);
		if (rdma->objects.set)
			snprintf(objects, sizeof(objects), "%" PRIu64, rdma->objects.value);
		int ret = limit_write(dir_fd, "rdma.max", "rdma", e,
			"%.64s hca_handle=%s hca_object=%s", rdma->device, handles, objects);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int guest_cgroup_limit(int dir_fd, const struct cfg_resources *r, struct err *e)
{
	int ret = limit_memory(dir_fd, r, e);

	if (ret == 0)
		ret = limit_cpu(dir_fd, r, e);
	if (ret == 0 && r->pids_limit.set && r->pids_limit.value)
		ret = limit_bytes(dir_fd, "pids.max", "pids.limit", r->pids_limit.value, e);
	if (ret == 0)
		ret = limit_hugepages(dir_fd, r, e);
	if (ret == 0)
		ret = limit_io(dir_fd, r, e);
	if (ret == 0)
		ret = limit_rdma(dir_fd, r, e);
	for (size_t i = 0; i < r->unified.n && ret == 0; i++) {
		const struct cfg_sysctl *file = &r->unified.v[i];
		ret = sysfile_write(dir_fd, file->key, file->value);
		if (ret < 0)
			err_sys(e, -ret, "config.linux.resources.unified[\"%.64s\"]", file->key);
	}
	return ret;
}

/* The files that /sys/kernel/cgroup/delegate has named since Linux 4.15. */
int guest_cgroup_delegate(int dir_fd, uid_t uid, struct err *e)
{
	static const char *const files[] = {
		"cgroup.procs", "cgroup.threads", "cgroup.subtree_control", "memory.oom.group"};

	if (fchown(dir_fd, uid, (gid_t)-1) < 0)
		return err_sys(e, errno, "can't delegate the cgroup");
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (fchownat(dir_fd, files[i], uid, (gid_t)-1, AT_SYMLINK_NOFOLLOW) < 0 &&
			errno != ENOENT)
			return err_sys(e, errno, "can't delegate the cgroup's %s", files[i]);
	return 0;
}

bool guest_cgroup_oom(int dir_fd)
{
	char events[512];

	if (dir_fd < 0 || sysfile_read(dir_fd, "memory.events", events, sizeof(events)) < 0)
		return false;
	const char *kills = strstr(events, "oom_kill ");
	return kills && strtoull(kills + strlen("oom_kill "), NULL, 10) > 0;
}

void guest_cgroup_kill(int dir_fd)
{
	int ignored = sysfile_write(dir_fd, "cgroup.kill", "1");

	(void)ignored; /* in kernels before 5.14 the pid namespace has to do */
}

void guest_cgroup_kill_wait(int dir_fd)
{
	char events[CGROUP_LIST_BYTES];

	guest_cgroup_kill(dir_fd);
	for (unsigned ms = 0; ms < KILL_WAIT_MS; ms++) {
		if (sysfile_read(dir_fd, "cgroup.events", events, sizeof(events)) < 0 ||
			strstr(events, "populated 0"))
			return;
		usleep(1000);
	}
}

void guest_cgroup_remove(int root_fd, const char *name)
{
	unlinkat(root_fd, name, AT_REMOVEDIR);
}
