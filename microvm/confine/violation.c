/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last words of a process that broke its rules; see violation.h. The handler may have
 * interrupted anything, malloc with its lock held too: it formats by hand, on its stack.
 */
#include "microvm/confine/violation.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "microvm/confine/filter.h"

#define CODE_SECCOMP 1 /* SYS_SECCOMP, in a header that clashes with <signal.h> */

static const char *const kinds[THREAD_KINDS] = {
	[THREAD_MAIN] = "the main thread",
	[THREAD_VCPU] = "the thread of a vCPU",
	[THREAD_DISK] = "a thread of a disk",
	[THREAD_NET] = "a thread of a network device",
	[THREAD_RELAY] = "the helper for Unix sockets",
	[THREAD_RESOLVER] = "the helper for the resolver",
};

struct line {
	char text[256];
	size_t n;
};

static void put(struct line *line, const char *text)
{
	while (*text && line->n < sizeof(line->text))
		line->text[line->n++] = *text++;
}

static void put_number(struct line *line, uint64_t number, unsigned base)
{
	char digits[20];
	unsigned n = 0;

	do
		digits[n++] = "0123456789abcdef"[number % base];
	while (number /= base);
	while (n > 0 && line->n < sizeof(line->text))
		line->text[line->n++] = digits[--n];
}

static void put_arguments(struct line *line, const ucontext_t *context)
{
#if defined(__x86_64__)
	static const int registers[] = {REG_RDI, REG_RSI, REG_RDX};

	for (size_t i = 0; i < sizeof(registers) / sizeof(registers[0]); i++) {
		put(line, i ? ", 0x" : "0x");
		put_number(line, (uint64_t)context->uc_mcontext.gregs[registers[i]], 16);
	}
#else
	(void)line;
	(void)context;
#endif
}

static void violated(int signal, siginfo_t *info, void *context)
{
	struct line line = {.n = 0};
	unsigned nr = (unsigned)info->si_syscall, kind = (unsigned)info->si_errno;
	const char *name = filter_call_name(nr);

	(void)signal;
	put(&line, "hvrun-vmm: killed: ");
	if (info->si_code == CODE_SECCOMP) {
		put(&line, kind < THREAD_KINDS ? kinds[kind] : "a thread");
		put(&line, " made the system call ");
		if (name)
			put(&line, name);
		else
			put_number(&line, nr, 10);
		put(&line, "(");
		put_arguments(&line, context);
		put(&line, "), which is not on its list\n");
	} else {
		put(&line, "somebody sent SIGSYS\n");
	}
	(void)!write(STDERR_FILENO, line.text, line.n);
	/* On no list, and harmless: with the handler gone, this ends the process. */
	for (;;)
		(void)syscall(SYS_execve, NULL, NULL, NULL);
}

int violation_watch(void)
{
	struct sigaction action = {
		.sa_sigaction = violated, .sa_flags = (int)(SA_SIGINFO | SA_RESETHAND)};

	sigemptyset(&action.sa_mask);
	return sigaction(SIGSYS, &action, NULL) < 0 ? -errno : 0;
}
