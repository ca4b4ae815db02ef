/* SPDX-License-Identifier: Apache-2.0 */
/* Other processes, new ones, other programs, and who one is; see attack.h. */
#include "tests/attack/attack.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/uio.h>

#define PROGRAM "/bin/true"
#define SIGNAL	0 /* none: only whether there could be one. (SIGCONT is special in a session.) */

static int act_attach(struct attack *a)
{
	return outcome(syscall(SYS_ptrace, PTRACE_ATTACH, a->victim, 0L, 0L));
}

static int act_seize(struct attack *a)
{
	return outcome(syscall(SYS_ptrace, PTRACE_SEIZE, a->victim, 0L, 0L));
}

/* The victim is a copy of the same program: its memory is where one's own is. */
static int act_vm_read(struct attack *a)
{
	uint64_t word;
	struct iovec own = {&word, sizeof(word)},
		     its = {(void *)(uintptr_t)a->victim_word, sizeof(word)};

	return outcome(syscall(SYS_process_vm_readv, a->victim, &own, 1L, &its, 1L, 0L));
}

static int act_vm_write(struct attack *a)
{
	uint64_t word = 2;
	struct iovec own = {&word, sizeof(word)},
		     its = {(void *)(uintptr_t)a->victim_word, sizeof(word)};

	return outcome(syscall(SYS_process_vm_writev, a->victim, &own, 1L, &its, 1L, 0L));
}

static int act_madvise(struct attack *a)
{
	struct iovec its = {(void *)((uintptr_t)a->victim_word & ~4095ul), 4096};

	return outcome(syscall(SYS_process_madvise, a->victim_pidfd, &its, 1L, MADV_COLD, 0L));
}

static int act_kcmp(struct attack *a)
{
	return outcome(syscall(SYS_kcmp, a->victim, a->victim, 1L, 0L, 0L)); /* KCMP_VM */
}

static int act_move_pages(struct attack *a)
{
	return outcome(syscall(SYS_move_pages, a->victim, 0L, NULL, NULL, NULL, 0L));
}

static int act_pidfd_open(struct attack *a)
{
	return outcome(syscall(SYS_pidfd_open, a->victim, 0));
}

static int act_pidfd_getfd(struct attack *a)
{
	return outcome(syscall(SYS_pidfd_getfd, a->victim_pidfd, 0, 0));
}

static int act_pidfd_signal(struct attack *a)
{
	return outcome(syscall(SYS_pidfd_send_signal, a->victim_pidfd, SIGNAL, NULL, 0));
}

static int act_kill(struct attack *a)
{
	return outcome(syscall(SYS_kill, a->victim, SIGNAL));
}

static int act_tkill(struct attack *a)
{
	return outcome(syscall(SYS_tkill, a->victim, SIGNAL));
}

static int act_tgkill(struct attack *a)
{
	return outcome(syscall(SYS_tgkill, a->victim, a->victim, SIGNAL));
}

static int act_queue(struct attack *a)
{
	siginfo_t info = {.si_signo = SIGNAL, .si_code = SI_QUEUE};

	return outcome(syscall(SYS_rt_sigqueueinfo, a->victim, SIGNAL, &info));
}

static int act_tgqueue(struct attack *a)
{
	siginfo_t info = {.si_signo = SIGNAL, .si_code = SI_QUEUE};

	return outcome(syscall(SYS_rt_tgsigqueueinfo, a->victim, a->victim, SIGNAL, &info));
}

static int have_pipe(struct attack *a)
{
	return outcome(pipe2(a->fds, O_CLOEXEC));
}

/* The kernel would send it SIGIO. */
static int act_setown(struct attack *a)
{
	return outcome(syscall(SYS_fcntl, a->fds[0], F_SETOWN, a->victim));
}

static int act_setsig(struct attack *a)
{
	return outcome(syscall(SYS_fcntl, a->fds[0], F_SETSIG, SIGKILL));
}

static int act_prlimit(struct attack *a)
{
	struct rlimit limit;

	return outcome(syscall(SYS_prlimit64, a->victim, RLIMIT_NOFILE, NULL, &limit));
}

static int act_scheduler(struct attack *a)
{
	struct sched_param param = {0};

	return outcome(syscall(SYS_sched_setscheduler, a->victim, SCHED_BATCH, &param));
}

static int act_affinity(struct attack *a)
{
	unsigned long all = ~0ul;

	return outcome(syscall(SYS_sched_setaffinity, a->victim, sizeof(all), &all));
}

static int act_priority(struct attack *a)
{
	return outcome(syscall(SYS_setpriority, PRIO_PROCESS, a->victim, 1));
}

static int act_ioprio(struct attack *a)
{
	return outcome(syscall(SYS_ioprio_set, 1, a->victim, 2 << 13 | 7));
}

static _Noreturn void leave(void)
{
	for (;;)
		syscall(SYS_exit_group, 0);
}

/* A bomb is one that may have more than none. */
static int act_fork(struct attack *a)
{
	long pid = syscall(SYS_fork);

	(void)a;
	if (pid == 0)
		leave();
	return outcome(pid);
}

static int act_vfork(struct attack *a)
{
	(void)a;
	pid_t pid = vfork(); /* NOLINT: it is what is tried */

	if (pid == 0)
		leave(); /* NOLINT */
	return outcome(pid);
}

static int act_clone(struct attack *a)
{
	long pid = syscall(SYS_clone, (long)SIGCHLD, 0L, 0L, 0L, 0L);

	(void)a;
	if (pid == 0)
		leave();
	return outcome(pid);
}

static int act_clone3(struct attack *a)
{
	struct clone_args args = {.exit_signal = SIGCHLD};
	long pid = syscall(SYS_clone3, &args, sizeof(args));

	(void)a;
	if (pid == 0)
		leave();
	return outcome(pid);
}

static int thread(void *arg)
{
	for (;;)
		syscall(SYS_exit, 0);
	return arg == NULL;
}

static int act_thread(struct attack *a)
{
	static char stack[16384] __attribute__((aligned(16)));

	(void)a;
	return outcome(clone(thread, stack + sizeof(stack),
		CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM,
		NULL));
}

static char *const argv[] = {(char *)"true", NULL}, *const envp[] = {NULL};

static int act_execve(struct attack *a)
{
	(void)a;
	return outcome(syscall(SYS_execve, PROGRAM, argv, envp));
}

static int have_program(struct attack *a)
{
	a->fds[0] = open(PROGRAM, O_RDONLY | O_CLOEXEC);
	return outcome(a->fds[0]);
}

static int act_execveat(struct attack *a)
{
	return outcome(syscall(SYS_execveat, a->fds[0], "", argv, envp, AT_EMPTY_PATH));
}

static int have_memory_program(struct attack *a)
{
	char part[4096];
	ssize_t n;
	int error = have_program(a);

	a->fds[1] = memfd_create("program", MFD_CLOEXEC);
	if (error || a->fds[1] < 0)
		return error ? error : errno;
	while ((n = read(a->fds[0], part, sizeof(part))) > 0)
		if (write(a->fds[1], part, (size_t)n) != n)
			return EIO;
	return 0;
}

static int act_exec_memory(struct attack *a)
{
	return outcome(syscall(SYS_execveat, a->fds[1], "", argv, envp, AT_EMPTY_PATH));
}

static int act_setuid(struct attack *a)
{
	(void)a;
	return outcome(syscall(SYS_setuid, 0));
}

static int act_setgid(struct attack *a)
{
	(void)a;
	return outcome(syscall(SYS_setgid, 0));
}

static int act_setresuid(struct attack *a)
{
	(void)a;
	return outcome(syscall(SYS_setresuid, 0, 0, 0));
}

static int act_setgroups(struct attack *a)
{
	gid_t group = 0;

	(void)a;
	return outcome(syscall(SYS_setgroups, 1, &group));
}

static int act_capset(struct attack *a)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct caps[2] = {{0}};

	(void)a;
	caps[0].effective = caps[0].permitted = 1u << CAP_SYS_PTRACE | 1u << CAP_DAC_READ_SEARCH;
	return outcome(syscall(SYS_capset, &header, caps));
}

static int act_dumpable(struct attack *a)
{
	(void)a;
	return outcome(syscall(SYS_prctl, PR_SET_DUMPABLE, 1L, 0L, 0L, 0L));
}

static int act_keepcaps(struct attack *a)
{
	(void)a;
	return outcome(syscall(SYS_prctl, PR_SET_KEEPCAPS, 1L, 0L, 0L, 0L));
}

static int act_personality(struct attack *a)
{
	(void)a;
	return outcome(syscall(SYS_personality, READ_IMPLIES_EXEC | ADDR_NO_RANDOMIZE));
}

static int have_limit(struct attack *a)
{
	const struct rlimit low = {1000, 1000};

	(void)a;
	return outcome(setrlimit(RLIMIT_MSGQUEUE, &low));
}

static int act_raise_limit(struct attack *a)
{
	const struct rlimit high = {2000, 2000};

	(void)a;
	return outcome(syscall(SYS_prlimit64, 0, RLIMIT_MSGQUEUE, &high, NULL));
}

static const struct attempt table[] = {
	ATTEMPT("attach to a process (ptrace)", NULL, act_attach),
	ATTEMPT("seize a process (ptrace)", NULL, act_seize),
	ATTEMPT("read a process's memory", NULL, act_vm_read),
	ATTEMPT("write a process's memory", NULL, act_vm_write),
	ATTEMPT("advise on a process's memory", NULL, act_madvise),
	ATTEMPT("move a process's memory", NULL, act_move_pages),
	ATTEMPT("compare processes (kcmp)", NULL, act_kcmp),
	ATTEMPT("get a descriptor of a process", NULL, act_pidfd_open),
	ATTEMPT("take a descriptor from a process", NULL, act_pidfd_getfd),
	/* With a QEMU it may, but has only QEMU's descriptor. */
	ATTEMPT("signal a process by its descriptor", NULL, act_pidfd_signal,
		.allowed = BIT(ATTACKER_MAIN_EMULATION)),
	ATTEMPT("signal a process (kill)", NULL, act_kill),
	ATTEMPT("signal a process (tkill)", NULL, act_tkill),
	ATTEMPT("signal a process (tgkill)", NULL, act_tgkill),
	ATTEMPT("signal a process (rt_sigqueueinfo)", NULL, act_queue),
	ATTEMPT("signal a process (rt_tgsigqueueinfo)", NULL, act_tgqueue),
	ATTEMPT("have the kernel signal a process (F_SETOWN)", have_pipe, act_setown),
	ATTEMPT("choose that signal (F_SETSIG)", have_pipe, act_setsig),
	ATTEMPT("look at a process's limits", NULL, act_prlimit),
	ATTEMPT("change a process's scheduler", NULL, act_scheduler),
	ATTEMPT("change a process's processors", NULL, act_affinity),
	ATTEMPT("change a process's priority", NULL, act_priority),
	ATTEMPT("change a process's priority at disks", NULL, act_ioprio),
	ATTEMPT("a new process (fork)", NULL, act_fork),
	ATTEMPT("a new process (vfork)", NULL, act_vfork),
	ATTEMPT("a new process (clone)", NULL, act_clone),
	ATTEMPT("a new process (clone3)", NULL, act_clone3),
	ATTEMPT("a new thread", NULL, act_thread, .allowed = BIT(ATTACKER_SERVER)),
	ATTEMPT("execute a program", NULL, act_execve, .executes = true),
	ATTEMPT("execute a program by its descriptor", have_program, act_execveat,
		.executes = true),
	ATTEMPT("execute a program in memory", have_memory_program, act_exec_memory,
		.executes = true),
	ATTEMPT("become root (setuid)", NULL, act_setuid),
	ATTEMPT("become root's group (setgid)", NULL, act_setgid),
	ATTEMPT("become root (setresuid)", NULL, act_setresuid),
	ATTEMPT("join groups", NULL, act_setgroups),
	ATTEMPT("take capabilities", NULL, act_capset),
	ATTEMPT("be dumpable again", NULL, act_dumpable),
	ATTEMPT("keep capabilities (prctl)", NULL, act_keepcaps),
	ATTEMPT("turn address randomization off", NULL, act_personality),
	ATTEMPT("raise a limit of its own", have_limit, act_raise_limit),
};
const struct attempts attempts_processes = ATTEMPTS(table);
