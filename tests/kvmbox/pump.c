/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kvmbox: one direction of one stream. See pump.h.
 */
#include "pump.h"

#include <errno.h>
#include <unistd.h>

void pump_events(const struct pump *p, struct pollfd pfd[2])
{
	bool room = p->start + p->len < PUMP_BUF_BYTES || p->start > 0;

	pfd[0] = (struct pollfd){.fd = p->eof || !room ? -1 : p->in_fd, .events = POLLIN};
	pfd[1] = (struct pollfd){.fd = p->len ? p->out_fd : -1, .events = POLLOUT};
}

static void pump_read(struct pump *p)
{
	uint32_t end;
	ssize_t n;

	if (p->len == 0) {
		p->start = 0;
	} else if (p->start + p->len == PUMP_BUF_BYTES) {
		__builtin_memmove(p->buf, p->buf + p->start, p->len);
		p->start = 0;
	}
	end = p->start + p->len;
	n = read(p->in_fd, p->buf + end, PUMP_BUF_BYTES - end);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		p->eof = true;
		return;
	}
	p->total_bytes += (uint64_t)n;
	if (!p->lost)
		p->len += (uint32_t)n;
}

static void pump_write(struct pump *p)
{
	uint32_t want = p->len < PUMP_WRITE_BYTES ? p->len : PUMP_WRITE_BYTES;
	ssize_t n = write(p->out_fd, p->buf + p->start, want);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		p->lost = true;
		p->start = p->len = 0;
		return;
	}
	p->start += (uint32_t)n;
	p->len -= (uint32_t)n;
}

void pump_step(struct pump *p, const struct pollfd pfd[2])
{
	/* POLLHUP alone counts as readable: it is how end-of-file arrives. */
	if (pfd[0].fd >= 0 && pfd[0].revents)
		pump_read(p);
	if (pfd[1].fd >= 0 && pfd[1].revents && p->len)
		pump_write(p);
}
