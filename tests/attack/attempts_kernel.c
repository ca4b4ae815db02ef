/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's more intricate parts, and the machine as a whole; see attack.h. What would harm the
 * machine is asked for in a way that fails, but only behind the question of who asks.
 */
#include "tests/attack/attack.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_tun.h>
#include <linux/io_uring.h>
#include <linux/keyctl.h>
#include <linux/kvm.h>
#include <linux/perf_event.h>
#include <linux/reboot.h>
#include <net/if.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/quota.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>

#define NOWHERE "/nonexistent/attack"

static int act_io_uring(struct attack *a)
{
	struct io_uring_params params = {0};

	(void)a;
	return outcome(syscall(SYS_io_uring_setup, 1, &params));
}

static int act_bpf_map(struct attack *a)
{
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};

	(void)a;
	return outcome(syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr)));
}

static int act_bpf_program(struct attack *a)
{
	/* r0 = 0; exit */
	static const struct bpf_insn program[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K}, {.code = BPF_JMP | BPF_EXIT}};
	union bpf_attr attr = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
		.insns = (uintptr_t)program,
		.insn_cnt = 2,
		.license = (uintptr_t) "GPL"};

	(void)a;
	return outcome(syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr)));
}

static int act_perf(struct attack *a)
{
	struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_CPU_CLOCK};

	(void)a;
	return outcome(syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0L));
}

static int act_keyctl(struct attack *a)
{
	(void)a;
	return outcome(syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 1));
}

static int act_add_key(struct attack *a)
{
	(void)a;
	return outcome(syscall(SYS_add_key, "user", "attack", "x", 1L, KEY_SPEC_PROCESS_KEYRING));
}

static int act_request_key(struct attack *a)
{
	(void)a;
	return outcome_past(syscall(SYS_request_key, "user", "attack", NULL, 0), ENOKEY);
}

static int act_init_module(struct attack *a)
{
	(void)a;
	return outcome_past(syscall(SYS_init_module, NULL, 0L, ""), ENOEXEC);
}

static int act_finit_module(struct attack *a)
{
	(void)a;
	return outcome_past(syscall(SYS_finit_module, -1, "", 0), EBADF);
}

static int act_delete_module(struct attack *a)
{
	(void)a;
	return outcome_past(syscall(SYS_delete_module, "hvrun_attack", O_NONBLOCK), ENOENT);
}

static int act_kexec(struct attack *a)
{
	(void)a;
	return outcome_past(syscall(SYS_kexec_load, 0L, 0L, NULL, ~0ul), EINVAL);
}

static int act_reboot(struct attack *a)
{
	(void)a;
	return outcome_past(
		syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, 0x12345678, NULL),
		EINVAL);
}

static int act_swapon(struct attack *a)
{
	(void)a;
	return outcome_past(syscall(SYS_swapon, NOWHERE, 0), ENOENT);
}

static int act_swapoff(struct attack *a)
{
	(void)a;
	return outcome_past(syscall(SYS_swapoff, NOWHERE), ENOENT);
}

static int act_acct(struct attack *a)
{
	(void)a;
	return outcome_past(syscall(SYS_acct, NOWHERE), ENOENT);
}

static int act_quota(struct attack *a)
{
	(void)a;
	return outcome(syscall(SYS_quotactl, QCMD(Q_SYNC, USRQUOTA), NULL, 0, NULL));
}

static int act_iopl(struct attack *a)
{
	(void)a;
	return outcome(syscall(SYS_iopl, 3));
}

static int act_ioperm(struct attack *a)
{
	(void)a;
	return outcome(syscall(SYS_ioperm, 0x80L, 1L, 1));
}

static int act_ldt(struct attack *a)
{
	char entries[64];

	(void)a;
	return outcome(syscall(SYS_modify_ldt, 0, entries, sizeof(entries)));
}

/* The clock stays as it is: only the old interface's time zone, which is none anyway. */
static int act_settimeofday(struct attack *a)
{
	struct timezone zone = {0};

	(void)a;
	return outcome(syscall(SYS_settimeofday, NULL, &zone));
}

static int have_tick(struct attack *a)
{
	struct timex now = {0};

	if (adjtimex(&now) < 0)
		return errno;
	a->fds[0] = (int)now.tick;
	return 0;
}

static int act_adjtimex(struct attack *a)
{
	struct timex same = {.modes = ADJ_TICK, .tick = a->fds[0]};

	return outcome(syscall(SYS_adjtimex, &same));
}

static int act_clock_adjtime(struct attack *a)
{
	struct timex same = {.modes = ADJ_TICK, .tick = a->fds[0]};

	return outcome(syscall(SYS_clock_adjtime, CLOCK_REALTIME, &same));
}

static int act_sethostname(struct attack *a)
{
	(void)a;
	return outcome(syscall(SYS_sethostname, "attack", 6));
}

static int act_setdomainname(struct attack *a)
{
	(void)a;
	return outcome(syscall(SYS_setdomainname, "attack", 6));
}

static int act_syslog(struct attack *a)
{
	char text[128];

	(void)a;
	return outcome(syscall(SYS_syslog, 3, text, (int)sizeof(text)));
}

static int have_terminal(struct attack *a)
{
	a->fds[0] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (a->fds[0] < 0 || grantpt(a->fds[0]) < 0 || unlockpt(a->fds[0]) < 0)
		return errno;
	a->fds[1] = open(ptsname(a->fds[0]), O_RDWR | O_NOCTTY | O_CLOEXEC);
	return outcome(a->fds[1]);
}

static int act_tiocsti(struct attack *a)
{
	return outcome(syscall(SYS_ioctl, a->fds[1], TIOCSTI, "x"));
}

static int have_kvm(struct attack *a)
{
	a->fds[0] = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	return outcome(a->fds[0]);
}

static int act_kvm(struct attack *a)
{
	return outcome(syscall(SYS_ioctl, a->fds[0], KVM_CREATE_VM, 0L));
}

static int have_tun(struct attack *a)
{
	a->fds[0] = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	return outcome(a->fds[0]);
}

static int act_tun(struct attack *a)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};

	strcpy(request.ifr_name, "attack%d");
	return outcome(syscall(SYS_ioctl, a->fds[0], TUNSETIFF, &request));
}

/* Not every kernel has the door: then it is no system call, but a fault. */
static void no_door(int signal)
{
	(void)signal;
	attack_end(ENOSYS); /* NOLINT: it makes a system call, and ends */
}

static int have_door(struct attack *a)
{
	(void)a;
	return signal(SIGSEGV, no_door) == SIG_ERR ? errno : 0;
}

/* getpid as a program of 32 bits makes it, whose numbers are others. */
static int act_int80(struct attack *a)
{
	long number = 20;

	(void)a;
	__asm__ volatile("int $0x80" : "+a"(number) : : "memory", "r8", "r9", "r10", "r11");
	return number < 0 ? (int)-number : 0;
}

static const struct attempt table[] = {
	ATTEMPT("io_uring", NULL, act_io_uring),
	ATTEMPT("a map of BPF", NULL, act_bpf_map),
	ATTEMPT("a program of BPF", NULL, act_bpf_program),
	ATTEMPT("perf events", NULL, act_perf),
	ATTEMPT("a keyring", NULL, act_keyctl),
	ATTEMPT("add a key", NULL, act_add_key),
	ATTEMPT("request a key", NULL, act_request_key),
	ATTEMPT("load a kernel module (init_module)", NULL, act_init_module),
	ATTEMPT("load a kernel module (finit_module)", NULL, act_finit_module),
	ATTEMPT("remove a kernel module", NULL, act_delete_module),
	ATTEMPT("load another kernel (kexec)", NULL, act_kexec),
	ATTEMPT("reboot", NULL, act_reboot),
	ATTEMPT("swap to a file", NULL, act_swapon),
	ATTEMPT("end swapping", NULL, act_swapoff),
	ATTEMPT("switch process accounting", NULL, act_acct),
	ATTEMPT("disk quotas", NULL, act_quota),
	ATTEMPT("I/O ports (iopl)", NULL, act_iopl),
	ATTEMPT("I/O ports (ioperm)", NULL, act_ioperm),
	ATTEMPT("local descriptor table", NULL, act_ldt),
	ATTEMPT("set the clock (settimeofday)", NULL, act_settimeofday),
	ATTEMPT("set the clock (adjtimex)", have_tick, act_adjtimex),
	ATTEMPT("set the clock (clock_adjtime)", have_tick, act_clock_adjtime),
	ATTEMPT("rename the machine", NULL, act_sethostname),
	ATTEMPT("rename the machine's domain", NULL, act_setdomainname),
	ATTEMPT("read the kernel's log", NULL, act_syslog),
	ATTEMPT("type into a terminal (TIOCSTI)", have_terminal, act_tiocsti),
	ATTEMPT("a new VM (KVM_CREATE_VM)", have_kvm, act_kvm),
	ATTEMPT("a network interface (TUNSETIFF)", have_tun, act_tun),
	ATTEMPT("system calls of 32-bit programs", have_door, act_int80),
};
const struct attempts attempts_kernel = ATTEMPTS(table);
