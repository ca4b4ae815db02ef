/* SPDX-License-Identifier: Apache-2.0 */
/* Asking other programs: what they print and how they end; see commands.h. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/commands.h"
#include "runtime/spawn.h"

/* A program that is asked a question answers within seconds, unless the machine has stood still; or
 * never. */
#define CAPTURE_TIMEOUT_MS 60000

/* Reads to the end, keeping what fits. -ETIMEDOUT when nothing more came for too long. */
static int gather(int fd, char *text, size_t cap)
{
	char spill[4096] = "";
	size_t used = 0;

	for (;;) {
		struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
		int ready = poll(&poll_fd, 1, CAPTURE_TIMEOUT_MS);
		if (ready == 0)
			return -ETIMEDOUT;
		if (ready < 0 && errno != EINTR)
			return -errno;
		if (ready < 0)
			continue;
		bool room = used + 1 < cap;
		ssize_t n =
			read(fd, room ? text + used : spill, room ? cap - used - 1 : sizeof(spill));
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			break;
		if (n > 0 && room)
			used += (size_t)n;
	}
	while (used && (text[used - 1] == '\n' || text[used - 1] == ' '))
		used--;
	text[used] = '\0';
	return 0;
}

int command_capture(const char *path, char *const *argv, bool errors, char *text, size_t cap_bytes,
	struct err *e)
{
	cleanup_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int ends[2], status;
	sigset_t mask;

	if (null < 0 || pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(e, errno, "%s", path);
	cleanup_close int reading = ends[0], writing = ends[1];
	sigprocmask(SIG_SETMASK, NULL, &mask);
	struct spawn spawn = {
		.path = path,
		.argv = argv,
		.out = writing,
		.err = errors ? writing : null,
		.death_signal = SIGKILL,
		.mask = &mask,
	};
	pid_t pid = spawn_start(&spawn, null, e);
	if (pid < 0)
		return pid;
	fd_closep(&writing);
	int ret = gather(reading, text, cap_bytes);
	if (ret < 0)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_sys(e, errno, "%s", path);
	return ret < 0 ? err_sys(e, -ret, "%s", path) : status;
}

int command_probe_kvm(const struct programs *programs, struct err *e)
{
	char path[PATH_MAX], text[512];
	char *argv[] = {(char[]){PROGRAM_VMM}, (char[]){"--probe-kvm"}, NULL};

	int status = programs_find(programs, PROGRAM_VMM, path, e);
	if (status == 0)
		status = command_capture(path, argv, true, text, sizeof(text), e);
	if (status < 0)
		return status;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFSIGNALED(status))
		return err_set(e, EIO, "%s was killed by signal %d while it tried", PROGRAM_VMM,
			WTERMSIG(status));
	/* One line, behind the program's own name. */
	text[strcspn(text, "\n")] = '\0';
	const char *reason = text;
	if (strncmp(reason, PROGRAM_VMM ": ", strlen(PROGRAM_VMM) + 2) == 0)
		reason += strlen(PROGRAM_VMM) + 2;
	return err_set(e, ENODEV, "%s", *reason ? reason : "the reason is not known");
}
