/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File descriptors: ownership by cleanup attributes, and the loops around read and write that
 * every program needs once. Descriptors start at -1; close-on-exec is the rule.
 */
#ifndef BASE_FD_H
#define BASE_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>

#include "base/err.h"

void fd_closep(int *fd);   /* closes *fd when it is not negative; keeps errno */
void mem_freep(void *ptr); /* frees *(void **)ptr */

#define cleanup_close __attribute__((cleanup(fd_closep)))
#define cleanup_free  __attribute__((cleanup(mem_freep)))

static inline int steal_fd(int *fd)
{
	int taken = *fd;
	*fd = -1;
	return taken;
}

#define steal_ptr(pp)                          \
	({                                     \
		__typeof__(*(pp)) p_ = *(pp);  \
		*(pp) = NULL;                  \
		p_;                            \
	})

/* Whole-buffer I/O over EINTR and short transfers; 0, or -errno (-ENODATA on an early end). */
int fd_write_all(int fd, const void *buf, size_t len_bytes) must_check;
int fd_read_all(int fd, void *buf, size_t len_bytes) must_check;
int fd_pread_all(int fd, void *buf, size_t len_bytes, off_t offset_bytes) must_check;

/*
 * Reads all of a file of at most max_bytes into a fresh buffer with a NUL behind it.
 * *out is the caller's to free. -EFBIG when there is more.
 */
int fd_slurp(int fd, size_t max_bytes, char **out, size_t *len_bytes) must_check;

int fd_set_cloexec(int fd, bool on) must_check;
int fd_set_nonblock(int fd, bool on) must_check;

/* An anonymous file that holds buf, positioned at 0; the descriptor or -errno. */
int fd_memfile(const char *name, const void *buf, size_t len_bytes) must_check;

/* Nobody can change such a file, or its size, from now on. */
int fd_seal(int fd) must_check;
/* Whether that is so: then reading it gives what it holds, at once. */
bool fd_is_sealed(int fd);

/*
 * One datagram on a SOCK_SEQPACKET socket with at most FD_PASS_MAX descriptors. Receiving sets
 * close-on-exec, and closes what it can't hand over. recv returns the length in bytes, 0 at the
 * end of the stream, or -errno (-EMSGSIZE when the packet was larger than cap_bytes).
 */
#define FD_PASS_MAX 24
int fd_send_packet(int sock, const void *buf, size_t len_bytes, const int *fds, unsigned n_fds)
	must_check;
ssize_t fd_recv_packet(int sock, void *buf, size_t cap_bytes, int *fds, unsigned *n_fds) must_check;

#endif
