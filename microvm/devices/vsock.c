/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-vsock: the device and what the monitor sees of it; see vsock_internal.h. */
#include "microvm/devices/vsock.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "microvm/devices/vsock_internal.h"

bool vsock_running(const struct vsock *v)
{
	return v->dev.started && !v->dev.broken && v->dev.queues[VSOCK_QUEUE_RX].running &&
		v->dev.queues[VSOCK_QUEUE_TX].running;
}

static void kill_all(struct vsock *v, int reason)
{
	for (unsigned i = 0; i < v->n_conns; i++)
		vsock_conn_kill(v->conns[i], reason, false);
	v->n_resets = 0;
	v->rx_stalled = v->tx_blocked = false;
	v->work_wanted = true;
}

void vsock_break(struct vsock *v, const char *why)
{
	virtio_device_break(&v->dev, why);
	kill_all(v, -EPROTO);
}

static void send_owed(struct vsock *v)
{
	if (vsock_rx_resets(v) < 0)
		return;
	for (unsigned i = 0; i < v->n_conns; i++)
		if (vsock_rx_owed(v->conns[i]) < 0)
			return;
}

void vsock_settle(struct vsock *v)
{
	for (unsigned i = 0; i < v->n_conns; i++)
		vsock_conn_sync(v->conns[i]);
	if (vsock_running(v) && !v->rx_stalled)
		send_owed(v);
	for (unsigned i = v->n_conns; i-- > 0;) {
		if (vsock_conn_over(v->conns[i]))
			vsock_conn_free(v->conns[i]);
		else if (v->conns[i]->calls && !v->conns[i]->busy)
			v->work_wanted = true;
	}
	if (v->tx_blocked && v->n_resets < VSOCK_RESETS_MAX)
		v->work_wanted = true;
	virtio_device_interrupt(&v->dev, VSOCK_QUEUE_RX);
	virtio_device_interrupt(&v->dev, VSOCK_QUEUE_TX);
	if (v->work_wanted)
		work_post(&v->work);
	v->work_wanted = false;
}

/* epoll knows a descriptor once only: each direction gets one of its own. */
static int split_fds(int rd_fd, int *wr_fd)
{
	if (rd_fd < 0 || rd_fd != *wr_fd)
		return 0;
	*wr_fd = fcntl(rd_fd, F_DUPFD_CLOEXEC, 0);
	return *wr_fd < 0 ? -errno : 0;
}

/* Asks the listener, without the lock. */
static void call_accept(struct vsock *v, struct vsock_conn *c)
{
	struct vsock_accepted accepted = {.rd_fd = -1, .wr_fd = -1};
	const struct vsock_listener *listener = c->listener;

	pthread_mutex_unlock(&v->dev.lock);
	int ret = listener->accept(listener->arg, c->guest_port, &accepted);
	pthread_mutex_lock(&v->dev.lock);
	if (ret) {
		vsock_conn_kill(c, -ECONNREFUSED, true);
		return;
	}
	c->events = accepted.events;
	c->arg = accepted.arg;
	ret = split_fds(accepted.rd_fd, &accepted.wr_fd);
	vsock_conn_set_fds(c, accepted.rd_fd, accepted.wr_fd);
	if (ret < 0)
		vsock_conn_kill(c, ret, true);
	/* Dead, or reset by the guest meanwhile: the new owner learns it by its closed. */
	if (c->state != VSOCK_ACCEPTING)
		return;
	c->owed |= VSOCK_OWE_RESPONSE;
	vsock_conn_open(c);
}

static void call_event(struct vsock *v, struct vsock_conn *c, unsigned call)
{
	const struct vsock_conn_events *events = c->events;

	if (!events)
		return;
	pthread_mutex_unlock(&v->dev.lock);
	if (call == VSOCK_CALL_CONNECTED && events->connected)
		events->connected(c->arg);
	else if (call == VSOCK_CALL_BROKEN && events->broken)
		events->broken(c->arg, c->broken);
	else if (call == VSOCK_CALL_DRAINED && events->drained)
		events->drained(c->arg);
	pthread_mutex_lock(&v->dev.lock);
}

/* The last call. The connection goes first, so that its ports are free for the callback. */
static void call_closed(struct vsock *v, struct vsock_conn *c)
{
	const struct vsock_conn_events *events = c->events;
	void *arg = c->arg;
	int reason = c->reason;

	if (vsock_conn_over(c)) /* else it still owes the guest a reset */
		vsock_conn_free(c);
	if (!events || !events->closed)
		return;
	pthread_mutex_unlock(&v->dev.lock);
	events->closed(arg, reason);
	pthread_mutex_lock(&v->dev.lock);
}

/*
 * The callbacks due, each without the lock, so that they may call in. The connection is marked
 * busy meanwhile: it stays, though others may come and go and the table be reordered.
 */
static void make_calls(struct vsock *v)
{
	unsigned i = 0;

	while (i < v->n_conns) {
		struct vsock_conn *c = v->conns[i];
		unsigned call = c->calls & -c->calls;

		if (!call) {
			i++;
			continue;
		}
		i = 0;
		c->calls &= ~call;
		if (call == VSOCK_CALL_CLOSED) {
			call_closed(v, c);
			continue;
		}
		c->busy = true;
		if (call == VSOCK_CALL_ACCEPT)
			call_accept(v, c);
		else
			call_event(v, c, call);
		c->busy = false;
	}
}

static void vsock_work(struct virtio_device *dev)
{
	struct vsock *v = vsock_of(dev);

	pthread_mutex_lock(&dev->lock);
	if (vsock_running(v))
		vsock_tx_drain(v);
	/* Descriptors that are always ready are served from here only. */
	for (unsigned i = 0; i < v->n_conns; i++) {
		struct vsock_conn *c = v->conns[i];
		if (c->rd.always_ready)
			vsock_conn_pump(c);
		if (c->wr.always_ready)
			vsock_conn_drain(c);
	}
	make_calls(v);
	vsock_settle(v);
	pthread_mutex_unlock(&dev->lock);
}

static int vsock_start(struct virtio_device *dev)
{
	struct vsock *v = vsock_of(dev);

	/* With vhost-user a queue may come later; its first kick does what is left out here. */
	v->rx_stalled = v->tx_blocked = false;
	work_post(&v->work); /* requests may wait, and we may be on a vCPU's thread */
	return 0;
}

static void vsock_stop(struct virtio_device *dev)
{
	struct vsock *v = vsock_of(dev);

	/* Marks only: descriptors belong to the loop's thread, and the work will find them. */
	kill_all(v, -ECONNRESET);
	v->work_wanted = false;
	work_post(&v->work);
}

static void vsock_kick(struct virtio_device *dev, unsigned queue)
{
	struct vsock *v = vsock_of(dev);

	if (!vsock_running(v))
		return;
	if (queue == VSOCK_QUEUE_RX)
		v->rx_stalled = false;
	else if (queue == VSOCK_QUEUE_TX)
		vsock_tx_drain(v);
	vsock_settle(v);
}

static void vsock_config_read(
	struct virtio_device *dev, uint32_t offset, void *dst, uint32_t len_bytes)
{
	const struct virtio_vsock_config config = {.guest_cid = htole64(vsock_of(dev)->guest_cid)};

	memcpy(dst, (const uint8_t *)&config + offset, len_bytes);
}

static const struct virtio_device_ops vsock_ops = {
	.config_read = vsock_config_read,
	.start = vsock_start,
	.kick = vsock_kick,
	.stop = vsock_stop,
};

int vsock_create(const struct vsock_config *config, struct virtio_device **out, struct err *e)
{
	struct vsock *v;
	int ret;

	if (config->guest_cid <= VSOCK_HOST_CID || config->guest_cid >= UINT32_MAX)
		return err_set(e, EINVAL, "vsock: %llu is no guest CID",
			(unsigned long long)config->guest_cid);
	v = calloc(1, sizeof(*v));
	if (!v)
		return err_sys(e, ENOMEM, "vsock");
	ret = virtio_device_init(&v->dev);
	if (ret < 0) {
		free(v);
		return err_sys(e, -ret, "vsock");
	}
	v->guest_cid = config->guest_cid;
	v->dev.ops = &vsock_ops;
	v->dev.name = "vsock";
	v->dev.id = VIRTIO_ID_VSOCK;
	v->dev.offered = UINT64_C(1) << VIRTIO_F_VERSION_1 |
		UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX | UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC;
	v->dev.config_bytes = sizeof(struct virtio_vsock_config);
	v->dev.n_queues = 3;
	v->dev.queue_size_max = VSOCK_QUEUE_SIZE;
	v->dev.loop = config->loop;
	ret = work_init(&v->work, &v->dev, vsock_work);
	if (ret < 0) {
		vsock_free(&v->dev);
		return err_sys(e, -ret, "vsock");
	}
	*out = &v->dev;
	return 0;
}

void vsock_free(struct virtio_device *dev)
{
	if (!dev)
		return;
	struct vsock *v = vsock_of(dev);
	while (v->n_conns)
		vsock_conn_free(v->conns[v->n_conns - 1]);
	work_fini(&v->work);
	virtio_device_fini(dev);
	free(v);
}

int vsock_connect(struct virtio_device *dev, uint32_t host_port, uint32_t guest_port, int rd_fd,
	int wr_fd, const struct vsock_conn_events *events, void *arg)
{
	struct vsock *v = vsock_of(dev);
	cleanup_close int rd = rd_fd, wr = wr_fd;
	struct vsock_conn *c = NULL;
	int ret = 0;

	ret = split_fds(rd, &wr);
	if (ret < 0)
		return ret;
	pthread_mutex_lock(&dev->lock);
	if (vsock_conn_find(v, host_port, guest_port))
		ret = -EADDRINUSE;
	else if (!(c = vsock_conn_new(v, host_port, guest_port)))
		ret = -ENOSPC;
	if (c) {
		c->events = events;
		c->arg = arg;
		c->owed = VSOCK_OWE_REQUEST;
		vsock_conn_set_fds(c, steal_fd(&rd), steal_fd(&wr));
		vsock_settle(v);
	}
	pthread_mutex_unlock(&dev->lock);
	return ret;
}

void vsock_disconnect(struct virtio_device *dev, uint32_t host_port, uint32_t guest_port)
{
	struct vsock *v = vsock_of(dev);

	pthread_mutex_lock(&dev->lock);
	struct vsock_conn *c = vsock_conn_find(v, host_port, guest_port);
	if (c && c->state != VSOCK_DEAD)
		vsock_conn_kill(c, -ECONNRESET, true);
	if (c) {
		stream_fd_close(&c->wr, dev->loop, SHUT_WR);
		c->buf_used = 0;
		vsock_settle(v);
	}
	pthread_mutex_unlock(&dev->lock);
}

int vsock_listen(struct virtio_device *dev, uint32_t host_port, vsock_accept_fn *accept, void *arg)
{
	struct vsock *v = vsock_of(dev);
	int ret = 0;

	pthread_mutex_lock(&dev->lock);
	for (unsigned i = 0; i < v->n_listeners; i++)
		if (v->listeners[i].host_port == host_port)
			ret = -EADDRINUSE;
	if (!ret && v->n_listeners == VSOCK_LISTENERS_MAX)
		ret = -ENOSPC;
	if (!ret)
		v->listeners[v->n_listeners++] = (struct vsock_listener){host_port, accept, arg};
	pthread_mutex_unlock(&dev->lock);
	return ret;
}
