/* SPDX-License-Identifier: Apache-2.0 */
/* An OOM for the host to see; see witness.h. */
#include "runtime/witness.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "runtime/cgroup_internal.h"

#define STEP_BYTES    (8ull << 20)
#define PAGE_BYTES    4096
#define TICK_MS	      5
#define MARGIN_BYTES  (64ull << 20) /* that the host keeps */
#define V1_NO_LIMIT   (1ull << 62)
#define SCORE_MAX     1000
#define DEPTH_MAX     64
#define MEMINFO_BYTES 8192
#define KIB	      1024

/* The files of one cgroup; v1's are those of its memory controller. */
static int read_place(const char *dir, bool v2, uint64_t *limit, uint64_t *usage)
{
	int ret = cgroup_read_number(dir, v2 ? "memory.max" : "memory.limit_in_bytes", limit);

	if (ret == 0 && *limit >= V1_NO_LIMIT)
		*limit = UINT64_MAX;
	return ret < 0
		? ret
		: cgroup_read_number(dir, v2 ? "memory.current" : "memory.usage_in_bytes", usage);
}

static int read_available(const char *proc, uint64_t *bytes)
{
	static const char name[] = "MemAvailable:";
	char text[MEMINFO_BYTES];
	int ret = cgroup_read(proc, "meminfo", text, sizeof(text));
	const char *line = ret < 0 ? NULL : strstr(text, name);

	if (!line)
		return ret < 0 ? ret : -ENODATA;
	*bytes = strtoull(line + strlen(name), NULL, 10) * KIB;
	return 0;
}

int witness_read(struct witness_numbers *numbers, const char *dir, bool v2, const char *proc)
{
	char path[PATH_MAX], score[32], *slash;
	uint64_t limit, usage, flag = 0;
	int ret = read_place(dir, v2, &numbers->limit, &numbers->usage);

	if (!proc)
		proc = "/proc";
	if (ret == 0 && v2 && cgroup_read_number(dir, "memory.oom.group", &flag) == 0 && flag)
		return -EPERM;
	if (ret == 0 && !v2 &&
		cgroup_read_field(dir, "memory.oom_control", "oom_kill_disable", &flag) == 0 &&
		flag)
		return -EPERM;
	if (ret == 0)
		ret = read_available(proc, &numbers->left);
	if (ret == 0)
		ret = cgroup_read(proc, "self/oom_score_adj", score, sizeof(score));
	if (ret < 0)
		return ret;
	numbers->score_adj = strtoll(score, NULL, 10);
	numbers->left -= numbers->left < MARGIN_BYTES ? numbers->left : MARGIN_BYTES;
	if (snprintf(path, sizeof(path), "%s", dir) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	for (int i = 0; i < DEPTH_MAX && (slash = strrchr(path, '/')); i++) {
		*slash = '\0';
		/* v2's root has no such files; a mount point's parent has none either. */
		if (read_place(path, v2, &limit, &usage) < 0)
			break;
		uint64_t left = limit > usage ? limit - usage : 0;
		if (limit != UINT64_MAX && left < numbers->left)
			numbers->left = left;
	}
	return 0;
}

const char *witness_refusal(const struct witness_numbers *numbers)
{
	const uint64_t drawn = numbers->usage + WITNESS_ROOM_BYTES;

	if (numbers->limit == UINT64_MAX)
		return "its cgroup has no limit of memory";
	if (numbers->left < 2 * WITNESS_ROOM_BYTES)
		return "the host, or a parent cgroup, has too little memory left";
	/*
	 * The kernel takes the process with the greatest sum of its memory and its score's share of
	 * the limit. Ours has all of the limit and what others leave of it; another at most what is
	 * in use, and the share of what it has inherited.
	 */
	if (numbers->score_adj > 0 &&
		(uint64_t)numbers->score_adj >= 2 * SCORE_MAX * WITNESS_ROOM_BYTES / drawn)
		return "another process might be taken in its place";
	return NULL;
}

static int be_first(pid_t parent)
{
	cleanup_close int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent || score < 0)
		return -EPERM;
	return write(score, "1000", 4) == 4 ? 0 : -EPERM;
}

/* Who is killed if the other one was not enough. */
static void wait_beside(uint64_t len, pid_t parent, int ready)
{
	(void)len;
	if (be_first(parent) < 0)
		_exit(1);
	(void)!write(ready, "r", 1);
	for (;;)
		pause();
}

/* Who is killed. Touching is what counts; locking, that it isn't swapped out. */
static void take_memory(uint64_t len, pid_t parent, int ready)
{
	struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
	char *memory = mmap(NULL, len, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED || be_first(parent) < 0)
		_exit(1);
	(void)setrlimit(RLIMIT_MEMLOCK, &unlimited);
	for (uint64_t step = 0; step + STEP_BYTES <= len; step += STEP_BYTES) {
		(void)mlock(memory + step, STEP_BYTES);
		for (uint64_t i = step; i < step + STEP_BYTES; i += PAGE_BYTES)
			*(volatile char *)&memory[i] = 1;
		if (step == 0)
			(void)!write(ready, "r", 1);
	}
	_exit(1);
}

/* What is changed for a moment: the limit, and that nothing is swapped out to keep it. */
struct drawn {
	const char *dir;
	const char *limit_file, *swap_file;
	char limit[32], swap[32];
	uint64_t now;
};

static int draw_begin(struct drawn *drawn, const char *dir, bool v2)
{
	*drawn = (struct drawn){
		.dir = dir,
		.limit_file = v2 ? "memory.max" : "memory.limit_in_bytes",
		.swap_file = v2 ? "memory.swap.max" : "memory.swappiness",
		.now = UINT64_MAX,
	};
	int ret = cgroup_read(dir, drawn->limit_file, drawn->limit, sizeof(drawn->limit));
	if (ret == 0 && cgroup_read(dir, drawn->swap_file, drawn->swap, sizeof(drawn->swap)) == 0)
		(void)!cgroup_write(dir, drawn->swap_file, "0");
	return ret;
}

static void draw_end(const struct drawn *drawn)
{
	int ret = cgroup_write(drawn->dir, drawn->limit_file, drawn->limit);

	if (drawn->swap[0])
		(void)!cgroup_write(drawn->dir, drawn->swap_file, drawn->swap);
	if (ret < 0)
		log_warn("%s/%s: can't be set back: %s", drawn->dir, drawn->limit_file,
			strerror(-ret));
}

/* Again and again, as a VM that ends gives its memory back. */
static void draw_closer(struct drawn *drawn, uint64_t usage)
{
	char text[32];
	uint64_t limit = usage + WITNESS_ROOM_BYTES;

	if (limit >= drawn->now || drawn->now - limit < WITNESS_ROOM_BYTES / 2)
		return;
	snprintf(text, sizeof(text), "%" PRIu64, limit);
	/* Refused (EBUSY) by v1 when more is in use by now: the next try is soon. */
	if (cgroup_write(drawn->dir, drawn->limit_file, text) == 0)
		drawn->now = limit;
}

static pid_t start_child(void (*run)(uint64_t, pid_t, int), uint64_t len)
{
	int ready[2];
	char word;
	pid_t self = getpid();

	if (pipe2(ready, O_CLOEXEC) < 0)
		return -1;
	pid_t pid = fork();
	if (pid == 0) {
		close(ready[0]);
		run(len, self, ready[1]);
		_exit(1);
	}
	close(ready[1]);
	bool is_ready = pid > 0 && read(ready[0], &word, 1) == 1;
	close(ready[0]);
	if (pid > 0 && !is_ready) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return -1;
	}
	return pid;
}

/* True when the kernel has killed it. */
static bool wait_killed(pid_t pid, const struct cgroup_place *place, struct drawn *drawn)
{
	const struct timespec tick = {.tv_nsec = TICK_MS * 1000000};
	bool v2 = cgroup_place_v2(place);
	int status = 0;

	for (int waited_ms = 0; waited_ms < WITNESS_PATIENCE_S * 1000; waited_ms += TICK_MS) {
		uint64_t limit, usage;
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
		if (read_place(place->path, v2, &limit, &usage) == 0)
			draw_closer(drawn, usage);
		nanosleep(&tick, NULL);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return false;
}

static const char *draw_and_kill(
	const struct cgroup_place *place, const struct witness_numbers *numbers)
{
	const char *why = NULL;
	struct drawn drawn;
	uint64_t len = numbers->usage + 4 * WITNESS_ROOM_BYTES;

	pid_t beside = start_child(wait_beside, 0);
	if (beside < 0)
		return "no process for it";
	pid_t taker = start_child(take_memory, len < numbers->limit ? len : numbers->limit);
	if (taker < 0)
		why = "no process for it";
	else if (draw_begin(&drawn, place->path, cgroup_place_v2(place)) < 0)
		why = "its limit can't be read";
	if (!why) {
		if (!wait_killed(taker, place, &drawn))
			why = "its limit was not reached";
		draw_end(&drawn);
	} else if (taker > 0) {
		kill(taker, SIGKILL);
		waitpid(taker, NULL, 0);
	}
	kill(beside, SIGKILL);
	waitpid(beside, NULL, 0);
	return why;
}

static void bring_about(const struct cgroup_place *place)
{
	struct witness_numbers numbers;
	int ret = witness_read(&numbers, place->path, cgroup_place_v2(place), NULL);
	const char *why = ret < 0 ? strerror(-ret) : witness_refusal(&numbers);

	if (!why)
		why = draw_and_kill(place, &numbers);
	if (why)
		log_warn("%s: the container was out of memory, but the host does not count it: %s",
			place->path, why);
}

/* Streams and files of the caller must end when their users do: none of them is ours. */
static int close_others(int sock, int log)
{
	cleanup_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || dup2(log, STDERR_FILENO) < 0 || dup2(null, STDIN_FILENO) < 0 ||
		dup2(null, STDOUT_FILENO) < 0 || dup2(sock, STDERR_FILENO + 1) < 0)
		return -errno;
	steal_fd(&null); /* closed now */
	close_range(STDERR_FILENO + 2, ~0u, 0);
	return STDERR_FILENO + 1;
}

static _Noreturn void witness_run(const struct cgroup *cg, int log, int sock)
{
	const struct cgroup_place *place = cgroup_place_of(cg, "memory");
	int fds[CGROUP_PLACES_MAX];
	size_t n = cgroup_fds(cg, fds);
	sigset_t all;
	char word;

	setsid();
	(void)!chdir("/");
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
	prctl(PR_SET_NAME, "hvrun-witness");
	for (size_t i = 0; i < n; i++)
		if (write(fds[i], "0", 1) < 0 && !cg->attach_late && errno != ENOENT &&
			errno != ENODEV)
			_exit(1);
	sock = close_others(sock, log);
	while (sock >= 0 && read(sock, &word, 1) == 1) {
		bring_about(place);
		if (write(sock, &word, 1) != 1)
			break;
	}
	_exit(0);
}

pid_t witness_start(const struct cgroup *cg, int log, int *sock, struct err *e)
{
	const struct cgroup_place *place = cgroup_place_of(cg, "memory");
	uint64_t limit, usage;
	int ends[2];

	*sock = -1;
	if (!place || read_place(place->path, cgroup_place_v2(place), &limit, &usage) < 0 ||
		limit == UINT64_MAX)
		return 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return err_sys(e, errno, "socket");
	pid_t pid = fork();
	if (pid == 0)
		witness_run(cg, log, ends[1]);
	int code = errno;
	close(ends[1]);
	if (pid < 0) {
		close(ends[0]);
		return err_sys(e, code, "fork");
	}
	*sock = ends[0];
	return pid;
}
