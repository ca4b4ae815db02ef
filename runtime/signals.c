/* SPDX-License-Identifier: Apache-2.0 */
/* Names of signals; see signals.h. */
#include "runtime/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "runtime/options.h"

/* The first name of a number is the one that is shown. */
static const struct {
	const char *name;
	int number;
} signals_known[] = {
	{"HUP", SIGHUP},
	{"INT", SIGINT},
	{"QUIT", SIGQUIT},
	{"ILL", SIGILL},
	{"TRAP", SIGTRAP},
	{"ABRT", SIGABRT},
	{"IOT", SIGIOT},
	{"BUS", SIGBUS},
	{"FPE", SIGFPE},
	{"KILL", SIGKILL},
	{"USR1", SIGUSR1},
	{"SEGV", SIGSEGV},
	{"USR2", SIGUSR2},
	{"PIPE", SIGPIPE},
	{"ALRM", SIGALRM},
	{"TERM", SIGTERM},
	{"STKFLT", SIGSTKFLT},
	{"CHLD", SIGCHLD},
	{"CLD", SIGCHLD},
	{"CONT", SIGCONT},
	{"STOP", SIGSTOP},
	{"TSTP", SIGTSTP},
	{"TTIN", SIGTTIN},
	{"TTOU", SIGTTOU},
	{"URG", SIGURG},
	{"XCPU", SIGXCPU},
	{"XFSZ", SIGXFSZ},
	{"VTALRM", SIGVTALRM},
	{"PROF", SIGPROF},
	{"WINCH", SIGWINCH},
	{"IO", SIGIO},
	{"POLL", SIGPOLL},
	{"PWR", SIGPWR},
	{"SYS", SIGSYS},
};

/* Those that the C library leaves to programs; the numbers are part of callers' interfaces. */
#define RT_MIN 34u
#define RT_MAX 64u

/* "RTMIN", "RTMIN+3", "RTMAX-2". */
static int signals_parse_realtime(const char *name, int *signal)
{
	bool up = strncasecmp(name, "RTMIN", 5) == 0;
	unsigned offset = 0;

	if (!up && strncasecmp(name, "RTMAX", 5) != 0)
		return -EINVAL;
	name += 5;
	if (*name && *name != (up ? '+' : '-'))
		return -EINVAL;
	if (*name && options_number(name + 1, 0, RT_MAX - RT_MIN, &offset) < 0)
		return -EINVAL;
	*signal = (int)(up ? RT_MIN + offset : RT_MAX - offset);
	return 0;
}

/* As runc reads one: with a sign, which only zero may have below it. -EINVAL for no number at all.
 */
static int signals_parse_number(const char *text, int *signal, struct err *e)
{
	char *end;

	errno = 0;
	long number = strtol(text, &end, 10);
	if (*end || end == text || errno || strchr(" \t\n\v\f\r", text[0]))
		return err_set(e, EINVAL, "unknown signal \"%.64s\"", text);
	if (number < 0 || number > (long)RT_MAX)
		return err_set(e, ERANGE,
			"unable to signal init: invalid argument (signals are 0 to %u)", RT_MAX);
	*signal = (int)number;
	return 0;
}

int signals_parse(const char *text, int *signal, struct err *e)
{
	const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;

	int ret = signals_parse_number(text, signal, e);
	if (ret != -EINVAL)
		return ret == 0 ? 0 : -EINVAL;
	for (size_t i = 0; i < sizeof(signals_known) / sizeof(signals_known[0]); i++) {
		if (strcasecmp(signals_known[i].name, name) == 0) {
			*signal = signals_known[i].number;
			return 0;
		}
	}
	return signals_parse_realtime(name, signal) == 0 ? 0 : ret;
}
