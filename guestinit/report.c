/* SPDX-License-Identifier: Apache-2.0 */
/* Reports of a process that is being set up; see report.h. */
#include "guestinit/report.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

#define REPORT_HEAD_BYTES offsetof(struct child_report, text)

/* Only as much of the text as there is. By write(2), which a seccomp filter hardly forbids. */
void report_send(int sock, uint32_t kind, int code, const char *text)
{
	struct child_report report = {.kind = kind, .code = code};
	size_t len = strnlen(text, sizeof(report.text) - 1);

	memcpy(report.text, text, len);
	ssize_t ignored = write(sock, &report, REPORT_HEAD_BYTES + len);
	(void)ignored; /* guestinit is gone: so is the VM */
}

int report_send_fd(int sock, uint32_t kind, int fd)
{
	struct child_report report = {.kind = kind};

	return fd_send_packet(sock, &report, REPORT_HEAD_BYTES, &fd, 1);
}

int report_ask(int sock, uint32_t kind, struct err *e)
{
	char answer;

	report_send(sock, kind, 0, "");
	ssize_t n;
	do
		n = read(sock, &answer, 1);
	while (n < 0 && errno == EINTR);
	return n == 1 ? 0 : err_set(e, EPIPE, "no answer from guestinit");
}

bool report_receive(int sock, bool wait, struct child_report *report, int *fd)
{
	unsigned n_fds = 1;

	*fd = -1;
	if (!wait) {
		char peek;
		ssize_t n = recv(sock, &peek, 1, MSG_PEEK | MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			return false;
	}
	ssize_t n = fd_recv_packet(sock, report, sizeof(*report) - 1, fd, &n_fds);
	if (n_fds == 0)
		*fd = -1;
	if (n < (ssize_t)REPORT_HEAD_BYTES) {
		fd_closep(fd);
		return false;
	}
	((char *)report)[n] = '\0';
	return true;
}

int report_answer(int sock)
{
	return send(sock, "", 1, MSG_NOSIGNAL) == 1 ? 0 : -EPIPE;
}
