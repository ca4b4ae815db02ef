/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hvrun exec: one more process in a container. The monitor gets its streams; this process (with
 * --detach: a child that is left behind) stands for it on the host until it ends, see attend.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/msg.h"
#include "oci/config.h"
#include "runtime/attend.h"
#include "runtime/commands.h"
#include "runtime/console.h"
#include "runtime/monitor.h"
#include "runtime/pidfile.h"
#include "runtime/preserve.h"
#include "runtime/process.h"
#include "runtime/streams.h"

#define EXIT_EXEC      255 /* as runc: the process could not be started */
#define PAUSED_STEP_US 100000

struct exec_options {
	struct process_options process;
	const char *file, *pid_file, *console_socket, *cgroup;
	bool detach, ignore_paused;
	unsigned preserve_fds;
};

struct exec {
	struct exec_options options;
	unsigned inherited_fds;
	struct container container;
	json_t *process;
	bool terminal;
	struct streams streams;
	struct preserve preserve;
	struct attend attend;
};

#define PLACE(member) offsetof(struct exec_options, member)

static const struct option_spec exec_specs[] = {
	{.name = "process",
		.letter = 'p',
		.kind = OPTION_TEXT,
		.offset = PLACE(file),
		.value_name = "FILE",
		.help = "the whole process as JSON (OCI: process), in place of a\n"
			"command and the options that change it"},
	{.name = "tty",
		.letter = 't',
		.kind = OPTION_FLAG,
		.offset = PLACE(process.tty),
		.help = "give it a terminal"},
	{.name = "detach",
		.letter = 'd',
		.kind = OPTION_FLAG,
		.offset = PLACE(detach),
		.help = "return as soon as it runs; a process of the host that\n"
			"stands for it stays and ends with its exit code"},
	{.name = "pid-file",
		.kind = OPTION_TEXT,
		.offset = PLACE(pid_file),
		.value_name = "FILE",
		.help = "write the number of the host's process there"},
	{.name = "console-socket",
		.kind = OPTION_TEXT,
		.offset = PLACE(console_socket),
		.value_name = "SOCKET",
		.help = "send the terminal's master there, with --detach"},
	{.name = "cwd",
		.kind = OPTION_TEXT,
		.offset = PLACE(process.cwd),
		.value_name = "DIR",
		.help = "working directory"},
	{.name = "env",
		.letter = 'e',
		.kind = OPTION_LIST,
		.offset = PLACE(process.env),
		.value_name = "NAME=VALUE",
		.help = "one more environment variable"},
	{.name = "user",
		.letter = 'u',
		.kind = OPTION_TEXT,
		.offset = PLACE(process.user),
		.value_name = "UID[:GID]",
		.help = "whose process it is, by numbers"},
	{.name = "additional-gids",
		.letter = 'g',
		.kind = OPTION_LIST,
		.offset = PLACE(process.gids),
		.value_name = "GID",
		.help = "one more group"},
	{.name = "cap",
		.letter = 'c',
		.kind = OPTION_LIST,
		.offset = PLACE(process.caps),
		.value_name = "CAP",
		.help = "one more capability"},
	{.name = "no-new-privs",
		.kind = OPTION_FLAG,
		.offset = PLACE(process.no_new_privs),
		.help = "it can't gain privileges by what it executes"},
	{.name = "ignore-paused",
		.kind = OPTION_FLAG,
		.offset = PLACE(ignore_paused),
		.help = "in a paused container, wait until it goes on"},
	/* Without a security module in the guest these have no effect. */
	{.name = "apparmor", .kind = OPTION_TEXT, .offset = PLACE(process.apparmor)},
	{.name = "process-label", .kind = OPTION_TEXT, .offset = PLACE(process.label)},
	{.name = "cgroup", .kind = OPTION_TEXT, .offset = PLACE(cgroup)},
	{.name = "preserve-fds",
		.kind = OPTION_NUMBER,
		.offset = PLACE(preserve_fds),
		.max = 1u << 20,
		.value_name = "N",
		.help = "N descriptors from 3 on are the process's as well: pipes and\n"
			"connected stream sockets, at most 16"},
	{0},
};

static int check_options(struct exec *x, struct err *e)
{
	const char *cgroup = x->options.cgroup;

	int ret = preserve_take(&x->preserve, x->inherited_fds, 0, x->options.preserve_fds, e);
	if (ret < 0)
		return ret;
	if (cgroup && *cgroup && strcmp(cgroup, "/") != 0)
		return err_set(e, ENOTSUP,
			"--cgroup: %s: only the container's own cgroup is supported", cgroup);
	return 0;
}

static int check_status(const struct exec *x, struct err *e)
{
	enum container_status status = container_status(&x->container);

	while (status == CONTAINER_PAUSED && x->options.ignore_paused) {
		usleep(PAUSED_STEP_US);
		status = container_status(&x->container);
	}
	if (status == CONTAINER_PAUSED)
		return err_set(e, EBUSY,
			"cannot exec in a paused container (use --ignore-paused to override)");
	if (status == CONTAINER_STOPPED)
		return err_set(e, ESRCH, "cannot exec in a stopped container");
	return 0;
}

static int make_process(struct exec *x, struct err *e)
{
	const char *file = x->options.file;

	if (!file && !x->options.process.args[0])
		return err_set(e, EINVAL, "process args cannot be empty");
	cleanup_close int fd = file
		? open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY)
		: openat(x->container.dir, "config.json", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_sys(e, errno, "open %s", file ? file : "config.json");
	int ret = file ? process_from_file(&x->process, fd, file, e)
		       : process_from_config(&x->process, fd, &x->options.process, e);
	if (ret == 0)
		x->terminal = json_is_true(json_object_get(x->process, "terminal"));
	return ret;
}

static unsigned cells(const json_t *process, const char *path)
{
	json_int_t n = json_integer_value(oci_lookup(process, path));

	return n > 0 && n <= UINT16_MAX ? (unsigned)n : 0;
}

/* The terminal that the user sits at edits no lines and makes no signals of keys meanwhile. */
static int make_raw(const struct streams *streams, struct err *e)
{
	struct termios raw = streams->settings;

	if (!streams->saved)
		return 0;
	cfmakeraw(&raw);
	if (tcsetattr(streams->terminal, TCSANOW, &raw) < 0)
		return err_sys(e, errno, "the terminal");
	return 0;
}

static int open_streams(struct exec *x, struct err *e)
{
	struct streams *streams = &x->streams;
	unsigned rows = cells(x->process, "consoleSize.height");
	unsigned columns = cells(x->process, "consoleSize.width");

	int ret = console_check(x->options.detach, x->terminal, x->options.console_socket, e);
	if (ret < 0)
		return ret;
	if (x->terminal && x->options.detach) {
		ret = console_send(x->options.console_socket, rows, columns, &streams->terminal, e);
	} else {
		ret = streams_open(streams, x->terminal, e);
		if (ret == 0 && streams->terminal >= 0 && streams->rows) {
			rows = streams->rows;
			columns = streams->columns;
		}
	}
	x->attend.terminal = streams->terminal;
	x->attend.rows = rows;
	x->attend.columns = columns;
	return ret;
}

/* It may be larger than a packet, so it goes as a file. The descriptor, or -errno with e. */
static int process_file(const json_t *process, struct err *e)
{
	cleanup_free char *text = json_dumps(process, JSON_COMPACT);
	size_t len = text ? strlen(text) : 0;

	if (!text)
		return err_sys(e, ENOMEM, "the process");
	if (len > MSG_MAX_PROCESS_BYTES)
		return err_set(e, E2BIG,
			"the process: arguments and environment take more than %u bytes as JSON",
			MSG_MAX_PROCESS_BYTES);
	cleanup_close int fd = fd_memfile("hvrun-process", text, len);
	int ret = fd < 0 ? fd : fd_seal(fd);
	return ret < 0 ? err_sys(e, -ret, "the process") : steal_fd(&fd);
}

static int ask(struct exec *x, struct err *e)
{
	const struct streams *streams = &x->streams;
	cleanup_close int process = process_file(x->process, e);
	int fds[4 + MSG_PRESERVED_MAX] = {process};
	unsigned n = 1;

	if (process < 0)
		return process;
	if (x->terminal) {
		fds[n++] = streams->terminal;
	} else {
		fds[n++] = streams->in;
		fds[n++] = streams->out;
		fds[n++] = streams->err;
	}
	for (unsigned i = 0; i < x->preserve.n; i++)
		fds[n++] = x->preserve.v[i].fd;
	json_t *request = json_pack("{s:s, s:b, s:i, s:i, s:o}", "op", "exec", "terminal",
		(int)x->terminal, "rows", (int)x->attend.rows, "columns", (int)x->attend.columns,
		"preserved", preserve_json(&x->preserve, NULL, 0));
	return monitor_send(x->attend.sock, request, fds, n, e);
}

/* Until the process runs: what goes wrong up to here is "exec failed". */
static int start(struct exec *x, struct err *e)
{
	int ret = check_options(x, e);
	if (ret == 0)
		ret = check_status(x, e);
	if (ret == 0)
		ret = make_process(x, e);
	if (ret == 0)
		ret = open_streams(x, e);
	if (ret < 0)
		return ret;
	int sock = monitor_connect(x->container.dir, e);
	if (sock < 0)
		return sock;
	ret = attend_open(&x->attend, sock, e);
	if (ret == 0)
		ret = make_raw(&x->streams, e);
	if (ret == 0)
		ret = ask(x, e);
	if (ret < 0)
		return ret;
	/* Ends of file are to pass: the monitor has its own by now. */
	preserve_close(&x->preserve);
	if (!x->options.detach)
		streams_hand_over(&x->streams);
	ret = attend_start(&x->attend, e);
	if (ret == 0 && x->attend.failed) {
		*e = x->attend.err;
		ret = -e->code;
	}
	return ret;
}

/* All descriptors from 3 on but these, whose numbers may be -1. */
static void close_others(const int *kept, size_t n)
{
	for (unsigned low = 3;;) {
		unsigned next = ~0u;
		for (size_t i = 0; i < n; i++)
			if (kept[i] >= 0 && (unsigned)kept[i] >= low && (unsigned)kept[i] < next)
				next = (unsigned)kept[i];
		if (next > low)
			(void)close_range(low, next - 1, 0);
		if (next == ~0u)
			return;
		low = next + 1;
	}
}

/*
 * The process that stays behind. It has nothing of its caller's but the connection and, if there
 * is one, the terminal: who waits for the end of a pipe must not wait for it.
 */
static _Noreturn void keep(struct attend *a)
{
	const int kept[] = {a->sock, a->signal_fd, a->terminal};
	int null = open("/dev/null", O_RDWR);
	struct err e;

	for (int fd = 0; fd <= 2; fd++)
		if (dup2(null, fd) < 0)
			_exit(EXIT_EXEC);
	close_others(kept, sizeof(kept) / sizeof(kept[0]));
	if (a->terminal < 0)
		(void)setsid();
	else if (console_control(a->terminal, &e) < 0)
		_exit(EXIT_EXEC);
	attend_resize(a);
	_exit(attend_run(a, &e) < 0 || a->failed ? EXIT_EXEC : a->code);
}

static int write_pid(const struct exec *x, pid_t pid, struct err *e)
{
	return x->options.pid_file ? pidfile_write(x->options.pid_file, pid, e) : 0;
}

static int detach(struct exec *x, struct err *e)
{
	pid_t pid = fork();

	if (pid < 0)
		return err_sys(e, errno, "fork");
	if (pid == 0)
		keep(&x->attend);
	int ret = write_pid(x, pid, e);
	if (ret < 0)
		kill(pid, SIGKILL);
	return ret;
}

/* The exit code in *code; or what went wrong. */
static int execute(struct exec *x, int *code, struct err *e)
{
	int ret = start(x, e);

	if (ret < 0)
		return ret;
	if (x->options.detach) {
		*code = 0;
		return detach(x, e);
	}
	ret = write_pid(x, getpid(), e);
	if (ret == 0)
		ret = attend_run(&x->attend, e);
	if (ret == 0 && x->attend.failed) {
		*e = x->attend.err;
		ret = -e->code;
	}
	*code = x->attend.code;
	return ret;
}

static int exec_fail(const struct context *context, struct err *e)
{
	err_add(e, "exec failed");
	(void)command_fail(context, e);
	return EXIT_EXEC;
}

static int exec_in(struct context *context, struct exec *x, const char *id)
{
	int code = EXIT_EXEC;
	struct err e;

	int ret = command_open_container(context, id, &x->container, &e);
	if (ret == 0)
		ret = execute(x, &code, &e);
	/* The terminal is put right before anything is said on it. */
	streams_close(&x->streams);
	preserve_close(&x->preserve);
	attend_fini(&x->attend);
	container_close(&x->container);
	json_decref(x->process);
	return ret < 0 ? exec_fail(context, &e) : code;
}

static int command_exec_run(struct context *context, int argc, char **argv)
{
	struct exec *x = calloc(1, sizeof(*x));
	struct err e;
	int first, code;

	if (!x) {
		err_sys(&e, ENOMEM, "exec");
		return command_fail(context, &e);
	}
	x->inherited_fds = context->inherited_fds;
	container_init(&x->container);
	attend_init(&x->attend);
	x->streams.in = x->streams.out = x->streams.err = x->streams.terminal = -1;
	int ret = options_parse(exec_specs, &x->options, argc, argv, &first, &e);
	if (ret == 0 && first == argc)
		ret = err_set(&e, EINVAL, "\"exec\" requires a minimum of 1 argument(s)");
	if (ret < 0) {
		code = command_fail(context, &e);
	} else {
		x->options.process.args = argv + first + 1;
		code = exec_in(context, x, argv[first]);
	}
	free(x);
	return code;
}

const struct command command_exec = {
	.name = "exec",
	.usage = "[OPTION...] ID COMMAND [ARGUMENT...]\n  hvrun exec [OPTION...] --process FILE ID",
	.summary = "run one more process in a container",
	.text = "Runs a process in a container that is created or running, with the\n"
		"environment, user and limits that its configuration has, and waits for it.\n"
		"\n"
		"Signals go to the process; killing hvrun kills it. The exit code is the\n"
		"process's own, 128+N when signal N ended it, 255 when it could not be started.\n",
	.options = exec_specs,
	.run = command_exec_run,
};
