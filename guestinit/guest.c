/* SPDX-License-Identifier: Apache-2.0 */
/* What pid 1 keeps; see guest.h. */
#include "guestinit/guest.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "guestinit/cgroup.h"
#include "guestinit/container.h"
#include "guestinit/mount.h"
#include "guestinit/sockets.h"

#define GUEST_CLOCK_SLACK_NS INT64_C(100000000)
#define GUEST_FILES_MAX	     65536

static void guest_children_ready(struct loop_source *source, uint32_t events)
{
	struct guest *guest =
		(struct guest *)(void *)((char *)source - offsetof(struct guest, children));
	struct signalfd_siginfo info;
	ssize_t ignored = read(source->fd, &info, sizeof(info));

	(void)ignored; /* one signal may stand for many children */
	(void)events;
	guest_container_reap(guest);
}

void guest_init(struct guest *guest)
{
	*guest = (struct guest){
		.exports = {EXPORTS_TAG, "/exports"},
		.null_path = "/null",
		.nodes_dir = "/",
		.proc_fd = -1,
		.cgroup_fd = -1,
		.child_fd = -1,
		.children = {.fd = -1, .ready = guest_children_ready},
		.connect_host = sockets_connect_host,
		.loop = {.epoll_fd = -1, .wake_fd = -1},
	};
	guest_network_init(&guest->network);
}

int guest_start(struct guest *guest, struct err *e)
{
	sigset_t set, pipe;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	pipe = set;
	/* Writing to what nobody reads is an error, not a death. */
	sigaddset(&pipe, SIGPIPE);
	if (sigprocmask(SIG_BLOCK, &pipe, NULL) < 0)
		return err_sys(e, errno, "signals");
	cleanup_close int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return err_sys(e, errno, "signals");
	int ret = loop_init(&guest->loop);
	if (ret == 0)
		ret = loop_add(&guest->loop, &guest->children, fd, EPOLLIN);
	if (ret < 0)
		return err_sys(e, -ret, "event loop");
	guest->child_fd = steal_fd(&fd);
	return 0;
}

void guest_fini(struct guest *guest)
{
	while (guest->containers)
		guest_container_free(guest->containers);
	guest_network_fini(&guest->network);
	fd_closep(&guest->child_fd);
	fd_closep(&guest->proc_fd);
	fd_closep(&guest->cgroup_fd);
	loop_fini(&guest->loop);
}

int guest_proc(struct guest *guest, struct err *e)
{
	if (guest->proc_fd < 0)
		guest->proc_fd = mount_new("proc", 0, NULL, 0, e);
	return guest->proc_fd;
}

int guest_cgroups(struct guest *guest, struct err *e)
{
	static const char *const words[] = {"nsdelegate"};

	if (guest->cgroup_fd >= 0)
		return guest->cgroup_fd;
	cleanup_close int fd = mount_new("cgroup2", 0, words, 1, e);
	if (fd < 0)
		return fd;
	int ret = guest_cgroup_enable(fd);
	if (ret < 0)
		return err_sys(e, -ret, "can't enable the cgroup controllers");
	guest->cgroup_fd = steal_fd(&fd);
	return guest->cgroup_fd;
}

void guest_set_clock(int64_t realtime_ns)
{
	struct timespec now;

	if (clock_gettime(CLOCK_REALTIME, &now) < 0)
		return;
	int64_t off = realtime_ns - (now.tv_sec * INT64_C(1000000000) + now.tv_nsec);
	if (off > -GUEST_CLOCK_SLACK_NS && off < GUEST_CLOCK_SLACK_NS)
		return;
	now.tv_sec = realtime_ns / 1000000000;
	now.tv_nsec = realtime_ns % 1000000000;
	clock_settime(CLOCK_REALTIME, &now);
}

const struct rlimit *guest_raise_files(struct guest *guest)
{
	struct rlimit limit;

	if (guest->files_raised)
		return &guest->files;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= GUEST_FILES_MAX)
		return NULL;
	guest->files = limit;
	limit.rlim_cur = GUEST_FILES_MAX;
	if (limit.rlim_max < GUEST_FILES_MAX)
		limit.rlim_max = GUEST_FILES_MAX;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		return NULL;
	guest->files_raised = true;
	return &guest->files;
}
