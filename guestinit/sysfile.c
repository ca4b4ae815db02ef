/* SPDX-License-Identifier: Apache-2.0 */
/* Small files of the kernel; see sysfile.h. */
#include "guestinit/sysfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

#define SYSFILE_TEXT_BYTES 4096

int sysfile_write(int dir_fd, const char *path, const char *text)
{
	cleanup_close int fd = openat(dir_fd, path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	size_t len = strlen(text);
	ssize_t n = write(fd, text, len);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

int sysfile_writef(int dir_fd, const char *path, const char *fmt, ...)
{
	char text[SYSFILE_TEXT_BYTES];
	va_list ap;

	va_start(ap, fmt);
	int len = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (len < 0 || (size_t)len >= sizeof(text))
		return -E2BIG;
	return sysfile_write(dir_fd, path, text);
}

int sysfile_read(int dir_fd, const char *path, char *buf, size_t cap_bytes)
{
	cleanup_close int fd = openat(dir_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	ssize_t n = read(fd, buf, cap_bytes - 1);
	if (n < 0)
		return -errno;
	buf[n] = '\0';
	return (int)n;
}
