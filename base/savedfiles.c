/* SPDX-License-Identifier: Apache-2.0 */
/* Files that can be put back; see savedfiles.h. */
#include "base/savedfiles.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

static int read_line(int dir, const char *name, char text[static SAVED_TEXT_BYTES])
{
	cleanup_close int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n = fd < 0 ? -1 : read(fd, text, SAVED_TEXT_BYTES);

	if (n < 0)
		return -errno;
	if (n == SAVED_TEXT_BYTES)
		return -EFBIG;
	text[n] = '\0';
	char *end = strchr(text, '\n');
	if (end && end[1])
		return -EFBIG;
	if (end)
		*end = '\0';
	return 0;
}

static int write_line(int dir, const char *name, const char *text)
{
	cleanup_close int fd = openat(dir, name, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return -errno;
	/* Writing nothing is no write; an empty line is one, of nothing. */
	return *text ? fd_write_all(fd, text, strlen(text)) : fd_write_all(fd, "\n", 1);
}

void saved_files_read(struct saved_files *saved, int dir, const char *const *names, size_t n)
{
	saved->n = 0;
	for (size_t i = 0; i < n && saved->n < SAVED_FILES_MAX; i++) {
		saved->list[saved->n].name = names[i];
		if (read_line(dir, names[i], saved->list[saved->n].text) == 0)
			saved->n++;
	}
}

int saved_files_restore(const struct saved_files *saved, int dir)
{
	char now[SAVED_TEXT_BYTES];
	bool progress = true;
	int fault = 0;

	for (unsigned round = 0; progress && round < SAVED_FILES_MAX; round++) {
		progress = false;
		fault = 0;
		for (unsigned i = 0; i < saved->n; i++) {
			const char *name = saved->list[i].name, *text = saved->list[i].text;
			if (read_line(dir, name, now) == 0 && strcmp(now, text) == 0)
				continue;
			int ret = write_line(dir, name, text);
			if (ret < 0)
				fault = ret;
			else if (read_line(dir, name, now) == 0 && strcmp(now, text) == 0)
				progress = true;
		}
	}
	return fault;
}
