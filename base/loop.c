/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Event loop; see loop.h. The events of one epoll_wait are kept in the loop, so that loop_del can
 * strike out what is still to come for a source that is going away.
 */
#include "base/loop.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define container_of_timer(s) \
	((struct loop_timer *)(void *)((char *)(s)-offsetof(struct loop_timer, source)))

static void loop_woken(struct loop_source *source, uint32_t events)
{
	struct loop *loop = (struct loop *)(void *)((char *)source - offsetof(struct loop, wake));
	uint64_t count;

	(void)events;
	if (read(loop->wake_fd, &count, sizeof(count)) == sizeof(count))
		loop->stopping = true;
}

int loop_init(struct loop *loop)
{
	memset(loop, 0, sizeof(*loop));
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0) {
		loop->wake_fd = -1;
		return -errno;
	}
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wake_fd < 0) {
		int ret = -errno;
		loop_fini(loop);
		return ret;
	}
	loop->wake.fd = -1;
	loop->wake.ready = loop_woken;
	int ret = loop_add(loop, &loop->wake, loop->wake_fd, EPOLLIN);
	if (ret < 0)
		loop_fini(loop);
	return ret;
}

void loop_fini(struct loop *loop)
{
	if (loop->wake_fd >= 0)
		close(loop->wake_fd);
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	loop->wake_fd = loop->epoll_fd = -1;
}

int loop_add(struct loop *loop, struct loop_source *source, int fd, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = source};

	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
		return -errno;
	source->fd = fd;
	return 0;
}

int loop_mod(struct loop *loop, struct loop_source *source, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = source};

	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &ev) < 0 ? -errno : 0;
}

void loop_del(struct loop *loop, struct loop_source *source)
{
	if (source->fd < 0)
		return;
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
	source->fd = -1;
	for (int i = 0; i < loop->batch_len; i++)
		if (loop->batch[i].data.ptr == source)
			loop->batch[i].data.ptr = NULL;
}

int loop_run_once(struct loop *loop, int timeout_ms)
{
	int n = epoll_wait(loop->epoll_fd, loop->batch, LOOP_BATCH, timeout_ms);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	loop->batch_len = n;
	for (int i = 0; i < n; i++) {
		struct loop_source *source = loop->batch[i].data.ptr;
		if (source)
			source->ready(source, loop->batch[i].events);
	}
	loop->batch_len = 0;
	return 0;
}

int loop_run(struct loop *loop)
{
	while (!loop->stopping) {
		int ret = loop_run_once(loop, -1);
		if (ret < 0)
			return ret;
	}
	loop->stopping = false;
	return 0;
}

void loop_stop(struct loop *loop)
{
	uint64_t one = 1;
	ssize_t ignored = write(loop->wake_fd, &one, sizeof(one));

	(void)ignored; /* the counter can't be full: only a stop writes it */
}

static void loop_timer_ready(struct loop_source *source, uint32_t events)
{
	struct loop_timer *timer = container_of_timer(source);
	uint64_t count;

	(void)events;
	if (read(source->fd, &count, sizeof(count)) == sizeof(count))
		timer->expired(timer);
}

int loop_timer_init(
	struct loop *loop, struct loop_timer *timer, void (*expired)(struct loop_timer *timer))
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	timer->source.fd = -1;
	timer->source.ready = loop_timer_ready;
	timer->loop = loop;
	timer->expired = expired;
	if (fd < 0)
		return -errno;
	int ret = loop_add(loop, &timer->source, fd, EPOLLIN);
	if (ret < 0)
		close(fd);
	return ret;
}

int loop_timer_set(struct loop_timer *timer, uint64_t first_ns, uint64_t interval_ns)
{
	struct itimerspec spec = {
		.it_value = {(time_t)(first_ns / 1000000000), (long)(first_ns % 1000000000)},
		.it_interval = {(time_t)(interval_ns / 1000000000), (long)(interval_ns % 1000000000)},
	};

	return timerfd_settime(timer->source.fd, 0, &spec, NULL) < 0 ? -errno : 0;
}

void loop_timer_fini(struct loop_timer *timer)
{
	int fd = timer->source.fd;

	if (fd < 0)
		return;
	loop_del(timer->loop, &timer->source);
	close(fd);
}
