/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a container does to its files, for tests/bench/confinement: one thing, once.
 *
 *   filebench nothing
 *   filebench read FILE        all of it, 128 KiB at a time
 *   filebench write FILE MIB   likewise, until it is on the host
 *   filebench open FOLDER N    the files FOLDER/0 to FOLDER/N-1, and closes them
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char part[128 << 10];

static int open_or_die(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd < 0)
		err(1, "%s", path);
	return fd;
}

static void read_all(const char *path)
{
	int fd = open_or_die(path, O_RDONLY);
	ssize_t n;

	while ((n = read(fd, part, sizeof(part))) > 0)
		;
	if (n < 0)
		err(1, "%s", path);
	close(fd);
}

static void write_all(const char *path, long mib)
{
	int fd = open_or_die(path, O_WRONLY | O_CREAT | O_TRUNC);

	for (long n = mib * (1 << 20) / (long)sizeof(part); n > 0; n--)
		if (write(fd, part, sizeof(part)) != (ssize_t)sizeof(part))
			err(1, "%s", path);
	if (fsync(fd) < 0)
		err(1, "%s", path);
	close(fd);
}

static void open_all(const char *folder, long n)
{
	char path[256];

	for (long i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%ld", folder, i);
		close(open_or_die(path, O_RDONLY));
	}
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "nothing"))
		return 0;
	if (argc == 3 && !strcmp(argv[1], "read"))
		read_all(argv[2]);
	else if (argc == 4 && !strcmp(argv[1], "write"))
		write_all(argv[2], strtol(argv[3], NULL, 10));
	else if (argc == 4 && !strcmp(argv[1], "open"))
		open_all(argv[2], strtol(argv[3], NULL, 10));
	else
		errx(2, "see the comment atop filebench.c");
	return 0;
}
