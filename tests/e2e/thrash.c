/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program at its memory limit: fills its cgroup with memory of its own until next to nothing is
 * left for pages of files, and then needs those of a larger FILE, which it makes.
 *
 *   thrash faults FILE   by touching a mapping of it, for ever
 *   thrash reads FILE    by reading it for 30 seconds; then says so and ends with 0
 *   thrash dirty FILE    is another thing: fills a mapping of it with "x", closes it and is gone
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define FILE_BYTES   (16u << 20)
#define CACHE_BYTES  (3u << 19) /* what is left for pages of files */
#define STEP_BYTES   (128u << 10)
#define PAGE_BYTES   4096u
#define READ_SECONDS 30

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static char chunk[STEP_BYTES];

static void read_file(int fd)
{
	for (off_t at = 0; at < (off_t)FILE_BYTES; at += STEP_BYTES)
		if (pread(fd, chunk, STEP_BYTES, at) != (ssize_t)STEP_BYTES)
			die("read");
}

static unsigned long stat_line(const char *stat, const char *name)
{
	const char *line = strstr(stat, name);

	return line ? strtoul(line + strlen(name), NULL, 10) : 0;
}

static unsigned long cache_bytes(void)
{
	char stat[8192];
	int fd = open("/sys/fs/cgroup/memory.stat", O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, stat, sizeof(stat) - 1);

	if (n < 0)
		die("memory.stat");
	stat[n] = '\0';
	close(fd);
	return stat_line(stat, "\nactive_file ") + stat_line(stat, "\ninactive_file ");
}

/* Nothing but the end of the process writes these pages back. */
static void dirty(int fd)
{
	char *map = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED)
		die("mmap");
	close(fd);
	memset(map, 'x', FILE_BYTES);
	_exit(0);
}

static void fill(void)
{
	while (cache_bytes() > CACHE_BYTES) {
		void *memory = mmap(NULL, STEP_BYTES, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		if (memory == MAP_FAILED)
			die("mmap");
	}
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	int fd = open(argv[2], O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0)
		die(argv[2]);
	for (unsigned at = 0; at < FILE_BYTES; at += STEP_BYTES)
		if (write(fd, chunk, STEP_BYTES) != (ssize_t)STEP_BYTES)
			die(argv[2]);
	if (strcmp(argv[1], "dirty") == 0)
		dirty(fd);
	read_file(fd);
	fill();
	puts("full");
	fflush(stdout);
	if (strcmp(argv[1], "reads") == 0) {
		for (time_t end = time(NULL) + READ_SECONDS; time(NULL) < end;)
			read_file(fd);
		puts("read");
		return 0;
	}
	volatile uint8_t *map = mmap(NULL, FILE_BYTES, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED || madvise((void *)(uintptr_t)map, FILE_BYTES, MADV_RANDOM) < 0)
		die("mmap");
	for (uint32_t page = 1;; page = page * 1103515245u + 12345u)
		(void)map[(size_t)(page >> 8) % (FILE_BYTES / PAGE_BYTES) * PAGE_BYTES];
}
