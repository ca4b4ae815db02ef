/* SPDX-License-Identifier: Apache-2.0 */
/* The container's OOM for the host to see; see oom.h. One byte asks, one byte answers. */
#include "microvm/vmm/oom.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/log.h"

/* The other side gives up sooner than this. */
#define OOM_PATIENCE_NS UINT64_C(8000000000)

static void oom_done(struct oom *oom)
{
	if (!oom->pending)
		return;
	oom->pending = false;
	(void)!loop_timer_set(&oom->timer, 0, 0);
	oom->told(oom->arg);
}

static void oom_close(struct oom *oom)
{
	int fd = oom->source.fd;

	if (fd < 0)
		return;
	loop_del(oom->loop, &oom->source);
	fd_closep(&fd);
}

static void oom_ready(struct loop_source *source, uint32_t events)
{
	struct oom *oom = (struct oom *)(void *)((char *)source - offsetof(struct oom, source));
	char answer;

	(void)events;
	ssize_t n = recv(source->fd, &answer, 1, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n != 1)
		oom_close(oom);
	oom_done(oom);
}

static void oom_expired(struct loop_timer *timer)
{
	struct oom *oom = (struct oom *)(void *)((char *)timer - offsetof(struct oom, timer));

	log_warn("the host has not been told in time that the container was out of memory");
	oom_done(oom);
}

int oom_init(struct oom *oom, struct loop *loop, int sock_fd, void (*told)(void *arg), void *arg,
	struct err *e)
{
	cleanup_close int sock = sock_fd;

	*oom = (struct oom){.loop = loop, .told = told, .arg = arg};
	oom->source = (struct loop_source){.fd = -1, .ready = oom_ready};
	oom->timer.source.fd = -1;
	if (sock < 0)
		return 0;
	int ret = loop_timer_init(loop, &oom->timer, oom_expired);
	if (!ret)
		ret = loop_add(loop, &oom->source, sock, EPOLLIN);
	if (ret < 0)
		return err_sys(e, -ret, "plan: oom");
	(void)steal_fd(&sock);
	return 0;
}

void oom_fini(struct oom *oom)
{
	if (!oom->loop)
		return;
	oom_close(oom);
	loop_timer_fini(&oom->timer);
	oom->loop = NULL;
}

bool oom_tell(struct oom *oom)
{
	if (oom->source.fd < 0 || oom->pending ||
		loop_timer_set(&oom->timer, OOM_PATIENCE_NS, 0) < 0)
		return false;
	oom->pending = send(oom->source.fd, "o", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1;
	if (!oom->pending)
		(void)!loop_timer_set(&oom->timer, 0, 0);
	return oom->pending;
}
