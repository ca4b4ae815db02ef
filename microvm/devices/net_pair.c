/* SPDX-License-Identifier: Apache-2.0 */
/* A pair of queues and its thread; see net_internal.h. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "microvm/confine/thread.h"
#include "microvm/confine/violation.h"
#include "microvm/devices/net_internal.h"

#define NS_PER_S  1000000000ull
#define NS_PER_MS 1000000ull

#define pair_of(source, member)                                                                    \
	((struct net_pair *)(void *)((char *)(source)-offsetof(struct net_pair, member)))

static void backend_ready(struct loop_source *source, uint32_t events)
{
	struct net_pair *pair = pair_of(source, backend);

	if (events & ~(uint32_t)EPOLLOUT)
		pair->readable = true;
	pair->blocked = false;
	if (!(events & EPOLLOUT) || (events & EPOLLERR))
		return;
	pthread_mutex_lock(&pair->lock);
	pair->link_news |= !pair->up && !pair->gone;
	pair->up = !pair->gone;
	pthread_mutex_unlock(&pair->lock);
}

static void woken(struct loop_source *source, uint32_t events)
{
	uint64_t count;
	ssize_t ignored = read(source->fd, &count, sizeof(count));

	(void)events;
	(void)ignored; /* the turn that follows looks at everything */
}

/* Edge-triggered and not read: each event of the driver is reported anew, and a turn follows. */
static void kicked(struct loop_source *source, uint32_t events)
{
	(void)source;
	(void)events;
}

static void ctrl_kicked(struct loop_source *source, uint32_t events)
{
	(void)events;
	atomic_store(&pair_of(source, kicks[2])->net->ctrl_kicked, true);
}

/* Lock held; while the device runs, so that the descriptors are those of its transport. */
static void wait_for_kicks(struct net_pair *pair)
{
	for (unsigned i = 0; i < 3; i++) {
		loop_del(&pair->loop, &pair->kicks[i]);
		/* Failing means no memory in the kernel: the driver finds its kicks unheard. */
		if (pair->kick_fds[i] >= 0 &&
			loop_add(&pair->loop, &pair->kicks[i], pair->kick_fds[i],
				EPOLLIN | EPOLLET) < 0)
			pair->why = "no memory to wait for the guest";
	}
	pair->new_kicks = false;
}

static void wait_for_backend(struct net_pair *pair)
{
	uint32_t events = EPOLLET;

	if (pair->backend.fd < 0)
		return;
	if (!pair->stalled)
		events |= EPOLLIN;
	if (pair->blocked || !pair->up)
		events |= EPOLLOUT;
	if (events != pair->waits_for && loop_mod(&pair->loop, &pair->backend, events) == 0)
		pair->waits_for = events;
}

void net_pair_down(struct net_pair *pair, bool gone)
{
	pair->link_news |= pair->up;
	pair->up = false;
	if (!gone)
		return;
	pair->gone = true;
	pair->readable = pair->blocked = false;
	loop_del(&pair->loop, &pair->backend);
}

static void interrupt(struct net_pair *pair, unsigned queue)
{
	struct virtio_device *dev = &pair->net->dev;

	if (virtq_should_interrupt(&dev->queues[queue]))
		dev->transport->interrupt(dev, queue);
}

uint64_t net_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

bool net_pair_may(struct net_pair *pair, const struct net_rate *rate)
{
	if (!rate->bytes_per_s)
		return true;
	uint64_t until = net_now_ns() + NET_RATE_BURST_NS;
	if (rate->paid_ns <= until)
		return true;
	uint64_t ms = (rate->paid_ns - until) / NS_PER_MS + 1;
	if (pair->pause_ms < 0 || ms < (uint64_t)pair->pause_ms)
		pair->pause_ms = ms < INT_MAX ? (int)ms : INT_MAX;
	return false;
}

void net_rate_pay(struct net_rate *rate, size_t len_bytes)
{
	if (!rate->bytes_per_s)
		return;
	uint64_t now = net_now_ns();
	if (rate->paid_ns < now)
		rate->paid_ns = now;
	rate->paid_ns += len_bytes * NS_PER_S / rate->bytes_per_s;
}

bool net_pair_run(struct net_pair *pair)
{
	struct net *net = pair->net;
	bool more = false;

	pthread_mutex_lock(&pair->lock);
	pair->pause_ms = -1;
	if (pair->running && pair->new_kicks)
		wait_for_kicks(pair);
	if (pair->running && pair->active) {
		more = net_tx_turn(pair);
		more |= net_rx_turn(pair);
		interrupt(pair, 2 * pair->index);
		interrupt(pair, 2 * pair->index + 1);
	}
	bool link_news = pair->link_news;
	const char *why = pair->why;
	unsigned generation = pair->generation;
	pair->link_news = false;
	pair->why = NULL;
	if (why)
		pair->running = false;
	wait_for_backend(pair);
	pthread_mutex_unlock(&pair->lock);
	if (why)
		net_break(net, generation, why);
	bool commands = pair->index == 0 && atomic_exchange(&net->ctrl_kicked, false);
	if (link_news || commands) {
		pthread_mutex_lock(&net->dev.lock);
		if (commands)
			net_ctrl_serve(net);
		net_link_update(net);
		pthread_mutex_unlock(&net->dev.lock);
	}
	return more && !why;
}

/* What a thread of a network device calls; beside it, what its back ends do. */
static const struct call pair_calls[] = {
	CALL(epoll_wait), CALL(epoll_ctl), CALL(read),
	CALL(write),		    /* an interrupt for the guest; a log line */
	CALL_RARELY(clock_gettime), /* where the vDSO has no clock */
};
static const struct calls pair_part = CALLS(pair_calls);
const struct filter net_filter = {.kind = "net",
	.parts = {&pair_part, &net_tap_calls, &net_stream_calls, &thread_calls},
	.denied = DENIED(THREAD_NET)};

static void *thread_main(void *arg)
{
	struct net_pair *pair = arg;

	while (!atomic_load(&pair->net->quit)) {
		bool more = net_pair_run(pair);
		if (loop_run_once(&pair->loop, more ? 0 : pair->pause_ms) < 0)
			break;
	}
	return NULL;
}

int net_pair_start_thread(struct net_pair *pair, bool confine)
{
	char name[16];
	const struct thread_config config = {
		.name = name,
		.main = thread_main,
		.arg = pair,
		.filter = confine ? &net_filter : NULL,
	};

	snprintf(name, sizeof(name), "net-%u", pair->index);
	int ret = thread_start(&pair->thread, &config);
	pair->has_thread = ret == 0;
	return ret;
}

void net_pair_wake(struct net_pair *pair)
{
	uint64_t one = 1;
	ssize_t ignored = write(pair->wake.fd, &one, sizeof(one));

	(void)ignored; /* it fails only when the counter is full, and then it is awake anyway */
}

void net_pair_start(struct net_pair *pair)
{
	struct net *net = pair->net;
	struct virtio_device *dev = &net->dev;

	pthread_mutex_lock(&pair->lock);
	pair->generation = net->generation;
	pair->why = NULL;
	pair->rx.want_bytes = net_rx_want(net);
	pair->running = net_rx_queue(pair)->running && net_tx_queue(pair)->running;
	pair->new_kicks = true;
	pair->kick_fds[0] = dev->kick_fds[2 * pair->index];
	pair->kick_fds[1] = dev->kick_fds[2 * pair->index + 1];
	pair->kick_fds[2] = pair->index ? -1 : dev->kick_fds[net_ctrl_queue(net)];
	pthread_mutex_unlock(&pair->lock);
	net_pair_wake(pair);
}

void net_pair_stop(struct net_pair *pair)
{
	pthread_mutex_lock(&pair->lock);
	pair->running = pair->new_kicks = false;
	net_rx_give_up(pair);
	net_tx_give_up(pair);
	pthread_mutex_unlock(&pair->lock);
}

int net_pair_set_active(struct net_pair *pair, bool active)
{
	const struct net_backend_ops *ops = pair->net->ops;
	int ret = 0;

	pthread_mutex_lock(&pair->lock);
	if (pair->gone) {
		pair->active = active;
	} else if (active != pair->active) {
		ret = ops->set_active ? ops->set_active(pair, active) : 0;
		if (!ret)
			pair->active = active;
		if (!ret && active)
			pair->up = !ops->is_up || ops->is_up(pair);
	}
	pthread_mutex_unlock(&pair->lock);
	net_pair_wake(pair);
	return ret;
}

static int pair_open(struct net_pair *pair, struct err *e)
{
	const struct net_backend_ops *ops = pair->net->ops;
	int ret = ops->open(pair, e);

	if (ret < 0)
		return ret;
	pair->up = !ops->is_up || ops->is_up(pair);
	ret = loop_init(&pair->loop);
	if (ret < 0)
		return err_sys(e, -ret, "event loop");
	int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ret = wake_fd < 0 ? -errno : loop_add(&pair->loop, &pair->wake, wake_fd, EPOLLIN);
	if (ret < 0)
		fd_closep(&wake_fd);
	pair->waits_for = EPOLLET | EPOLLIN | (pair->up ? 0 : EPOLLOUT);
	if (!ret)
		ret = loop_add(&pair->loop, &pair->backend, pair->fd, pair->waits_for);
	return ret < 0 ? err_sys(e, -ret, "event loop") : 0;
}

int net_pair_new(struct net *net, unsigned index, int fd, struct net_pair **out, struct err *e)
{
	size_t stream_bytes = net->config.stream ? NET_STREAM_BYTES + NET_FRAME_MAX + 4u : 0;
	struct net_pair *pair = calloc(1, sizeof(*pair) + stream_bytes);
	int ret = pair ? -pthread_mutex_init(&pair->lock, NULL) : -ENOMEM;

	if (ret < 0) {
		free(pair);
		return err_sys(e, -ret, "network device");
	}
	pair->net = net;
	pair->index = index;
	pair->fd = fd;
	pair->active = true; /* a tap's queues are attached */
	pair->rx_rate.bytes_per_s = net->config.rx_bytes_per_s;
	pair->tx_rate.bytes_per_s = net->config.tx_bytes_per_s;
	pair->loop.epoll_fd = pair->loop.wake_fd = -1;
	pair->backend = (struct loop_source){.fd = -1, .ready = backend_ready};
	pair->wake = (struct loop_source){.fd = -1, .ready = woken};
	for (unsigned i = 0; i < 3; i++) {
		pair->kick_fds[i] = -1;
		pair->kicks[i] =
			(struct loop_source){.fd = -1, .ready = i == 2 ? ctrl_kicked : kicked};
	}
	ret = pair_open(pair, e);
	if (ret < 0) {
		net_pair_free(pair);
		return ret;
	}
	*out = pair;
	return 0;
}

void net_pair_free(struct net_pair *pair)
{
	if (!pair)
		return;
	if (pair->has_thread) {
		net_pair_wake(pair);
		pthread_join(pair->thread, NULL);
	}
	fd_closep(&pair->wake.fd);
	if (pair->loop.epoll_fd >= 0)
		loop_fini(&pair->loop);
	pthread_mutex_destroy(&pair->lock);
	free(pair);
}
