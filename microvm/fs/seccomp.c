/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of system calls, compiled to BPF here: one comparison for each, the frequent ones first.
 * (libseccomp would do it too, at a price in instructions that each start of a VM pays.)
 */
#include "microvm/fs/seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#define ARCH 0 /* no list for it yet: the filter lets nothing pass */
#endif

static const uint16_t allowed[] = {
	/* each request */
	SYS_futex,
	SYS_write,
	SYS_openat2,
	SYS_statx,
	SYS_close,
	SYS_epoll_pwait,
#ifdef SYS_epoll_wait
	SYS_epoll_wait,
#endif
	SYS_openat,
	SYS_preadv2,
	SYS_pwritev2,
	SYS_read,
	SYS_fcntl,
	SYS_setfsuid,
	SYS_setfsgid,
	SYS_capget,
	SYS_capset,
	SYS_umask,
	SYS_getdents64,
	SYS_lseek,
	SYS_readlinkat,
	/* names and attributes */
	SYS_mkdirat,
	SYS_mknodat,
	SYS_unlinkat,
	SYS_symlinkat,
	SYS_linkat,
	SYS_renameat2,
#ifdef SYS_renameat
	SYS_renameat, /* what glibc makes of renameat2 without flags */
#endif
	SYS_fchmodat,
	SYS_fchownat,
	SYS_utimensat,
	SYS_truncate,
	SYS_ftruncate,
	SYS_setxattr,
	SYS_getxattr,
	SYS_listxattr,
	SYS_removexattr,
	SYS_fstatfs,
#ifdef SYS_chmod
	SYS_chmod,
#endif
	SYS_newfstatat,
	SYS_fstat,
	SYS_name_to_handle_at,
	SYS_open_by_handle_at,
	/* data */
	SYS_preadv,
	SYS_pwritev,
	SYS_pread64,
	SYS_pwrite64,
	SYS_fallocate,
	SYS_copy_file_range,
	SYS_fsync,
	SYS_fdatasync,
	SYS_syncfs,
	SYS_flock,
	/* the connection */
	SYS_recvmsg,
	SYS_sendmsg,
	SYS_recvfrom,
	SYS_sendto,
	SYS_ppoll,
#ifdef SYS_poll
	SYS_poll,
#endif
	SYS_epoll_ctl,
	SYS_eventfd2,
	SYS_getrandom,
	/* memory and threads */
	SYS_munmap,
	SYS_madvise,
	SYS_brk,
	SYS_mremap,
	SYS_set_robust_list,
	SYS_rseq,
	SYS_gettid,
	SYS_getpid,
	SYS_sched_yield,
	SYS_rt_sigprocmask,
	SYS_rt_sigaction,
	SYS_rt_sigreturn,
	SYS_restart_syscall,
	SYS_clock_gettime,
	SYS_clock_nanosleep,
	SYS_exit,
	SYS_exit_group,
	SYS_sched_getaffinity,
#ifdef __SANITIZE_ADDRESS__
	SYS_sigaltstack, /* its own, for each thread */
#endif
};

#define NEW_NAMESPACES                                                                             \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |             \
		CLONE_NEWPID | CLONE_NEWNET)

/* Allowed with one argument in bounds: (args[arg] & mask) == value. */
static const struct {
	uint16_t nr;
	uint8_t arg;
	uint32_t mask, value;
} conditional[] = {
	{SYS_mmap, 2, PROT_EXEC, 0},
	{SYS_mprotect, 2, PROT_EXEC, 0},
	{SYS_clone, 0, CLONE_THREAD | NEW_NAMESPACES, CLONE_THREAD},
	{SYS_unshare, 0, ~0u, CLONE_FS},
	{SYS_prlimit64, 0, ~0u, 0}, /* its own */
	{SYS_ioctl, 1, ~0u, (uint32_t)FS_IOC_GETFLAGS},
	{SYS_ioctl, 1, ~0u, (uint32_t)FS_IOC_SETFLAGS},
	{SYS_ioctl, 1, ~0u, (uint32_t)FS_IOC_FSGETXATTR},
};

#define COUNT(a)      (sizeof(a) / sizeof((a)[0]))
#define CONDITION_OPS 6
#define FILTER_MAX    (8 + 2 * COUNT(allowed) + CONDITION_OPS * (COUNT(conditional) + 1))

#define LOAD(field)	   BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (field))
#define UNLESS_EQUAL(k, n) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (k), 0, (n))
#define RETURN(action)	   BPF_STMT(BPF_RET | BPF_K, (action))

/* The rules for a call that is allowed when (args[arg] & mask) == value; the number is loaded. */
static unsigned add_condition(
	struct sock_filter *f, uint32_t nr, unsigned arg, uint32_t mask, uint32_t value)
{
	unsigned n = 0;

	f[n++] = (struct sock_filter)UNLESS_EQUAL(nr, 5);
	/* Little-endian: the low half of an argument comes first. */
	f[n++] = (struct sock_filter)LOAD(
		(uint32_t)offsetof(struct seccomp_data, args) + 8u * (uint32_t)arg);
	f[n++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, mask);
	f[n++] = (struct sock_filter)UNLESS_EQUAL(value, 1);
	f[n++] = (struct sock_filter)RETURN(SECCOMP_RET_ALLOW);
	f[n++] = (struct sock_filter)LOAD(offsetof(struct seccomp_data, nr));
	return n;
}

int fs_seccomp_install(void)
{
	struct sock_filter f[FILTER_MAX];
	unsigned n = 0;

	f[n++] = (struct sock_filter)LOAD(offsetof(struct seccomp_data, arch));
	f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0);
	f[n++] = (struct sock_filter)RETURN(SECCOMP_RET_KILL_PROCESS);
	f[n++] = (struct sock_filter)LOAD(offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < COUNT(allowed); i++) {
		f[n++] = (struct sock_filter)UNLESS_EQUAL(allowed[i], 1);
		f[n++] = (struct sock_filter)RETURN(SECCOMP_RET_ALLOW);
	}
	/* glibc falls back to clone, whose flags can be looked at. */
	f[n++] = (struct sock_filter)UNLESS_EQUAL(SYS_clone3, 1);
	f[n++] = (struct sock_filter)RETURN(SECCOMP_RET_ERRNO | ENOSYS);
	for (size_t i = 0; i < COUNT(conditional); i++)
		n += add_condition(f + n, conditional[i].nr, conditional[i].arg,
			conditional[i].mask, conditional[i].value);
	/* Signals, of which abort() is made, to itself alone. */
	n += add_condition(f + n, SYS_tgkill, 0, ~0u, (uint32_t)getpid());
	f[n++] = (struct sock_filter)RETURN(SECCOMP_RET_KILL_PROCESS);

	struct sock_fprog program = {.len = (unsigned short)n, .filter = f};
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}
