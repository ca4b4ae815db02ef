/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is left to hvrun-fs once it has confined itself, tried from within: each test does it in a
 * child, as root and as nobody, and then what an attacker in there would.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "microvm/confine/landlock.h"
#include "microvm/fs/cred.h"
#include "microvm/fs/landlock.h"
#include "microvm/fs/sandbox.h"

#define NOBODY	65534
#define HIGH_FD 300 /* export descriptors, where nothing else is */
#define KEPT_CAPS                                                                                  \
	(1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH | 1u << CAP_FOWNER | \
		1u << CAP_FSETID | 1u << CAP_SETGID | 1u << CAP_SETUID | 1u << CAP_SYS_ADMIN |     \
		1u << CAP_MKNOD | 1u << CAP_SETFCAP)

struct place {
	char top[64], secret[96], dir[96], ro[96];
};

/* In a child no assertion of cmocka's works: it says where, and ends. */
#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			child_failed(#condition, __LINE__);                                        \
	} while (0)

/* Not _exit: under AddressSanitizer that makes more system calls than are left. */
static _Noreturn void leave(int code)
{
	for (;;)
		syscall(SYS_exit_group, code);
}

static _Noreturn void child_failed(const char *what, int line)
{
	char text[256];
	int n = snprintf(text, sizeof(text), "line %d: %s: %s\n", line, what, strerror(errno));

	if (write(STDERR_FILENO, text, n > 0 ? (size_t)n : 0) < 0)
		leave(2);
	leave(1);
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, 0666), 0);
	close(fd);
}

static int setup(void **state)
{
	static struct place p;
	char path[160];

	strcpy(p.top, "/tmp/hvrun-fs-sandbox-XXXXXX");
	if (!mkdtemp(p.top) || chmod(p.top, 0755) < 0)
		return -1;
	snprintf(p.secret, sizeof(p.secret), "%s/secret", p.top);
	snprintf(p.dir, sizeof(p.dir), "%s/x", p.top);
	snprintf(p.ro, sizeof(p.ro), "%s/ro", p.top);
	put(p.secret, "secret");
	for (int i = 0; i < 2; i++) {
		const char *dir = i ? p.ro : p.dir;
		assert_int_equal(mkdir(dir, 0777) | chmod(dir, 0777), 0);
		snprintf(path, sizeof(path), "%s/file", dir);
		put(path, "inside");
		snprintf(path, sizeof(path), "%s/sub", dir);
		assert_int_equal(mkdir(path, 0777) | chmod(path, 0777), 0);
		snprintf(path, sizeof(path), "%s/null", dir);
		if (!geteuid())
			assert_int_equal(mknod(path, S_IFCHR | 0666, makedev(1, 3)), 0);
	}
	*state = &p;
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = {"x/file", "x/null", "x/sub/file", "x/sub", "x",
		"ro/file", "ro/null", "ro/sub", "ro", "secret"};
	const struct place *p = *state;
	char path[160];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", p->top, names[i]);
		(void)remove(path);
	}
	return rmdir(p->top);
}

static void add_export(struct exports *exports, const char *name, const char *path, bool readonly)
{
	struct err e = {0};
	struct export x = {.name = (char *)name, .path = (char *)path, .readonly = readonly};

	x.fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	CHECK(x.fd >= 0);
	CHECK(fs_sandbox_export(&x, &e) == 0);
	int high = fcntl(x.fd, F_DUPFD_CLOEXEC, HIGH_FD);
	CHECK(high >= HIGH_FD);
	close(x.fd);
	x.fd = high;
	CHECK(exports_add(exports, &x, &e) == 0);
}

/* All that hvrun-fs does: exports are descriptors HIGH_FD and HIGH_FD + 1 then. */
static void confine_as(const struct place *p, bool root)
{
	static struct exports exports;
	struct err e = {0};
	const char *prefix;

	if (!root && landlock_version() < 2)
		leave(77); /* nothing to keep it to the exports with */
	CHECK(exports_init(&exports) == 0);
	add_export(&exports, "x", p->dir, false);
	add_export(&exports, "ro", p->ro, true);
	bool privileged = cred_is_privileged();
	CHECK(privileged == root);
	CHECK(cred_process_init(privileged) == 0);
	if (fs_sandbox_enter(privileged, &prefix, &e) < 0 ||
		fs_sandbox_close(privileged, &exports, &e) < 0)
		child_failed(e.text, __LINE__);
	CHECK(!strcmp(prefix, root ? "/" : "/proc/self/fd/"));
}

static void confine(const struct place *p, bool root)
{
	if (!root && !geteuid())
		CHECK(setresgid(NOBODY, NOBODY, NOBODY) == 0 &&
			setresuid(NOBODY, NOBODY, NOBODY) == 0);
	confine_as(p, root);
}

static int wait_for(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void need_root(void)
{
	if (geteuid())
		skip();
}

static void exits_well(int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static int open_at(int dirfd, const char *path, int flags)
{
	return openat(dirfd, path, flags | O_CLOEXEC, 0600);
}

/* What is the same for both: the exports do what they are for, and no more. */
static void try_exports(void)
{
	char text[8] = "";
	struct rlimit core;

	int fd = open_at(HIGH_FD, "file", O_RDWR);
	CHECK(fd >= 0 && read(fd, text, sizeof(text)) == 6 && !memcmp(text, "inside", 6));
	CHECK(renameat(HIGH_FD, "file", HIGH_FD, "sub/file") == 0);
	CHECK(renameat(HIGH_FD, "sub/file", HIGH_FD, "file") == 0);
	CHECK(open_at(HIGH_FD + 1, "file", O_RDONLY) >= 0);
	CHECK(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max == 0);
}

static void try_as_root(const struct place *p)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct caps[2];
	struct stat here, above;
	char name[32];

	try_exports();
	/* By name there is nothing but descriptors. */
	CHECK(open_at(AT_FDCWD, p->secret, O_RDONLY) < 0 && errno == ENOENT);
	CHECK(open_at(AT_FDCWD, "/proc/self/status", O_RDONLY) < 0 && errno == ENOENT);
	CHECK(open_at(AT_FDCWD, "../../../../etc/passwd", O_RDONLY) < 0 && errno == ENOENT);
	snprintf(name, sizeof(name), "/%d/file", HIGH_FD);
	CHECK(open_at(AT_FDCWD, name, O_RDONLY) >= 0);
	/* Up from an export is the export. */
	CHECK(fstatat(HIGH_FD, "", &here, AT_EMPTY_PATH) == 0);
	CHECK(fstatat(HIGH_FD, "../../..", &above, 0) == 0);
	CHECK(here.st_ino == above.st_ino && here.st_dev == above.st_dev);
	CHECK(open_at(HIGH_FD, "../secret", O_RDONLY) < 0 && errno == ENOENT);
	/* Read-only is so for the kernel as well, and a device is none. */
	CHECK(open_at(HIGH_FD + 1, "file", O_RDWR) < 0 && errno == EROFS);
	CHECK(open_at(HIGH_FD, "null", O_RDONLY) < 0 && errno == EACCES);
	CHECK(syscall(SYS_capget, &header, caps) == 0);
	CHECK((caps[0].permitted & ~KEPT_CAPS) == 0 && !caps[1].permitted && !caps[0].inheritable);
}

static void test_root(void **state)
{
	need_root();
	pid_t pid = fork();
	if (!pid) {
		confine(*state, true);
		try_as_root(*state);
		leave(0);
	}
	exits_well(wait_for(pid));
}

/* Root without one of what makes it privileged, as in a container: what it does not need goes all
 * the same. */
static void try_partial(const struct place *p)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct caps[2];
	const uint32_t missing = 1u << CAP_DAC_READ_SEARCH;

	CHECK(syscall(SYS_capget, &header, caps) == 0);
	uint32_t left = caps[0].permitted & KEPT_CAPS & ~missing & ~(1u << CAP_SYS_ADMIN);
	caps[0].permitted &= ~missing;
	caps[0].effective &= ~missing;
	CHECK(syscall(SYS_capset, &header, caps) == 0);
	confine_as(p, false);
	CHECK(syscall(SYS_capget, &header, caps) == 0);
	CHECK(caps[0].permitted == left && caps[0].effective == left && !caps[1].permitted);
	CHECK(open_at(AT_FDCWD, p->secret, O_RDONLY) < 0 && errno == EACCES);
	try_exports();
}

static void test_partial(void **state)
{
	need_root();
	pid_t pid = fork();
	if (!pid) {
		try_partial(*state);
		leave(0);
	}
	exits_well(wait_for(pid));
}

static void test_nobody(void **state)
{
	const struct place *p = *state;
	pid_t pid = fork();

	if (!pid) {
		confine(p, false);
		try_exports();
		/* Everybody may read and write it, but not from in there. */
		CHECK(open_at(AT_FDCWD, p->secret, O_RDONLY) < 0 && errno == EACCES);
		CHECK(open_at(AT_FDCWD, p->secret, O_WRONLY) < 0 && errno == EACCES);
		CHECK(open_at(HIGH_FD, "../secret", O_RDONLY) < 0 && errno == EACCES);
		CHECK(open_at(AT_FDCWD, "/tmp", O_RDONLY | O_DIRECTORY) < 0 && errno == EACCES);
		CHECK(mkdirat(AT_FDCWD, "/tmp/hvrun-fs-sandbox-made", 0700) < 0);
		leave(0);
	}
	exits_well(wait_for(pid));
}

static void link_of(pid_t pid, const char *what, char *text, size_t size)
{
	char path[64];

	if (pid)
		snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, what);
	else
		snprintf(path, sizeof(path), "/proc/self/ns/%s", what);
	ssize_t n = readlink(path, text, size - 1);
	assert_true(n > 0);
	text[n] = '\0';
}

static void test_mounts(void **state)
{
	char own[64], its[64], c;
	int ready[2], done[2];

	need_root();
	assert_int_equal(pipe(ready) | pipe(done), 0);
	pid_t pid = fork();
	if (!pid) {
		close(done[1]); /* a parent that fails ends it, too */
		confine(*state, true);
		CHECK(write(ready[1], "r", 1) == 1);
		CHECK(read(done[0], &c, 1) == 1);
		leave(0);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	link_of(0, "mnt", own, sizeof(own));
	link_of(pid, "mnt", its, sizeof(its));
	assert_string_not_equal(own, its);
	assert_int_equal(write(done[1], "d", 1), 1);
	exits_well(wait_for(pid));
	for (int i = 0; i < 2; i++) {
		close(ready[i]);
		close(done[i]);
	}
}

/* The host's sockets, where the kernel has something to forbid them with: beside the list of calls.
 */
static void try_sockets(void)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = ""};
	long version = landlock_version();

	int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(un.sun_path + 1, sizeof(un.sun_path) - 1, "hvrun-fs-sandbox-%d", (int)getpid());
	CHECK(bind(listener, (struct sockaddr *)&un, sizeof(un)) == 0 && listen(listener, 1) == 0);
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	int ret = fs_landlock(NULL);
	if (version < 4) {
		CHECK(ret == -EOPNOTSUPP);
		leave(77);
	}
	CHECK(ret == 0);
	CHECK(bind(tcp, (struct sockaddr *)&in, sizeof(in)) < 0 && errno == EACCES);
	in.sin_port = htons(1);
	CHECK(connect(tcp, (struct sockaddr *)&in, sizeof(in)) < 0 && errno == EACCES);
	ret = connect(client, (struct sockaddr *)&un, sizeof(un));
	CHECK(version < 6 || (ret < 0 && errno == EPERM));
	/* Files are not Landlock's business then. */
	CHECK(open_at(AT_FDCWD, "/proc/self/status", O_RDONLY) >= 0);
}

static void test_sockets(void **state)
{
	(void)state;
	pid_t pid = fork();
	if (!pid) {
		try_sockets();
		leave(0);
	}
	exits_well(wait_for(pid));
}

#define FORBIDDEN     26u
#define NOT_FORBIDDEN 3

/* Each ends the process; the parent's pid is one that it could reach otherwise. */
static void forbidden(unsigned which, pid_t parent)
{
	struct rlimit limit;
	char *const argv[] = {(char *)"true", NULL};

	switch (which) {
	case 0:
		syscall(SYS_socket, 1, 1, 0);
		break;
	case 1:
		syscall(SYS_execve, "/bin/true", argv, NULL);
		break;
	case 2:
		syscall(SYS_execveat, HIGH_FD, "file", argv, NULL, 0);
		break;
	case 3:
		syscall(SYS_ptrace, 16, parent, 0, 0);
		break;
	case 4:
		syscall(SYS_mount, "none", "/", "tmpfs", 0, NULL);
		break;
	case 5:
		syscall(SYS_open_tree, HIGH_FD, "", 0x1000 | 1);
		break;
	case 6:
		syscall(SYS_setns, HIGH_FD, 0);
		break;
	case 7:
		syscall(SYS_unshare, CLONE_NEWUSER);
		break;
	case 8:
		syscall(SYS_chroot, "/");
		break;
	case 9:
		syscall(SYS_kill, parent, SIGKILL);
		break;
	case 10:
		syscall(SYS_tgkill, parent, parent, SIGKILL);
		break;
	case 11:
		syscall(SYS_prlimit64, parent, RLIMIT_NOFILE, NULL, &limit);
		break;
	case 12:
		syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
		break;
	case 13:
		syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);
		break;
	case 14:
		syscall(SYS_process_vm_readv, parent, NULL, 0, NULL, 0, 0);
		break;
	case 15:
		syscall(SYS_bpf, 0, NULL, 0);
		break;
	case 16:
		syscall(SYS_io_uring_setup, 1, NULL);
		break;
	case 17:
		syscall(SYS_connect, 0, NULL, 0);
		break;
	case 18:
		syscall(SYS_pidfd_getfd, 0, 0, 0);
		break;
	case 19:
		syscall(SYS_fcntl, 0, F_SETOWN, parent);
		break;
	case 20:
		syscall(SYS_fcntl, 0, F_SETSIG, SIGKILL);
		break;
	case 21:
		syscall(SYS_bind, 0, NULL, 0);
		break;
	case 22:
		syscall(SYS_listen, 0, 1);
		break;
	case 23:
		syscall(SYS_accept4, 0, NULL, NULL, 0);
		break;
	case 24:
		syscall(SYS_sendto, 0, NULL, 0, 0, NULL, 0);
		break;
	case 25:
		syscall(SYS_socketpair, 1, 1, 0, NULL);
		break;
	default:
		leave(NOT_FORBIDDEN);
	}
	leave(0);
}

static void test_calls(void **state)
{
	for (unsigned root = 0; root < 2; root++) {
		for (unsigned i = 0; i <= FORBIDDEN && (!root || !geteuid()); i++) {
			pid_t parent = getpid(), pid = fork();
			if (!pid) {
				confine(*state, root);
				forbidden(i, parent);
			}
			int status = wait_for(pid);
			if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
				break;
			bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
			bool left = WIFEXITED(status) && WEXITSTATUS(status) == NOT_FORBIDDEN;
			if (i < FORBIDDEN ? !killed : !left)
				fail_msg("call %u: status %#x", i, (unsigned)status);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_root),
		cmocka_unit_test(test_partial),
		cmocka_unit_test(test_nobody),
		cmocka_unit_test(test_mounts),
		cmocka_unit_test(test_sockets),
		cmocka_unit_test(test_calls),
	};

	return cmocka_run_group_tests_name("fs_sandbox", tests, setup, teardown);
}
