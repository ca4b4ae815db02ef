/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of attempts: a process for each field of it; see attack.h. A copy tells by memory that
 * it shares with the original what became of its attempt, as that takes no system call.
 */
#include "tests/attack/attack.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define PATIENCE_MS 60000
#define CELL_BYTES  64

enum { STATE_BEFORE, STATE_MISSING, STATE_ACTS, STATE_DONE };

struct report {
	volatile int state;  /* of the copy */
	volatile int code;   /* of its attempt, or of its preparation */
	volatile int status; /* of the process that waited for, when `other` */
	volatile bool other;
};

static struct {
	struct attack attack;
	const struct attempt *attempt; /* NULL: the original */
	enum attacker attacker;
	struct report *report;
	int listeners[2];
} self;

static const char *const kinds[ATTACKERS] = {
	[ATTACKER_FREE] = "unconfined",
	[ATTACKER_MAIN] = "main",
	[ATTACKER_MAIN_EMULATION] = "main",
	[ATTACKER_VCPU] = "vcpu",
	[ATTACKER_DISK] = "disk",
	[ATTACKER_NET] = "net",
	[ATTACKER_RELAY] = "relay",
	[ATTACKER_RESOLVER] = "resolver",
	[ATTACKER_SERVER] = "server",
};

enum attacker attack_attacker(void)
{
	return self.attacker;
}

void attack_end(int code)
{
	self.report->code = code;
	self.report->state = STATE_DONE;
	/* Not on every list, but an end in any case. */
	for (;;)
		syscall(SYS_exit_group, 0);
}

static _Noreturn void act(void)
{
	self.report->state = STATE_ACTS;
	attack_end(self.attempt->act(&self.attack));
}

void attack_wait(void)
{
	int status = 0;

	if (waitpid(-1, &status, 0) < 0)
		_exit(1);
	self.report->status = status;
	self.report->other = true;
	_exit(0);
}

static const struct attempt *find(const struct attempts *const *tables, const char *name)
{
	for (; *tables; tables++)
		for (size_t i = 0; i < (*tables)->n; i++)
			if (!strcmp((*tables)->table[i].name, name))
				return &(*tables)->table[i];
	return NULL;
}

static void act_live(const char *kind, const struct attempts *const *tables)
{
	const char *live = getenv("HVRUN_ATTACK_LIVE");
	size_t n = strlen(kind);
	struct attack attack = {.dir = "/", .secret = "/etc/passwd", .export_fd = -1};

	if (!live || strncmp(live, kind, n) != 0 || live[n] != ':')
		return;
	const struct attempt *attempt = find(tables, live + n + 1);
	if (!attempt || attempt->act(&attack) == 0)
		syscall(SYS_exit_group, 1);
}

void attack_here(const char *kind, const struct attempts *const *tables)
{
	if (!self.attempt)
		act_live(kind, tables);
	else if (!strcmp(kind, kinds[self.attacker]))
		act();
}

/* Whoever fails before the attempts begin has nothing to test. */
static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "attack: %s: %s\n", what, strerror(errno));
	_exit(1);
}

static void put(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

	must(fd >= 0 && write(fd, "secret", 6) == 6, path);
	close(fd);
}

static void lay_out(const struct attack *a)
{
	(void)unlink(a->made);
	(void)rmdir(a->made);
	(void)mkdir(a->sub, 0777);
	put(a->secret);
	put(a->doomed);
}

static int listen_at(const struct attack *a, bool abstract)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	socklen_t len = sizeof(name);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (abstract) {
		memcpy(name.sun_path + 1, a->abstract, strlen(a->abstract));
		len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(a->abstract));
	} else {
		snprintf(name.sun_path, sizeof(name.sun_path), "%s", a->socket);
	}
	must(bind(fd, (struct sockaddr *)&name, len) == 0 && listen(fd, 1000) == 0, a->socket);
	return fd;
}

/* Pids are those of /proc in names, and of this process's namespace elsewhere. */
static void make_victim(struct attack *a)
{
	int pipes[2];
	pid_t parent = getpid();

	must(pipe2(pipes, O_CLOEXEC) == 0, "pipe");
	a->victim = fork();
	if (!a->victim) {
		char name[24] = "";
		ssize_t n = readlink("/proc/self", name, sizeof(name));
		(void)!write(pipes[1], name, n > 0 ? (size_t)n : 0);
		close(pipes[1]);
		/* It ends with the original, whose copies may have stopped it or changed it. */
		while (getppid() == parent)
			(void)poll(NULL, 0, 200);
		_exit(0);
	}
	close(pipes[1]);
	memcpy(a->victim_proc, "/proc/", 6);
	must(read(pipes[0], a->victim_proc + 6, sizeof(a->victim_proc) - 7) > 0, "/proc/self");
	close(pipes[0]);
	a->victim_pidfd = (int)syscall(SYS_pidfd_open, a->victim, 0);
	must(a->victim_pidfd >= 0, "pidfd_open");
}

static void begin(struct attack *a, const char *program, const char *dir)
{
	static uint64_t word = 1;

	must(snprintf(a->dir, sizeof(a->dir), "%s", dir) < (int)sizeof(a->dir), "long name");
	snprintf(a->secret, sizeof(a->secret), "%s/secret", a->dir);
	snprintf(a->doomed, sizeof(a->doomed), "%s/doomed", a->dir);
	snprintf(a->made, sizeof(a->made), "%s/made", a->dir);
	snprintf(a->sub, sizeof(a->sub), "%s/sub", a->dir);
	snprintf(a->socket, sizeof(a->socket), "%s/socket", a->dir);
	snprintf(a->abstract, sizeof(a->abstract), "%s-%d", program, (int)getpid());
	a->victim_word = &word;
	a->export_fd = a->readonly_fd = a->fds[0] = a->fds[1] = -1;
	must(mkdir(a->dir, 0777) == 0, a->dir);
	lay_out(a);
	self.listeners[0] = listen_at(a, false);
	self.listeners[1] = listen_at(a, true);
	make_victim(a);
}

/* What an attempt does to mounts, names of the machine and IPC stays with the copy. */
static void set_apart(void)
{
	must(unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC) == 0 &&
			mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0,
		"namespaces of its own");
}

/* True: go on to the confinement. */
static bool copy(int err_fd)
{
	int code;

	self.attack.own_stderr = dup(STDERR_FILENO);
	dup2(err_fd, STDERR_FILENO);
	set_apart();
	code = self.attempt->prepare ? self.attempt->prepare(&self.attack) : 0;
	if (self.attacker != ATTACKER_FREE)
		return true;
	if (!code)
		act();
	self.report->code = code;
	self.report->state = STATE_MISSING;
	_exit(0);
}

/* "killed (mount)": hvrun-vmm says which call it was. */
static void tell_killed(char *cell, const char *said)
{
	static const char before[] = "made the system call ";
	const char *name = strstr(said, before);

	if (name)
		snprintf(cell, CELL_BYTES, "killed (%.*s)",
			(int)strcspn(name + sizeof(before) - 1, "("), name + sizeof(before) - 1);
	else
		snprintf(cell, CELL_BYTES, "killed");
}

static void tell(char *cell, int status, const char *said)
{
	const struct report *r = self.report;

	if (r->other)
		status = r->status;
	if (r->state == STATE_DONE && r->code)
		snprintf(cell, CELL_BYTES, "%s", strerrorname_np(r->code));
	else if (r->state == STATE_DONE ||
		(r->state == STATE_ACTS && status == 0 && self.attempt->executes))
		snprintf(cell, CELL_BYTES, "WORKED");
	else if (r->state == STATE_MISSING)
		snprintf(cell, CELL_BYTES, "missing (%s)", strerrorname_np(r->code));
	else if (r->state == STATE_ACTS && WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		tell_killed(cell, said);
	else
		snprintf(cell, CELL_BYTES, "BROKEN (state %d, status %#x) %.*s", r->state,
			(unsigned)status, (int)strcspn(said, "\n"), said);
}

/* A field of the table: waits for the copy. */
static void wait_for(pid_t pid, int said_fd, char *cell)
{
	struct pollfd end = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
	char said[1024];
	int status = 0;

	if (poll(&end, 1, PATIENCE_MS) != 1)
		kill(pid, SIGKILL);
	close(end.fd);
	must(waitpid(pid, &status, 0) == pid, "waiting for an attempt");
	ssize_t n = read(said_fd, said, sizeof(said) - 1);
	said[n > 0 ? n : 0] = '\0';
	tell(cell, status, said);
}

/* True in the copy. */
static bool try_one(
	enum attacker attacker, void (*choose)(struct attack *a, bool confined), char *cell)
{
	int pipes[2];

	lay_out(&self.attack);
	*self.report = (struct report){.state = STATE_BEFORE};
	self.attacker = attacker;
	must(pipe2(pipes, O_CLOEXEC | O_NONBLOCK) == 0, "pipe");
	pid_t pid = fork();
	must(pid >= 0, "fork");
	if (pid == 0) {
		if (choose)
			choose(&self.attack, attacker != ATTACKER_FREE);
		return copy(pipes[1]);
	}
	close(pipes[1]);
	wait_for(pid, pipes[0], cell);
	close(pipes[0]);
	return false;
}

/* True in a copy. */
static bool try_row(
	FILE *out, const enum attacker *attackers, void (*choose)(struct attack *a, bool confined))
{
	char cell[CELL_BYTES];

	if (try_one(ATTACKER_FREE, choose, cell))
		return true;
	fprintf(out, "%s\t%s", self.attempt->name, cell);
	for (; *attackers != ATTACKER_FREE; attackers++) {
		if (self.attempt->allowed & BIT(*attackers))
			strcpy(cell, "allowed");
		else if (try_one(*attackers, choose, cell))
			return true;
		fprintf(out, "\t%s", cell);
	}
	fputc('\n', out);
	/* A copy's buffer is to be empty. */
	must(fflush(out) == 0, "the table");
	return false;
}

static FILE *open_table(const char *program, const char *dir, const enum attacker *attackers)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, program);
	FILE *out = fopen(path, "we");
	must(out != NULL, path);
	fprintf(out, "attempt\t%s", kinds[ATTACKER_FREE]);
	for (; *attackers != ATTACKER_FREE; attackers++)
		fprintf(out, "\t%s", kinds[*attackers]);
	fputc('\n', out);
	fflush(out);
	return out;
}

bool attack_all(const char *program, const struct attempts *const *tables,
	const enum attacker *attackers, void (*choose)(struct attack *a, bool confined))
{
	const char *dir = getenv("HVRUN_ATTACK_DIR");
	char work[64];

	if (!dir)
		return false;
	FILE *out = open_table(program, dir, attackers);
	snprintf(work, sizeof(work), "%s/%s.d", dir, program);
	begin(&self.attack, program, work);
	self.report = mmap(NULL, sizeof(*self.report), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(self.report != MAP_FAILED, "memory");
	for (; *tables; tables++) {
		for (size_t i = 0; i < (*tables)->n; i++) {
			self.attempt = &(*tables)->table[i];
			if (try_row(out, attackers, choose))
				return true;
		}
	}
	self.attempt = NULL;
	self.attacker = ATTACKER_FREE;
	fputs("end\n", out);
	fclose(out);
	close(self.listeners[0]);
	close(self.listeners[1]);
	close(self.attack.victim_pidfd);
	kill(self.attack.victim, SIGKILL);
	waitpid(self.attack.victim, NULL, 0);
	return false;
}
