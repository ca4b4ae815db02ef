/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times whole commands, turn about, inside `kvmbox --icount`, where a nanosecond is an instruction.
 *
 *   startbench ROUNDS FILE
 *
 * Each line of FILE is NAME and the words of a command, separated by tabs. Every round runs each of
 * them once. A run gives one line: NAME, round, instructions from fork to the end of
 * wait, exit code, the number behind the first "time stamp
 * counter " that the command printed (0: none), and how many of the nanoseconds the processor was
 * idle. What a command that failed has printed goes to stderr.
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROWS_MAX  16
#define WORDS_MAX 64

struct row {
	char *name;
	char *argv[WORDS_MAX + 1];
};

static int rows_read(const char *path, struct row *rows)
{
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;
	ssize_t len;
	int count = 0;

	if (!f)
		err(1, "%s", path);
	while ((len = getline(&line, &size, f)) > 0) {
		char *word, *rest = line;
		int words = 0;

		if (count == ROWS_MAX)
			errx(1, "%s: more than %d lines", path, ROWS_MAX);
		line[strcspn(line, "\n")] = 0;
		rows[count].name = strsep(&rest, "\t");
		while (rest && (word = strsep(&rest, "\t")) && words < WORDS_MAX)
			if (*word)
				rows[count].argv[words++] = word;
		if (words == 0)
			errx(1, "%s: no command in line %d", path, count + 1);
		count++;
		line = NULL; /* the row keeps it */
		size = 0;
	}
	fclose(f);
	return count;
}

/* The number behind "time stamp counter " in a run's output, which goes to stderr if the run
 * failed. */
static unsigned long long output_read(int fd, int failed)
{
	unsigned long long tsc = 0;
	struct stat st;
	char *text, *at;

	if (fstat(fd, &st) || st.st_size == 0)
		return 0;
	text = calloc(1, (size_t)st.st_size + 1);
	if (!text || pread(fd, text, (size_t)st.st_size, 0) != st.st_size)
		err(1, "output");
	at = strstr(text, "time stamp counter ");
	if (at)
		tsc = strtoull(at + strlen("time stamp counter "), NULL, 10);
	if (failed)
		fputs(text, stderr);
	free(text);
	return tsc;
}

/* No-operations by which profile_plugin.c knows what to count. */
#define MARK_START() __asm__ volatile(".byte 0x66, 0x0f, 0x1f, 0x84, 0x00; .ascii \"MK01\"")
#define MARK_STOP()  __asm__ volatile(".byte 0x66, 0x0f, 0x1f, 0x84, 0x00; .ascii \"MK02\"")

/* Nanoseconds that the processors have been idle since boot, by the kernel's own finest account. */
static long long idle_read(void)
{
	FILE *f = fopen("/proc/timer_list", "re");
	long long sum = 0, ns;
	char line[256];

	if (!f)
		err(1, "/proc/timer_list");
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, " .idle_sleeptime : %lld nsecs", &ns) == 1)
			sum += ns;
	fclose(f);
	return sum;
}

static void row_run(const struct row *row, int round)
{
	int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int out_fd = memfd_create("output", MFD_CLOEXEC);
	struct timespec a, b;
	unsigned long long tsc;
	long long idle_ns = idle_read();
	int status, code;
	pid_t pid;

	if (null_fd < 0 || out_fd < 0)
		err(1, "descriptors");
	MARK_START();
	clock_gettime(CLOCK_MONOTONIC, &a);
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (pid == 0) {
		dup2(null_fd, 0);
		dup2(out_fd, 1);
		dup2(out_fd, 2);
		execv(row->argv[0], row->argv);
		err(127, "%s", row->argv[0]);
	}
	if (waitpid(pid, &status, 0) != pid)
		err(1, "waitpid");
	clock_gettime(CLOCK_MONOTONIC, &b);
	MARK_STOP();
	idle_ns = idle_read() - idle_ns;
	code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	tsc = output_read(out_fd, code != 0);
	printf("%s\t%d\t%lld\t%d\t%llu\t%lld\n", row->name, round,
		(b.tv_sec - a.tv_sec) * 1000000000LL + b.tv_nsec - a.tv_nsec, code, tsc, idle_ns);
	fflush(stdout);
	close(out_fd);
	close(null_fd);
	/* Lets what the run left to be done later (RCU, work queues) be done outside of the next.
	 */
	usleep(200000);
}

int main(int argc, char **argv)
{
	static struct row rows[ROWS_MAX];
	int count, rounds;

	if (argc != 3 || (rounds = atoi(argv[1])) < 1)
		errx(1, "usage: startbench ROUNDS FILE");
	count = rows_read(argv[2], rows);
	for (int round = 0; round < rounds; round++)
		for (int i = 0; i < count; i++)
			row_run(&rows[i], round);
	return 0;
}
