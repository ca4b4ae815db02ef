/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plays a person at a terminal for the end-to-end tests: gives a program a pty of ROWS x COLUMNS,
 * waits for what it prints, changes the window's size, presses Ctrl-C, and checks that the
 * terminal's settings are afterwards what they were.
 *
 *	terminal [--kill] ROWS COLUMNS PROGRAM ARGS...
 *
 * The program prints its size and "ready"; prints "resized" after SIGWINCH; ends with 9 at Ctrl-C.
 * With --kill it gets no further than "ready": it is killed by SIGKILL, after which whoever it has
 * left behind restores the terminal in due time.
 */
#include <errno.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <utmp.h>
#include <unistd.h>

#define PATIENCE_S	120
#define KILL_PATIENCE_S 20

static char seen[1 << 20];
static size_t seen_len;

static bool wait_for(int master, const char *what)
{
	time_t end = time(NULL) + PATIENCE_S;

	while (!strstr(seen, what)) {
		struct pollfd p = {.fd = master, .events = POLLIN};
		if (time(NULL) > end || poll(&p, 1, 1000) < 0)
			break;
		if (!p.revents)
			continue;
		ssize_t n = read(master, seen + seen_len, sizeof(seen) - seen_len - 1);
		if (n <= 0)
			break;
		seen_len += (size_t)n;
		seen[seen_len] = '\0';
	}
	if (strstr(seen, what))
		return true;
	printf("waited for \"%s\" in vain; the terminal shows:\n%s\n", what, seen);
	return false;
}

static bool become_ready(int master, int slave, const char *size)
{
	struct termios raw;

	if (!wait_for(master, size) || !wait_for(master, "ready"))
		return false;
	tcgetattr(slave, &raw);
	if (raw.c_lflag & (ICANON | ECHO)) {
		printf("the terminal is not in raw mode while the container runs\n");
		return false;
	}
	return true;
}

/* What is left of the program has the settings restored, sooner or later. */
static int play_killed(int slave, pid_t pid, const struct termios *before)
{
	const struct timespec moment = {.tv_nsec = 50000000};
	struct termios now = {0};
	int status;

	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	for (time_t end = time(NULL) + KILL_PATIENCE_S; time(NULL) <= end;) {
		tcgetattr(slave, &now);
		if (!memcmp(before, &now, sizeof(now)))
			break;
		nanosleep(&moment, NULL);
	}
	return 0;
}

static int play(int master, pid_t pid)
{
	struct winsize larger = {.ws_row = 50, .ws_col = 120};
	int status;

	ioctl(master, TIOCSWINSZ, &larger);
	if (!wait_for(master, "50 120") || !wait_for(master, "resized"))
		return 1;
	if (write(master, "\003", 1) != 1 || !wait_for(master, "interrupted"))
		return 1;
	/* Take what still comes until the program is gone, so that it never blocks on us. */
	while (waitpid(pid, &status, WNOHANG) == 0) {
		struct pollfd p = {.fd = master, .events = POLLIN};
		if (poll(&p, 1, 100) > 0 && read(master, seen, sizeof(seen)) < 0)
			break;
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 9) {
		printf("the program ended with status 0x%x, expected exit code 9\n", status);
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	int master, slave;
	struct termios before = {0}, after = {0}; /* padding included: compared as bytes */
	char size[64];

	bool killed = argc > 1 && !strcmp(argv[1], "--kill");
	argc -= killed;
	argv += killed;
	if (argc < 4)
		return 2;
	struct winsize first = {
		.ws_row = (unsigned short)atoi(argv[1]), .ws_col = (unsigned short)atoi(argv[2])};
	if (openpty(&master, &slave, NULL, NULL, &first) < 0) {
		perror("openpty");
		return 2;
	}
	tcgetattr(slave, &before);
	pid_t pid = fork();
	if (pid == 0) {
		close(master);
		login_tty(slave);
		execvp(argv[3], argv + 3);
		perror(argv[3]);
		_exit(127);
	}
	snprintf(size, sizeof(size), "%s %s", argv[1], argv[2]);
	int ret = !become_ready(master, slave, size) ? 1
		: killed				 ? play_killed(slave, pid, &before)
							 : play(master, pid);
	tcgetattr(slave, &after);
	if (!ret && memcmp(&before, &after, sizeof(before))) {
		printf("the terminal's settings were not restored\n");
		ret = 1;
	}
	return ret;
}
