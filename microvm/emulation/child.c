/* SPDX-License-Identifier: Apache-2.0 */
/* The QEMU process; see child.h. */
#include "microvm/emulation/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

static struct child *child_of_exit(struct loop_source *source)
{
	return (struct child *)(void *)((char *)source - offsetof(struct child, exit));
}

static void close_source(struct child *child, struct loop_source *source)
{
	int fd = source->fd;

	loop_del(child->loop, source);
	fd_closep(&fd);
}

/* One read of its output; false when there is no more. */
static bool read_output(struct child *child)
{
	char bytes[512];
	ssize_t n;

	do
		n = read(child->output.fd, bytes, sizeof(bytes));
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 && errno == EAGAIN ? false
						: (close_source(child, &child->output), false);
	for (ssize_t i = 0; i < n && child->said_bytes < sizeof(child->said) - 1; i++) {
		unsigned char c = (unsigned char)bytes[i];
		if (c == '\n')
			c = ';';
		child->said[child->said_bytes++] = c < ' ' || c > '~' ? '?' : (char)c;
	}
	return true;
}

static void output_ready(struct loop_source *source, uint32_t events)
{
	struct child *child =
		(struct child *)(void *)((char *)source - offsetof(struct child, output));

	(void)events;
	(void)read_output(child);
}

static void child_exit_ready(struct loop_source *source, uint32_t events)
{
	struct child *child = child_of_exit(source);
	int status = 0;

	(void)events;
	if (waitpid(child->pid, &status, WNOHANG) != child->pid)
		return;
	child->pid = -1;
	close_source(child, &child->exit);
	child->exited(child->arg, status);
}

void child_init(
	struct child *child, struct loop *loop, void (*exited)(void *arg, int status), void *arg)
{
	memset(child, 0, sizeof(*child));
	child->loop = loop;
	child->pid = -1;
	child->exit.fd = child->output.fd = -1;
	child->exit.ready = child_exit_ready;
	child->output.ready = output_ready;
	child->exited = exited;
	child->arg = arg;
}

/* In the new process, between fork and exec. Tells errno through failed_fd when it can't. */
static void run_child(char *const *words, const int *keep, unsigned n_keep, int null_fd,
	int output_fd, int failed_fd, pid_t parent)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	sigset_t none;
	int error = 0;

	sigemptyset(&none);
	sigaction(SIGPIPE, &dfl, NULL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* A session of its own: Ctrl-C at the terminal is the container's, not QEMU's. */
	setsid();
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(1);
	for (unsigned i = 0; i < n_keep && !error; i++)
		error = -fd_set_cloexec(keep[i], false);
	if (!error &&
		(dup2(null_fd, STDIN_FILENO) < 0 || dup2(output_fd, STDOUT_FILENO) < 0 ||
			dup2(output_fd, STDERR_FILENO) < 0))
		error = errno;
	if (!error) {
		execv(words[0], words);
		error = errno;
	}
	(void)!write(failed_fd, &error, sizeof(error));
	_exit(127);
}

/* Waits until exec has succeeded (end of file) or failed. */
static int wait_for_exec(int fd, const char *program, struct err *e)
{
	int error = 0;
	int ret = fd_read_all(fd, &error, sizeof(error));

	if (ret == -ENODATA)
		return 0;
	return err_sys(e, ret < 0 ? -ret : error, "%s", program);
}

int child_start(
	struct child *child, char *const *words, const int *keep, unsigned n_keep, struct err *e)
{
	cleanup_close int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int output[2], failed[2];
	pid_t parent = getpid();

	if (null_fd < 0)
		return err_sys(e, errno, "/dev/null");
	if (pipe2(output, O_CLOEXEC) < 0)
		return err_sys(e, errno, "%s: pipe", words[0]);
	cleanup_close int output_rd = output[0], output_wr = output[1];
	if (pipe2(failed, O_CLOEXEC) < 0)
		return err_sys(e, errno, "%s: pipe", words[0]);
	cleanup_close int failed_rd = failed[0], failed_wr = failed[1];
	int ret = fd_set_nonblock(output_rd, true);
	if (!ret)
		ret = loop_add(child->loop, &child->output, output_rd, EPOLLIN);
	if (ret < 0)
		return err_sys(e, -ret, "%s: output", words[0]);
	(void)steal_fd(&output_rd);
	pid_t pid = fork();
	if (pid < 0) {
		ret = err_sys(e, errno, "%s: fork", words[0]);
		close_source(child, &child->output);
		return ret;
	}
	if (!pid)
		run_child(words, keep, n_keep, null_fd, output_wr, failed_wr, parent);
	child->pid = pid;
	fd_closep(&failed_wr);
	ret = wait_for_exec(failed_rd, words[0], e);
	if (ret < 0) {
		child_kill(child);
		return ret;
	}
	cleanup_close int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	ret = pidfd < 0 ? -errno : loop_add(child->loop, &child->exit, pidfd, EPOLLIN);
	if (ret < 0) {
		child_kill(child);
		return err_sys(e, -ret, "%s: pidfd", words[0]);
	}
	(void)steal_fd(&pidfd);
	return 0;
}

/*
 * By its descriptor, the only one of a process that the monitor has: kill(2), with whatever number,
 * is not on its list. Without one there is no list yet.
 */
static int send_signal(const struct child *child, int signal)
{
	if (child->exit.fd < 0)
		return kill(child->pid, signal);
	return (int)syscall(SYS_pidfd_send_signal, child->exit.fd, signal, NULL, 0);
}

int child_freeze(struct child *child, bool freeze)
{
	siginfo_t info;
	int ret;

	if (child->pid < 0)
		return -ESRCH;
	if (send_signal(child, freeze ? SIGSTOP : SIGCONT) < 0)
		return -errno;
	if (!freeze)
		return 0;
	/* All of its threads stand still then; or it has ended, which the loop will see. */
	do
		ret = waitid(P_PID, (id_t)child->pid, &info, WSTOPPED | WEXITED | WNOWAIT);
	while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : 0;
}

void child_kill(struct child *child)
{
	if (child->pid < 0)
		return;
	(void)send_signal(child, SIGKILL);
	close_source(child, &child->exit);
	while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
		;
	child->pid = -1;
}

const char *child_said(struct child *child)
{
	while (child->output.fd >= 0 && read_output(child))
		;
	while (child->said_bytes && child->said[child->said_bytes - 1] == ';')
		child->said_bytes--;
	child->said[child->said_bytes] = '\0';
	return child->said;
}

void child_fini(struct child *child)
{
	child_kill(child);
	if (child->loop)
		close_source(child, &child->output);
}
