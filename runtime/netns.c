/* SPDX-License-Identifier: Apache-2.0 */
/* Opening things in network namespaces; see netns.h. */
#include "runtime/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/descendants.h"

#define TUN_PATH "/dev/net/tun"

enum step { STEP_DONE, STEP_FORK, STEP_ENTER, STEP_OPEN };

/* What the child sends with each descriptor, or in place of one. */
struct word {
	int step;
	int code;
};

int netns_open(const char *path, struct err *e)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return err_sys(e, errno, "%s", path);
	int type = ioctl(fd, NS_GET_NSTYPE);
	if (type != CLONE_NEWNET)
		return err_set(e, EINVAL, "%s: is not a network namespace", path);
	return steal_fd(&fd);
}

int netns_identify(int ns, struct netns_id *id)
{
	struct stat st;

	if (fstat(ns, &st) < 0)
		return -errno;
	*id = (struct netns_id){.device = st.st_dev, .inode = st.st_ino};
	return 0;
}

bool netns_same(const struct netns_id *a, const struct netns_id *b)
{
	return a->device == b->device && a->inode == b->inode;
}

static bool identify_of(pid_t pid, struct netns_id *id)
{
	char path[32];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	if (stat(path, &st) < 0)
		return false;
	*id = (struct netns_id){.device = st.st_dev, .inode = st.st_ino};
	return true;
}

bool netns_is_host(int ns)
{
	struct netns_id id = {0}, host = {0};

	if (netns_identify(ns, &id) < 0)
		return false;
	if (!identify_of(1, &host))
		for (pid_t pid = getpid(); pid > 1; pid = descendants_parent_of(pid))
			(void)identify_of(pid, &host);
	return netns_same(&id, &host);
}

static int open_file(enum netns_file kind)
{
	int fd = kind == NETNS_TUN ? open(TUN_PATH, O_RDWR | O_CLOEXEC | O_NONBLOCK)
				   : socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	return fd < 0 ? -errno : fd;
}

static void tell(int sock, int step, int code, int fd)
{
	struct word word = {.step = step, .code = code};

	if (fd_send_packet(sock, &word, sizeof(word), &fd, fd >= 0 ? 1 : 0) < 0)
		_exit(1);
}

/* ns -1: a new one, which is itself what is handed back. */
static _Noreturn void child(int sock, int ns, enum netns_file kind, unsigned n)
{
	if (ns < 0) {
		if (unshare(CLONE_NEWNET) < 0) {
			tell(sock, STEP_ENTER, errno, -1);
			_exit(0);
		}
		int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
		tell(sock, fd < 0 ? STEP_OPEN : STEP_DONE, fd < 0 ? errno : 0, fd);
		_exit(0);
	}
	if (setns(ns, CLONE_NEWNET) < 0) {
		tell(sock, STEP_ENTER, errno, -1);
		_exit(0);
	}
	for (unsigned i = 0; i < n; i++) {
		int fd = open_file(kind);
		tell(sock, fd < 0 ? STEP_OPEN : STEP_DONE, fd < 0 ? -fd : 0, fd);
		if (fd < 0)
			_exit(0);
		close(fd);
	}
	_exit(0);
}

/* The next descriptor, or -1 with *word saying what went wrong. */
static int take(int sock, struct word *word)
{
	int fds[FD_PASS_MAX];
	unsigned n = FD_PASS_MAX;

	*word = (struct word){.step = STEP_FORK, .code = EIO};
	ssize_t len = fd_recv_packet(sock, word, sizeof(*word), fds, &n);
	if (len == (ssize_t)sizeof(*word) && n == 1)
		return fds[0];
	for (unsigned i = 0; len > 0 && i < n; i++)
		close(fds[i]);
	return -1;
}

static int collect(int ns, enum netns_file kind, int *fds, unsigned n, struct word *word)
{
	sigset_t all, saved;
	int pair[2];

	*word = (struct word){.step = STEP_FORK};
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		word->code = errno;
		return -errno;
	}
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &saved); /* no handler of ours runs in the child */
	pid_t pid = fork();
	if (pid == 0)
		child(pair[1], ns, kind, n);
	word->code = errno;
	sigprocmask(SIG_SETMASK, &saved, NULL);
	close(pair[1]);
	unsigned taken = 0;
	while (pid > 0 && taken < n) {
		fds[taken] = take(pair[0], word);
		if (fds[taken] < 0)
			break;
		taken++;
	}
	close(pair[0]);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	if (taken == n)
		return 0;
	while (taken-- > 0)
		fd_closep(&fds[taken]);
	return word->code ? -word->code : -EIO;
}

static int say(const struct word *word, enum netns_file kind, struct err *e)
{
	switch (word->step) {
	case STEP_ENTER:
		return err_sys(e, word->code, "entering a network namespace%s",
			word->code == EPERM ? " (it takes CAP_SYS_ADMIN, as root has it)" : "");
	case STEP_OPEN:
		if (kind == NETNS_TUN)
			return err_sys(e, word->code, TUN_PATH "%s",
				word->code == ENOENT || word->code == ENODEV
					? " (`modprobe tun` makes it)"
					: "");
		return err_sys(e, word->code, "a netlink socket");
	default:
		return err_sys(e, word->code ? word->code : EIO, "a helper process");
	}
}

int netns_new(struct err *e)
{
	struct word word;
	int fd = -1;

	if (collect(-1, NETNS_ROUTE, &fd, 1, &word) == 0)
		return fd;
	int ret = say(&word, NETNS_ROUTE, e);
	return word.step == STEP_ENTER
		? err_sys(e, word.code, "making a network namespace%s",
			  word.code == EPERM ? " (it takes CAP_SYS_ADMIN, as root has it)" : "")
		: ret;
}

int netns_files(int ns, enum netns_file kind, int *fds, unsigned n, struct err *e)
{
	struct word word;

	return collect(ns, kind, fds, n, &word) == 0 ? 0 : say(&word, kind, e);
}
