/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptor helpers; see fd.h. */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

void fd_closep(int *fd)
{
	if (*fd >= 0) {
		int saved = errno;
		close(*fd);
		errno = saved;
		*fd = -1;
	}
}

void mem_freep(void *ptr)
{
	free(*(void **)ptr);
	*(void **)ptr = NULL;
}

int fd_write_all(int fd, const void *buf, size_t len_bytes)
{
	const char *p = buf;

	while (len_bytes) {
		ssize_t n = write(fd, p, len_bytes);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		p += n;
		len_bytes -= (size_t)n;
	}
	return 0;
}

int fd_read_all(int fd, void *buf, size_t len_bytes)
{
	char *p = buf;

	while (len_bytes) {
		ssize_t n = read(fd, p, len_bytes);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (!n)
			return -ENODATA;
		p += n;
		len_bytes -= (size_t)n;
	}
	return 0;
}

int fd_pread_all(int fd, void *buf, size_t len_bytes, off_t offset_bytes)
{
	char *p = buf;

	while (len_bytes) {
		ssize_t n = pread(fd, p, len_bytes, offset_bytes);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (!n)
			return -ENODATA;
		p += n;
		offset_bytes += n;
		len_bytes -= (size_t)n;
	}
	return 0;
}

int fd_slurp(int fd, size_t max_bytes, char **out, size_t *len_bytes)
{
	size_t cap = 4096, used = 0;
	cleanup_free char *buf = malloc(cap + 1);

	if (!buf)
		return -ENOMEM;
	for (;;) {
		ssize_t n = read(fd, buf + used, cap - used);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (!n)
			break;
		used += (size_t)n;
		if (used > max_bytes)
			return -EFBIG;
		if (used < cap)
			continue;
		cap *= 2;
		char *bigger = realloc(buf, cap + 1);
		if (!bigger)
			return -ENOMEM;
		buf = bigger;
	}
	buf[used] = '\0';
	*out = steal_ptr(&buf);
	if (len_bytes)
		*len_bytes = used;
	return 0;
}

static int fd_flag(int fd, int get, int set, int flag, bool on)
{
	int flags = fcntl(fd, get);

	if (flags < 0)
		return -errno;
	int want = on ? flags | flag : flags & ~flag;
	if (want != flags && fcntl(fd, set, want) < 0)
		return -errno;
	return 0;
}

int fd_set_cloexec(int fd, bool on)
{
	return fd_flag(fd, F_GETFD, F_SETFD, FD_CLOEXEC, on);
}

int fd_set_nonblock(int fd, bool on)
{
	return fd_flag(fd, F_GETFL, F_SETFL, O_NONBLOCK, on);
}

int fd_memfile(const char *name, const void *buf, size_t len_bytes)
{
	cleanup_close int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	int ret = fd_write_all(fd, buf, len_bytes);
	if (ret < 0)
		return ret;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	return steal_fd(&fd);
}

#define FD_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

int fd_seal(int fd)
{
	return fcntl(fd, F_ADD_SEALS, FD_SEALS) < 0 ? -errno : 0;
}

bool fd_is_sealed(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & FD_SEALS) == FD_SEALS;
}

int fd_send_packet(int sock, const void *buf, size_t len_bytes, const int *fds, unsigned n_fds)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(FD_PASS_MAX * sizeof(int))];
	} control = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)buf, .iov_len = len_bytes};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n_fds > FD_PASS_MAX)
		return -EINVAL;
	if (n_fds) {
		msg.msg_control = control.space;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
	}
	for (;;) {
		ssize_t n = sendmsg(sock, &msg, MSG_NOSIGNAL);
		if (n >= 0)
			return 0;
		if (errno != EINTR)
			return -errno;
	}
}

ssize_t fd_recv_packet(int sock, void *buf, size_t cap_bytes, int *fds, unsigned *n_fds)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(FD_PASS_MAX * sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = buf, .iov_len = cap_bytes};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space),
	};
	unsigned cap_fds = n_fds ? *n_fds : 0, got = 0;
	ssize_t n;

	do
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (got < cap_fds)
				fds[got++] = fd;
			else
				close(fd);
		}
	}
	if (n_fds)
		*n_fds = got;
	if (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		for (unsigned i = 0; i < got; i++)
			close(fds[i]);
		if (n_fds)
			*n_fds = 0;
		return -EMSGSIZE;
	}
	return n;
}
