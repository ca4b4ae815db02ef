/* SPDX-License-Identifier: Apache-2.0 */
/* Giving up what the guest's monitor needs no more; see confine.h. */
#include "microvm/vmm/confine.h"

#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "microvm/confine/privileges.h"
#include "microvm/confine/violation.h"
#include "microvm/devices/blk.h"
#include "microvm/devices/net.h"
#include "microvm/devices/stream_fd.h"
#include "microvm/kvm/vm.h"
#include "microvm/vmm/relay_helper.h"
#include "microvm/vmm/resolver.h"

/*
 * What the main thread calls with either engine, until the process ends. What vsock's streams and
 * the engine need is beside their code.
 */
static const struct call main_calls[] = {
	/* base/loop.c, and all that wakes it */
	CALL(epoll_wait), CALL(epoll_ctl), CALL(read), CALL(write), CALL(timerfd_settime),
	CALL(close),
	/* locks that it shares with the threads of devices and vCPUs */
	CALL(futex),
	/* hvrun, clients and the agent: control.c, clients.c, agent.c, oom.c, relay_helper.c */
	CALL(accept4), CALL(recvmsg), CALL(sendmsg), CALL(recvfrom), CALL(sendto),
	/* streams: session.c, exec.c, terminal.c */
	CALL_IF_EQUAL(fcntl, 1, F_DUPFD_CLOEXEC), CALL_IF_EQUAL(fcntl, 1, F_GET_SEALS),
	CALL_IF_EQUAL(ioctl, 1, TCGETS), CALL_IF_EQUAL(ioctl, 1, TCSETS),
	CALL_IF_EQUAL(ioctl, 1, TIOCGWINSZ),
	CALL_IF_EQUAL_RARELY(ioctl, 1, TCGETS2), /* of newer C libraries */
	CALL_IF_EQUAL_RARELY(ioctl, 1, TCSETS2),
	/* the heap */
	CALL(brk), CALL_IF_WITHOUT(mmap, 2, PROT_EXEC), CALL(munmap), CALL(mremap),
	CALL(exit_group), CALL_RARELY(clock_gettime), /* where the vDSO has no clock */
	CALL_RARELY(restart_syscall),		      /* of poll, after SIGSTOP and SIGCONT */
};
static const struct calls main_part = CALLS(main_calls);

static struct filter loop_filter(const struct engine_ops *engine)
{
	return (struct filter){.kind = "main",
		.parts = {&main_part, &stream_fd_calls, engine->calls},
		.denied = DENIED(THREAD_MAIN)};
}

bool confine_calls(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return false;
#else
	return true;
#endif
}

static int by_number(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

int confine_descriptors(struct plan *plan, const int *others, unsigned n_others, struct err *e)
{
	unsigned n = plan ? plan_descriptors(plan, NULL, 0) : 0;
	unsigned from = STDERR_FILENO + 1;
	int *keep = calloc(n + n_others + 1, sizeof(*keep));

	if (!keep)
		return err_sys(e, ENOMEM, "descriptors");
	if (plan)
		(void)plan_descriptors(plan, keep, n);
	for (unsigned i = 0; i < n_others; i++)
		keep[n++] = others[i];
	qsort(keep, n, sizeof(*keep), by_number);
	for (unsigned i = 0; i < n; i++) {
		unsigned fd = (unsigned)keep[i];
		if (keep[i] < 0 || fd < from)
			continue;
		if (fd > from)
			(void)syscall(SYS_close_range, from, fd - 1, 0);
		from = fd + 1;
	}
	free(keep);
	return syscall(SYS_close_range, from, ~0u, 0) < 0 ? err_sys(e, errno, "descriptors") : 0;
}

/* Streams of further processes come by SCM_RIGHTS, each of them two descriptors. */
#define NOFILE_MAX 4096u
/* Programs, heap, stacks of threads; the guest's own memory comes on top. */
#define BESIDE_GUEST_BYTES (UINT64_C(2) << 30)

static int bound_process(const struct plan *plan, struct err *e)
{
	const uint64_t space = plan->memory_bytes + BESIDE_GUEST_BYTES;
	struct rlimit files, memory = {space, space};

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return err_sys(e, errno, "number of descriptors");
	if (files.rlim_max > NOFILE_MAX)
		files.rlim_max = NOFILE_MAX;
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0)
		return err_sys(e, errno, "number of descriptors");
	/* QEMU's devices map the guest's memory once each. Sanitizers have more than any bound. */
	if (!plan->emulation && confine_calls() && setrlimit(RLIMIT_AS, &memory) < 0)
		return err_sys(e, errno, "size of the address space");
	return 0;
}

int confine_process(const struct plan *plan, struct err *e)
{
	/* One heap for all threads: it grows by brk, and nothing needs mprotect. */
	mallopt(M_ARENA_MAX, 1);
	int ret = violation_watch();
	if (ret < 0)
		return err_sys(e, -ret, "SIGSYS");
	ret = bound_process(plan, e);
	if (ret < 0)
		return ret;
	ret = privileges_drop(plan->uid_base ? plan->uid_base + (uid_t)getpid() : 0, 0, e);
	return ret < 0 ? err_add(e, "can't give up privileges") : 0;
}

static int bound_calls(const struct filter *filter, struct err *e)
{
	int ret = confine_calls() ? filter_install(filter) : 0;
	return ret < 0 ? err_sys(e, -ret, "system call filter") : 0;
}

int confine_loop(const struct machine *machine, struct err *e)
{
	struct filter filter = loop_filter(machine->ops);
	return bound_calls(&filter, e);
}

int confine_helper(
	uid_t uid, uint64_t keep, uint16_t port, const struct filter *filter, struct err *e)
{
	int ret = violation_watch();
	if (ret < 0)
		return err_sys(e, -ret, "SIGSYS");
	ret = privileges_drop_but_tcp(uid, keep, port, e);
	return ret < 0 ? ret : bound_calls(filter, e);
}

void confine_print(FILE *out)
{
	struct filter kvm = loop_filter(&engine_kvm_ops);
	struct filter emulation = loop_filter(&engine_emulation_ops);

	filter_print(out, &kvm, "-kvm");
	filter_print(out, &emulation, "-emulation");
	filter_print(out, &vcpu_filter, "");
	filter_print(out, &disk_filter, "");
	filter_print(out, &net_filter, "");
	filter_print(out, &relay_filter, "");
	filter_print(out, &resolver_filter, "");
}
