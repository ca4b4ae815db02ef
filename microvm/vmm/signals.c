/* SPDX-License-Identifier: Apache-2.0 */
/* Signals to the monitor; see signals.h. */
#include "microvm/vmm/signals.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/fd.h"

static void signals_ready(struct loop_source *source, uint32_t events)
{
	struct signals *signals =
		(struct signals *)(void *)((char *)source - offsetof(struct signals, source));
	struct signalfd_siginfo info;

	(void)events;
	if (read(source->fd, &info, sizeof(info)) == sizeof(info))
		signals->received(signals->arg, (int)info.ssi_signo);
}

/* A signal that is blocked is queued although it is ignored: those are left out. */
static void add(sigset_t *set, int number)
{
	struct sigaction now;

	if (sigaction(number, NULL, &now) < 0 || now.sa_handler != SIG_IGN)
		sigaddset(set, number);
}

int signals_init(struct signals *signals, struct loop *loop, bool forward, bool resize,
	void (*received)(void *arg, int signal), void *arg, struct err *e)
{
	static const int ends[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT}, others[] = {SIGUSR1, SIGUSR2};
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	sigset_t set;

	*signals =
		(struct signals){.loop = loop, .received = received, .arg = arg, .source.fd = -1};
	signals->source.ready = signals_ready;
	sigaction(SIGPIPE, &ignore, NULL);
	sigaction(SIGTTOU, &ignore, NULL); /* restores a terminal from the background as well */
	sigaction(SIGTTIN, &ignore, NULL);
	sigemptyset(&set);
	for (unsigned i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		add(&set, ends[i]);
	for (unsigned i = 0; forward && i < sizeof(others) / sizeof(others[0]); i++)
		add(&set, others[i]);
	/* The first real-time signal is the KVM engine's own. */
	for (int number = SIGRTMIN + 1; forward && number <= SIGRTMAX; number++)
		add(&set, number);
	if (resize)
		add(&set, SIGWINCH);
	if (sigprocmask(SIG_SETMASK, &set, NULL) < 0)
		return err_sys(e, errno, "signals");
	cleanup_close int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return err_sys(e, errno, "signals");
	int ret = loop_add(loop, &signals->source, fd, EPOLLIN);
	if (ret < 0)
		return err_sys(e, -ret, "signals");
	(void)steal_fd(&fd);
	return 0;
}

void signals_fini(struct signals *signals)
{
	int fd = signals->source.fd;

	if (fd >= 0)
		loop_del(signals->loop, &signals->source);
	fd_closep(&fd);
}
