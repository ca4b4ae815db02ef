/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kvmbox: the host side of one run.
 *
 * Puts the initramfs of this run together, starts virtiofsd and QEMU, carries the command's
 * streams between our own descriptors and the box's virtio-serial ports, and ends with the
 * command's exit code. Everything it makes is a descriptor (memory files, socket pairs, an
 * abstract socket), and the children die with it, so nothing is left behind however it ends.
 *
 * Exit codes of its own: 125 the box failed, 124 the time is up, 128+n a signal ended it.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "initrd.h"
#include "launch.h"
#include "pump.h"

/*
 * A box that isn't up by then is started again: QEMU's processors lose their way now and then
 * (guest_hold_code in guest.c tells why), and nothing of the command has run. The last start gets
 * the time that a busy machine may need.
 */
#define BOOT_ATTEMPTS	   3
#define BOOT_TIMEOUT_S	   120
#define CONSOLE_BYTES	   65536
#define CONSOLE_TAIL_LINES 60

struct box {
	struct launched launched;
	int initrd_fd;
	int attempt;	  /* how often it has been started, less one */
	int64_t start_ms; /* of this attempt */
	int64_t heard_ms; /* when the box last said something */
	int qemu_status;
	int port[PORT_COUNT]; /* our ends */
	int console_fd;
	int signal_fd;
	struct pump in, out, err;
	bool up, ended, qemu_gone;
	int status;
	uint64_t out_bytes, err_bytes; /* what the box says that it has sent */
	char line[1200];	       /* control line being received */
	size_t line_len;
	char console[CONSOLE_BYTES]; /* ring of the latest output */
	uint64_t console_bytes;
};

/* Adds the description of the run: what guest.c reads in /job. */
static int host_add_job(struct initrd *rd, const struct config *cfg)
{
	char *conf = NULL, *argv = NULL, *env = NULL, cwd[PATH_MAX];
	size_t conf_len, argv_len, env_len;
	FILE *f = open_memstream(&conf, &conf_len);
	int r;

	if (!f || !getcwd(cwd, sizeof(cwd)))
		return -errno;
	fprintf(f, "cwd=%s\n", cfg->icount ? "/" : cwd);
	if (!cfg->icount) {
		fprintf(f, "root=share\n");
		if (cfg->modules)
			fprintf(f, "modules=%s\n", cfg->modules);
		for (int i = 0; i < cfg->share_count; i++)
			fprintf(f, "share=%s\n", cfg->share[i]);
	}
	fclose(f);
	f = open_memstream(&argv, &argv_len);
	for (char **p = cfg->argv; f && *p; p++)
		fwrite(*p, 1, strlen(*p) + 1, f);
	fclose(f);
	f = open_memstream(&env, &env_len);
	for (char **p = environ; f && *p; p++)
		if (strncmp(*p, "KVMBOX=", 7))
			fwrite(*p, 1, strlen(*p) + 1, f);
	fwrite("KVMBOX=1", 1, 9, f);
	fclose(f);
	r = initrd_add_dir(rd, "job");
	r = r ? r : initrd_add_bytes(rd, "job/conf", conf, conf_len);
	r = r ? r : initrd_add_bytes(rd, "job/argv", argv, argv_len);
	r = r ? r : initrd_add_bytes(rd, "job/env", env, env_len);
	free(conf);
	free(argv);
	free(env);
	return r;
}

static int host_make_initrd(const struct config *cfg)
{
	struct initrd rd;
	int r = initrd_open(&rd, cfg->initramfs);

	if (r)
		launch_die("%s: %s", cfg->initramfs, strerror(-r));
	r = host_add_job(&rd, cfg);
	r = r ? r : initrd_add_dir(&rd, "box");
	if (r)
		launch_die("initramfs: %s", strerror(-r));
	for (int i = 0; i < cfg->copy_count; i++) {
		r = initrd_add_path(&rd, cfg->copy[i]);
		if (r)
			launch_die("--copy %s: %s", cfg->copy[i], strerror(-r));
	}
	r = initrd_finish(&rd);
	if (r)
		launch_die("initramfs: %s", strerror(-r));
	return rd.fd;
}

/* Keeps what QEMU, virtiofsd and the box's kernel say; shows it at once when verbose. */
static void host_read_console(struct box *box, bool verbose)
{
	char buf[4096];
	ssize_t n = read(box->console_fd, buf, sizeof(buf));

	if (n <= 0) {
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			box->console_fd = -1;
		return;
	}
	for (ssize_t i = 0; i < n; i++)
		if (buf[i] != '\r')
			box->console[box->console_bytes++ % CONSOLE_BYTES] = buf[i];
	if (verbose && write(2, buf, (size_t)n) < 0)
		return;
}

static void host_show_console(struct box *box)
{
	uint64_t first =
		box->console_bytes > CONSOLE_BYTES ? box->console_bytes - CONSOLE_BYTES : 0;
	uint64_t at = box->console_bytes;

	for (int lines = 0; at > first; at--)
		if (box->console[(at - 1) % CONSOLE_BYTES] == '\n' && lines++ == CONSOLE_TAIL_LINES)
			break;
	for (; at < box->console_bytes; at++)
		fputc(box->console[at % CONSOLE_BYTES], stderr);
}

static void host_stop(struct box *box)
{
	if (box->launched.qemu_pid > 0 && !box->qemu_gone) {
		kill(box->launched.qemu_pid, SIGKILL);
		waitpid(box->launched.qemu_pid, NULL, 0);
	}
	if (box->launched.fs_pid > 0) {
		kill(box->launched.fs_pid, SIGKILL);
		waitpid(box->launched.fs_pid, NULL, 0);
	}
}

__attribute__((format(printf, 3, 4), noreturn)) static void host_end(
	struct box *box, int status, const char *fmt, ...)
{
	va_list ap;

	host_stop(box);
	while (box->console_fd >= 0)
		host_read_console(box, false);
	if (status == EXIT_BOX || status == EXIT_TIMEOUT)
		host_show_console(box);
	fprintf(stderr, "kvmbox: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(status);
}

static void host_open_ports(struct box *box)
{
	for (int i = 0; i < PORT_COUNT; i++) {
		int pair[2];

		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
			launch_die("socketpair: %s", strerror(errno));
		box->port[i] = pair[0];
		box->launched.port_peer[i] = pair[1];
		fcntl(pair[0], F_SETFL, O_NONBLOCK);
	}
	box->in = (struct pump){.in_fd = -1, .out_fd = box->port[PORT_IN]};
	box->out = (struct pump){.in_fd = box->port[PORT_OUT], .out_fd = 1};
	box->err = (struct pump){.in_fd = box->port[PORT_ERR], .out_fd = 2};
}

static int64_t host_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void host_start(struct box *box, const struct config *cfg)
{
	int console[2], null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	host_open_ports(box);
	if (pipe2(console, O_CLOEXEC))
		launch_die("pipe: %s", strerror(errno));
	/* virtiofsd has remarks of its own at each end of a box. */
	if (!cfg->icount)
		launch_fs(&box->launched, cfg, cfg->verbose ? console[1] : null_fd);
	launch_qemu(&box->launched, cfg, box->initrd_fd, console[1]);
	close(null_fd);
	close(console[1]);
	if (!cfg->icount)
		close(box->launched.fs_fd);
	for (int i = 0; i < PORT_COUNT; i++)
		close(box->launched.port_peer[i]);
	box->console_fd = console[0];
	box->start_ms = host_now_ms();
}

static void host_start_again(struct box *box, const struct config *cfg)
{
	host_stop(box);
	if (box->console_fd >= 0)
		close(box->console_fd);
	for (int i = 0; i < PORT_COUNT; i++)
		close(box->port[i]);
	box->console_bytes = box->line_len = 0;
	box->attempt++;
	if (cfg->verbose)
		fprintf(stderr, "kvmbox: not up after %d s; it is started again\n",
			cfg->patience_s);
	host_start(box, cfg);
}

/* How long the box may still take to come up; negative once that is over. */
static int64_t host_boot_left_ms(const struct box *box, const struct config *cfg)
{
	int patience_s = box->attempt + 1 < BOOT_ATTEMPTS ? cfg->patience_s : BOOT_TIMEOUT_S;

	return box->start_ms + patience_s * 1000 - host_now_ms();
}

/* How long the box may still say nothing; with --icount it never says that it lives. */
static int64_t host_still_left_ms(const struct box *box, const struct config *cfg)
{
	if (!box->up || box->ended || cfg->icount)
		return INT_MAX;
	return box->heard_ms + cfg->still_s * 1000 - host_now_ms();
}

static void host_control_line(struct box *box, const char *line)
{
	unsigned long long out, err;

	if (!strcmp(line, "up")) {
		box->up = true;
		box->in.in_fd = 0;
	} else if (sscanf(line, "exit %d %llu %llu", &box->status, &out, &err) == 3) {
		box->ended = true;
		box->out_bytes = out;
		box->err_bytes = err;
	} else if (strcmp(line, "alive") != 0) {
		host_end(box, EXIT_BOX, "the box says: %s", line);
	}
}

static void host_read_control(struct box *box)
{
	char buf[512];
	ssize_t n = read(box->port[PORT_CTL], buf, sizeof(buf));

	if (n <= 0) /* QEMU has gone: its status tells more */
		return;
	box->heard_ms = host_now_ms();
	for (ssize_t i = 0; i < n; i++) {
		if (buf[i] == '\n') {
			box->line[box->line_len] = 0;
			box->line_len = 0;
			host_control_line(box, box->line);
		} else if (box->line_len < sizeof(box->line) - 1) {
			box->line[box->line_len++] = buf[i];
		}
	}
}

static void host_read_signal(struct box *box)
{
	struct signalfd_siginfo info;
	int st;

	if (read(box->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo != SIGCHLD) {
		host_stop(box);
		exit(128 + (int)info.ssi_signo);
	}
	if (waitpid(box->launched.qemu_pid, &st, WNOHANG) == box->launched.qemu_pid) {
		box->qemu_gone = true;
		box->qemu_status = st;
	}
	if (box->launched.fs_pid > 0 &&
		waitpid(box->launched.fs_pid, &st, WNOHANG) == box->launched.fs_pid) {
		box->launched.fs_pid = 0;
		/* It ends when QEMU does, and may be seen to do so first. */
		for (int i = 0; i < 100 && !box->qemu_gone; i++) {
			usleep(10000);
			box->qemu_gone =
				waitpid(box->launched.qemu_pid, &box->qemu_status, WNOHANG) > 0;
		}
		if (!box->qemu_gone)
			host_end(box, EXIT_BOX, "virtiofsd has ended (--verbose tells more)");
	}
}

static bool host_is_done(const struct box *box)
{
	return box->ended && pump_idle(&box->out) && pump_idle(&box->err) &&
		box->out.total_bytes >= box->out_bytes && box->err.total_bytes >= box->err_bytes;
}

static void host_check_gone(struct box *box)
{
	if (!box->qemu_gone || box->ended)
		return;
	if (WIFSIGNALED(box->qemu_status))
		host_end(box, EXIT_BOX, "QEMU was killed by signal %d", WTERMSIG(box->qemu_status));
	host_end(box, EXIT_BOX, "the box ended by itself%s (QEMU's exit code %d)",
		box->up ? "" : " before it was up", WEXITSTATUS(box->qemu_status));
}

static void host_relay(struct box *box, const struct config *cfg)
{
	struct pump *pumps[3] = {&box->in, &box->out, &box->err};
	int64_t start_ms = host_now_ms();
	struct pollfd pfd[9];

	while (!host_is_done(box)) {
		int64_t left_ms = INT_MAX;

		if (!box->up && host_boot_left_ms(box, cfg) <= 0 &&
			box->attempt + 1 < BOOT_ATTEMPTS)
			host_start_again(box, cfg);
		for (int i = 0; i < 3; i++)
			pump_events(pumps[i], &pfd[2 * i]);
		pfd[6] = (struct pollfd){.fd = box->port[PORT_CTL], .events = POLLIN};
		pfd[7] = (struct pollfd){.fd = box->console_fd, .events = POLLIN};
		pfd[8] = (struct pollfd){.fd = box->signal_fd, .events = POLLIN};
		if (box->ended || box->qemu_gone)
			pfd[6].fd = -1;
		if (!box->up)
			left_ms = host_boot_left_ms(box, cfg);
		if (cfg->timeout_s && start_ms + cfg->timeout_s * 1000 - host_now_ms() < left_ms)
			left_ms = start_ms + cfg->timeout_s * 1000 - host_now_ms();
		if (left_ms <= 0)
			host_end(box, EXIT_TIMEOUT, "time is up%s",
				box->up ? "" : ", and the box has not started");
		if (host_still_left_ms(box, cfg) <= 0)
			host_end(box, EXIT_BOX, "the box stands still: not a word from it in %d s",
				cfg->still_s);
		if (host_still_left_ms(box, cfg) < left_ms)
			left_ms = host_still_left_ms(box, cfg);
		if (poll(pfd, 9, left_ms == INT_MAX ? -1 : (int)left_ms) < 0 && errno != EINTR)
			host_end(box, EXIT_BOX, "poll: %s", strerror(errno));
		for (int i = 0; i < 3; i++)
			pump_step(pumps[i], &pfd[2 * i]);
		if (box->in.eof && pump_idle(&box->in) && box->in.out_fd >= 0) {
			/* Ours stays open for reading: a full close may overtake the data. */
			shutdown(box->in.out_fd, SHUT_WR);
			box->in.out_fd = -1;
		}
		if (pfd[6].fd >= 0 && pfd[6].revents)
			host_read_control(box);
		if (pfd[7].fd >= 0 && pfd[7].revents)
			host_read_console(box, cfg->verbose);
		if (pfd[8].revents)
			host_read_signal(box);
		if (box->out.lost || box->err.lost) {
			host_stop(box);
			exit(128 + SIGPIPE);
		}
		host_check_gone(box);
	}
}

static void host_open_signals(struct box *box)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	box->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (box->signal_fd < 0)
		launch_die("signalfd: %s", strerror(errno));
}

static void host_add_path(const char *paths[PATHS_MAX], int *count, const char *path)
{
	if (*count == PATHS_MAX)
		launch_die("more than %d paths", PATHS_MAX);
	paths[(*count)++] = path;
}

static void host_parse(struct config *cfg, int argc, char **argv)
{
	enum { VMLINUX, INITRAMFS, MODULES, APPEND, CACHE, PLUGIN, STRINGS };
	enum { SHARE = STRINGS, COPY, MEMORY, CPUS, TIMEOUT, PATIENCE, STILL, ICOUNT, VERBOSE };
	static const struct option options[] = {{"vmlinux", 1, NULL, VMLINUX},
		{"initramfs", 1, NULL, INITRAMFS}, {"modules", 1, NULL, MODULES},
		{"append", 1, NULL, APPEND}, {"cache", 1, NULL, CACHE}, {"plugin", 1, NULL, PLUGIN},
		{"share", 1, NULL, SHARE}, {"copy", 1, NULL, COPY}, {"memory", 1, NULL, MEMORY},
		{"cpus", 1, NULL, CPUS}, {"timeout", 1, NULL, TIMEOUT},
		{"patience", 1, NULL, PATIENCE}, {"still", 1, NULL, STILL},
		{"icount", 0, NULL, ICOUNT}, {"verbose", 0, NULL, VERBOSE}, {NULL, 0, NULL, 0}};
	const char **strings[STRINGS] = {[VMLINUX] = &cfg->vmlinux,
		[INITRAMFS] = &cfg->initramfs,
		[MODULES] = &cfg->modules,
		[APPEND] = &cfg->append,
		[CACHE] = &cfg->cache,
		[PLUGIN] = &cfg->plugin};
	int c;

	while ((c = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		if (c == '?')
			exit(EXIT_BOX);
		if (c < STRINGS)
			*strings[c] = optarg;
		else if (c == SHARE)
			host_add_path(cfg->share, &cfg->share_count, optarg);
		else if (c == COPY)
			host_add_path(cfg->copy, &cfg->copy_count, optarg);
		else if (c == MEMORY)
			cfg->memory_mib = atoi(optarg);
		else if (c == CPUS)
			cfg->cpus = atoi(optarg);
		else if (c == TIMEOUT)
			cfg->timeout_s = atol(optarg);
		else if (c == PATIENCE)
			cfg->patience_s = atoi(optarg);
		else if (c == STILL)
			cfg->still_s = atoi(optarg);
		else if (c == ICOUNT)
			cfg->icount = true;
		else
			cfg->verbose = true;
	}
	cfg->argv = argv + optind;
	if (!cfg->vmlinux || !cfg->initramfs || !*cfg->argv || cfg->memory_mib < 64 ||
		cfg->cpus < 1)
		launch_die("bad arguments (tests/kvmbox/run is the command to use)");
}

int main(int argc, char **argv)
{
	static struct box box;
	struct config cfg = {.qemu = "qemu-system-x86_64",
		.virtiofsd = "/usr/lib/qemu/virtiofsd",
		.append = "",
		.cache = "always",
		.memory_mib = 4096,
		.cpus = 2,
		.patience_s = 45,
		.still_s = 180};
	struct tick start = launch_read_tick();

	/* A missing standard stream must not become one of our own descriptors. */
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return EXIT_BOX;
	/* What else the caller left open is not our children's to hold. */
	close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
	host_parse(&cfg, argc, argv);
	if (cfg.icount)
		cfg.patience_s = BOOT_TIMEOUT_S;
	box.initrd_fd = host_make_initrd(&cfg);
	host_open_signals(&box);
	cfg.tsc_khz = launch_tsc_khz(start);
	host_start(&box, &cfg);
	host_relay(&box, &cfg);
	host_stop(&box);
	return box.status;
}
