/* SPDX-License-Identifier: Apache-2.0 */
/* The list of hvrun-fs; see seccomp.h. */
#include "microvm/fs/seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include "microvm/confine/filter.h"

#define NEW_NAMESPACES                                                                             \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |             \
		CLONE_NEWPID | CLONE_NEWNET)

static const struct call server_calls[] = {
/* the loop: base/loop.c, server.c */
#ifdef SYS_epoll_wait
	CALL(epoll_wait),
#else
	CALL(epoll_pwait),
#endif
	CALL(epoll_ctl),
	CALL(read),
	CALL(write),
	CALL(close),
	CALL(futex),
	CALL_RARELY(clock_gettime),   /* where the vDSO has no clock */
	CALL_RARELY(restart_syscall), /* of poll and futex, after SIGSTOP and SIGCONT */
	/* the connection: microvm/vhost, base/fd.c */
	CALL(recvmsg),
	CALL(sendmsg),
#ifdef SYS_poll
	CALL_RARELY(poll), /* a socket that is full */
#else
	CALL_RARELY(ppoll),
#endif
	CALL_IF_EQUAL(fcntl, 1, F_GETFL),
	CALL_IF_EQUAL_RARELY(fcntl, 1, F_SETFL), /* of a kick that waits */
	/* in the caller's name: cred.c, op_call */
	CALL(setfsuid),
	CALL(setfsgid),
	CALL(capget),
	CALL(capset),
	CALL(umask),
	CALL_IF_EQUAL(unshare, 0, CLONE_FS), /* each thread has a umask of its own */
	/* nodes: lookup.c, node*.c, attr.c */
	CALL(openat2),
	CALL(openat),
	CALL(statx),
	CALL(newfstatat), /* of fstat, as the C library makes it */
	CALL_RARELY(fstat),
	CALL(name_to_handle_at),
	CALL(open_by_handle_at),
	CALL_IF_EQUAL(fcntl, 1, F_DUPFD_CLOEXEC),
	/* names: ops_name.c, ops_dir.c */
	CALL(getdents64),
	CALL(lseek),
	CALL(readlinkat),
	CALL(mkdirat),
	CALL(mknodat),
	CALL(unlinkat),
	CALL(symlinkat),
	CALL(linkat),
	CALL(renameat2),
#ifdef SYS_renameat
	CALL(renameat), /* what glibc makes of renameat2 without flags */
#endif
/* attributes: ops_attr.c, ops_xattr.c, ops_fs.c */
#ifdef SYS_chmod
	CALL(chmod),
#else
	CALL(fchmodat),
#endif
	CALL(fchownat),
	CALL(utimensat),
	CALL(truncate),
	CALL(ftruncate),
	CALL(setxattr),
	CALL(getxattr),
	CALL(listxattr),
	CALL(removexattr),
	CALL(fstatfs),
	CALL_IF_EQUAL(ioctl, 1, FS_IOC_GETFLAGS),
	CALL_IF_EQUAL(ioctl, 1, FS_IOC_SETFLAGS),
	CALL_IF_EQUAL(ioctl, 1, FS_IOC_FSGETXATTR),
	/* data: ops_file.c, ops_lock.c */
	CALL(preadv2),
	CALL(pwritev2),
	CALL(fallocate),
	CALL(copy_file_range),
	CALL(fsync),
	CALL(fdatasync),
	CALL(syncfs),
	CALL(flock),
	/* not F_SETOWN and F_SETSIG: the kernel sends signals to others for those */
	CALL_IF_EQUAL(fcntl, 1, F_OFD_SETLK),
	CALL_IF_EQUAL(fcntl, 1, F_OFD_GETLK),
	/* memory, and a bound of it: sandbox.c */
	CALL(brk),
	CALL_IF_WITHOUT(mmap, 2, PROT_EXEC),
	CALL_IF_WITHOUT(mprotect, 2, PROT_EXEC),
	CALL(munmap),
	CALL(madvise),
	CALL_RARELY(mremap),		/* a table that grows over many pages */
	CALL_IF_EQUAL(prlimit64, 0, 0), /* its own */
	/* threads: the start of workers, and the end */
	CALL_IF(clone, 0, CLONE_THREAD | NEW_NAMESPACES, CLONE_THREAD),
	CALL_FAILS(clone3, ENOSYS), /* glibc falls back to clone, whose flags can be looked at */
	CALL(set_robust_list),
	CALL(rseq),
	CALL(rt_sigprocmask),
	CALL(rt_sigaction),
	CALL(exit),
	CALL(exit_group),
#ifdef __SANITIZE_ADDRESS__
	CALL(sigaltstack), /* its own, for each thread */
	CALL(sched_getaffinity),
	CALL(sched_yield),
	CALL(gettid),
	CALL(getpid),
	CALL_IF_OWN(tgkill, 0),
#endif
};
static const struct calls server = CALLS(server_calls);

static const struct filter filter = {
	.kind = "server", .parts = {&server}, .denied = SECCOMP_RET_KILL_PROCESS};

int fs_seccomp_install(void)
{
	return filter_install(&filter);
}

void fs_seccomp_print(FILE *out)
{
	filter_print(out, &filter, "");
}
