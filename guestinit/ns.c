/* SPDX-License-Identifier: Apache-2.0 */
/* Namespaces of a container; see ns.h. */
#include "guestinit/ns.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "guestinit/create.h"
#include "guestinit/syscalls.h"
#include "guestinit/sysfile.h"

#define NS_MAP_BYTES 4096 /* the kernel takes at most a page, in one write */

static int ns_write_map(int proc_fd, pid_t pid, const char *file, const struct cfg_id_maps *maps)
{
	char text[NS_MAP_BYTES], path[64];
	size_t used = 0;

	for (size_t i = 0; i < maps->n; i++) {
		int len = snprintf(text + used, sizeof(text) - used,
			"%" PRIu32 " %" PRIu32 " %" PRIu32 "\n", maps->v[i].container_id,
			maps->v[i].host_id, maps->v[i].size);
		if (len < 0 || (size_t)len >= sizeof(text) - used)
			return -E2BIG;
		used += (size_t)len;
	}
	snprintf(path, sizeof(path), "%d/%s", (int)pid, file);
	return sysfile_write(proc_fd, path, text);
}

int ns_write_maps(int proc_fd, pid_t pid, const struct cfg_id_maps *uids,
	const struct cfg_id_maps *gids, struct err *e)
{
	int ret = ns_write_map(proc_fd, pid, "uid_map", uids);

	if (ret < 0)
		return err_sys(e, -ret, "uidMappings");
	ret = ns_write_map(proc_fd, pid, "gid_map", gids);
	return ret < 0 ? err_sys(e, -ret, "gidMappings") : 0;
}

uint32_t ns_map_id(const struct cfg_id_maps *maps, uint32_t id)
{
	if (!maps->n)
		return id;
	for (size_t i = 0; i < maps->n; i++) {
		const struct cfg_id_map *map = &maps->v[i];
		if (id >= map->container_id && id - map->container_id < map->size)
			return map->host_id + (id - map->container_id);
	}
	return (uint32_t)-1;
}

/* A user namespace lives through a process in it: one that waits until it is opened. */
int ns_open_user(
	int proc_fd, const struct cfg_id_maps *uids, const struct cfg_id_maps *gids, struct err *e)
{
	struct clone_args args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
	char path[64];

	pid_t pid = sys_clone3(&args);
	if (pid < 0)
		return err_sys(e, errno, "can't make a user namespace");
	if (pid == 0) {
		for (;;)
			pause();
	}
	int ret = ns_write_maps(proc_fd, pid, uids, gids, e);
	int fd = -1;
	if (ret == 0) {
		snprintf(path, sizeof(path), "%d/ns/user", (int)pid);
		fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			ret = err_sys(e, errno, "can't open the user namespace");
	}
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return ret < 0 ? ret : fd;
}

int ns_loopback_up(struct err *e)
{
	cleanup_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};

	/* A kernel without IPv4 has nothing to bring up. */
	if (fd < 0)
		return errno == EAFNOSUPPORT ? 0 : err_sys(e, errno, "loopback device");
	if (ioctl(fd, SIOCSIFFLAGS, &request) < 0 && errno != ENODEV)
		return err_sys(e, errno, "can't bring the loopback device up");
	return 0;
}

static int ns_write_offset(
	int proc_fd, const char *clock, const struct cfg_time_offset *offset, struct err *e)
{
	if (!offset->set)
		return 0;
	int ret = sysfile_writef(proc_fd, "self/timens_offsets", "%s %" PRId64 " %" PRIu64 "\n",
		clock, offset->secs.value, offset->nanosecs.value);
	return ret < 0 ? err_sys(e, -ret, "config.linux.timeOffsets.%s", clock) : 0;
}

/*
 * The cgroup namespace's root is where its creator is: the container's cgroup. A time namespace
 * takes its offsets before anybody is in it; exec(2) is what enters it.
 */
int ns_unshare_late(const struct create *c, int proc_fd, struct err *e)
{
	uint64_t flags = c->os.clone_flags & (CLONE_NEWCGROUP | CLONE_NEWTIME);

	if (!flags)
		return 0;
	if (unshare((int)flags) < 0)
		return err_sys(e, errno, "config.linux.namespaces: %s",
			flags & CLONE_NEWTIME ? "time or cgroup" : "cgroup");
	if (!(flags & CLONE_NEWTIME))
		return 0;
	int ret = ns_write_offset(proc_fd, "monotonic", &c->os.monotonic, e);
	return ret < 0 ? ret : ns_write_offset(proc_fd, "boottime", &c->os.boottime, e);
}

int ns_set_names(const struct create *c, struct err *e)
{
	if (c->hostname && c->hostname[0] && sethostname(c->hostname, strlen(c->hostname)) < 0)
		return err_sys(e, errno, "config.hostname: \"%s\"", c->hostname);
	if (c->domainname && c->domainname[0] &&
		setdomainname(c->domainname, strlen(c->domainname)) < 0)
		return err_sys(e, errno, "config.domainname: \"%s\"", c->domainname);
	return 0;
}

/*
 * "net.ipv4.ip_forward" or "net/ipv4/conf/eth0.1/forwarding": as sysctl(8), whichever of the two
 * separators comes first is the separator, and the other stands for a dot in a name.
 */
static void sysctl_path(const char *key, char *path, size_t cap_bytes)
{
	const char *first = key + strcspn(key, "./");
	bool dots = *first == '.';
	size_t i = 0;

	for (; key[i] && i + 1 < cap_bytes; i++) {
		char ch = key[i];
		if (dots && ch == '.')
			ch = '/';
		else if (dots && ch == '/')
			ch = '.';
		path[i] = ch;
	}
	path[i] = '\0';
}

static int sysctl_write(int sys_fd, const struct cfg_sysctl *sysctl)
{
	char path[256];

	if (strlen(sysctl->key) >= sizeof(path))
		return -ENAMETOOLONG;
	sysctl_path(sysctl->key, path, sizeof(path));
	cleanup_close int fd = sys_openat2(sys_fd, path, O_WRONLY | O_CLOEXEC,
		RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
	if (fd < 0)
		return -errno;
	size_t len = strlen(sysctl->value);
	ssize_t n = write(fd, sysctl->value, len);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

int ns_write_sysctl(const struct create *c, int proc_fd, struct err *e)
{
	if (!c->os.sysctl.n)
		return 0;
	cleanup_close int sys = openat(proc_fd, "sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (sys < 0)
		return err_sys(e, errno, "config.linux.sysctl");
	for (size_t i = 0; i < c->os.sysctl.n; i++) {
		int ret = sysctl_write(sys, &c->os.sysctl.v[i]);
		if (ret < 0)
			return err_sys(e, -ret, "config.linux.sysctl[\"%s\"]: can't write \"%s\"",
				c->os.sysctl.v[i].key, c->os.sysctl.v[i].value);
	}
	return 0;
}
