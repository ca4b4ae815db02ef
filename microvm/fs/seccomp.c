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
	/* each request */
	CALL(futex),
	CALL(write),
	CALL(openat2),
	CALL(statx),
	CALL(close),
	CALL(epoll_pwait),
#ifdef SYS_epoll_wait
	CALL(epoll_wait),
#endif
	CALL(openat),
	CALL(preadv2),
	CALL(pwritev2),
	CALL(read),
	CALL(setfsuid),
	CALL(setfsgid),
	CALL(capget),
	CALL(capset),
	CALL(umask),
	CALL(getdents64),
	CALL(lseek),
	CALL(readlinkat),
	/* names and attributes */
	CALL(mkdirat),
	CALL(mknodat),
	CALL(unlinkat),
	CALL(symlinkat),
	CALL(linkat),
	CALL(renameat2),
#ifdef SYS_renameat
	CALL(renameat), /* what glibc makes of renameat2 without flags */
#endif
	CALL(fchmodat),
	CALL(fchownat),
	CALL(utimensat),
	CALL(truncate),
	CALL(ftruncate),
	CALL(setxattr),
	CALL(getxattr),
	CALL(listxattr),
	CALL(removexattr),
	CALL(fstatfs),
#ifdef SYS_chmod
	CALL(chmod),
#endif
	CALL(newfstatat),
	CALL(fstat),
	CALL(name_to_handle_at),
	CALL(open_by_handle_at),
	/* data */
	CALL(preadv),
	CALL(pwritev),
	CALL(pread64),
	CALL(pwrite64),
	CALL(fallocate),
	CALL(copy_file_range),
	CALL(fsync),
	CALL(fdatasync),
	CALL(syncfs),
	CALL(flock),
	/* the connection */
	CALL(recvmsg),
	CALL(sendmsg),
	CALL(recvfrom),
	CALL(sendto),
	CALL(ppoll),
#ifdef SYS_poll
	CALL(poll),
#endif
	CALL(epoll_ctl),
	CALL(eventfd2),
	CALL(getrandom),
	/* memory and threads */
	CALL(munmap),
	CALL(madvise),
	CALL(brk),
	CALL(mremap),
	CALL(set_robust_list),
	CALL(rseq),
	CALL(gettid),
	CALL(getpid),
	CALL(sched_yield),
	CALL(rt_sigprocmask),
	CALL(rt_sigaction),
	CALL(rt_sigreturn),
	CALL(restart_syscall),
	CALL(clock_gettime),
	CALL(clock_nanosleep),
	CALL(exit),
	CALL(exit_group),
	CALL(sched_getaffinity),
#ifdef __SANITIZE_ADDRESS__
	CALL(sigaltstack), /* its own, for each thread */
#endif
	/* with an argument in bounds */
	CALL_IF_WITHOUT(mmap, 2, PROT_EXEC),
	CALL_IF_WITHOUT(mprotect, 2, PROT_EXEC),
	CALL_IF(clone, 0, CLONE_THREAD | NEW_NAMESPACES, CLONE_THREAD),
	CALL_IF_EQUAL(unshare, 0, CLONE_FS),
	CALL_IF_EQUAL(prlimit64, 0, 0), /* its own */
	CALL_IF_OWN(tgkill, 0),		/* a signal, of which abort() is made */
	/* Not F_SETOWN and F_SETSIG: the kernel sends signals to others for those. */
	CALL_IF_EQUAL(fcntl, 1, F_GETFL),
	CALL_IF_EQUAL(fcntl, 1, F_SETFL),
	CALL_IF_EQUAL(fcntl, 1, F_GETFD),
	CALL_IF_EQUAL(fcntl, 1, F_SETFD),
	CALL_IF_EQUAL(fcntl, 1, F_DUPFD_CLOEXEC),
	CALL_IF_EQUAL(fcntl, 1, F_OFD_SETLK),
	CALL_IF_EQUAL(fcntl, 1, F_OFD_GETLK),
	CALL_IF_EQUAL(ioctl, 1, FS_IOC_GETFLAGS),
	CALL_IF_EQUAL(ioctl, 1, FS_IOC_SETFLAGS),
	CALL_IF_EQUAL(ioctl, 1, FS_IOC_FSGETXATTR),
	/* glibc falls back to clone, whose flags can be looked at. */
	CALL_FAILS(clone3, ENOSYS),
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
