/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost-user back end; see backend.h.
 *
 * The protocol starts rings one by one, the device contract starts a device with its queues. So
 * the device starts once every ring that has a kick descriptor is also enabled, which is at the
 * last SET_VRING_ENABLE (or, from front ends without protocol features, whose rings are enabled
 * from the beginning, at the first SET_VRING_KICK; rings that come later join the running device).
 * It stops, with all its rings, as soon as one ring is stopped or disabled: front ends stop all.
 *
 * Kick descriptors are watched edge-triggered and never read: each write to an eventfd is an edge,
 * so a kick costs no system call beyond epoll_wait, and a front end that hands over something else
 * than an eventfd can neither block this thread nor make it spin.
 */
#include "microvm/vhost/backend.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "microvm/vhost/message.h"

#define REPLY_TIMEOUT_MS    1000
#define MESSAGES_PER_WAKEUP 32 /* then others on this loop have their turn */

struct vhost_vring {
	struct vhost_backend *backend;
	struct loop_source kick; /* kick.fd is -1 while there is none */
	int call_fd, err_fd;
	bool enabled, addr_known;
	uint16_t base;
	uint32_t size;
	struct vhost_vring_addr addr;
};

struct vhost_backend {
	struct loop *loop;
	struct virtio_device *dev;
	struct loop_source sock;
	void (*closed)(void *arg, int error);
	void *arg;
	struct vhost_reader reader;
	uint64_t features;
	uint64_t protocol_features;
	struct guest_memory memory;
	uint64_t user_addrs[VHOST_MEMORY_REGIONS_MAX]; /* of memory.regions, in the front end */
	pthread_mutex_t call_lock; /* call_fd and err_fd: interrupts come from any thread */
	struct vhost_vring vrings[VIRTIO_QUEUES_MAX];
};

static void signal_eventfd(int fd)
{
	uint64_t one = 1;
	ssize_t n = fd >= 0 ? write(fd, &one, sizeof(one)) : 0;

	(void)n; /* full or gone: the front end's affair */
}

static void backend_interrupt(struct virtio_device *dev, unsigned queue)
{
	struct vhost_backend *b = dev->transport_data;

	pthread_mutex_lock(&b->call_lock);
	signal_eventfd(b->vrings[queue].call_fd);
	pthread_mutex_unlock(&b->call_lock);
}

/* The protocol has no way to say that the whole device broke: every ring says so. */
static void backend_needs_reset(struct virtio_device *dev)
{
	struct vhost_backend *b = dev->transport_data;

	pthread_mutex_lock(&b->call_lock);
	for (unsigned i = 0; i < dev->n_queues; i++)
		signal_eventfd(b->vrings[i].err_fd);
	pthread_mutex_unlock(&b->call_lock);
}

/* Needs a second channel that no front end of ours opens; our configurations don't change. */
static void backend_config_changed(struct virtio_device *dev)
{
	log_debug("%s: the front end can't be told of a changed configuration", dev->name);
}

static const struct virtio_transport_ops backend_transport_ops = {
	.interrupt = backend_interrupt,
	.config_changed = backend_config_changed,
	.needs_reset = backend_needs_reset,
};

static uint64_t offered_protocol_features(const struct vhost_backend *b)
{
	uint64_t features = UINT64_C(1) << VHOST_PROTOCOL_F_MQ |
		UINT64_C(1) << VHOST_PROTOCOL_F_REPLY_ACK |
		UINT64_C(1) << VHOST_PROTOCOL_F_RESET_DEVICE;

	if (b->dev->config_bytes)
		features |= UINT64_C(1) << VHOST_PROTOCOL_F_CONFIG;
	return features;
}

static bool vring_enabled(const struct vhost_vring *v)
{
	/* Without the protocol's features there is no SET_VRING_ENABLE. */
	return v->enabled || !(v->backend->features & UINT64_C(1) << VHOST_F_PROTOCOL_FEATURES);
}

/* Guest-physical address of a ring part at a user address; false when it is in no region. */
static bool user_to_gpa(const struct vhost_backend *b, uint64_t user_addr, uint64_t *gpa)
{
	for (unsigned i = 0; i < b->memory.n_regions; i++) {
		const struct guest_memory_region *r = &b->memory.regions[i];
		if (user_addr < b->user_addrs[i] || user_addr - b->user_addrs[i] >= r->len_bytes)
			continue;
		*gpa = r->gpa + (user_addr - b->user_addrs[i]);
		return true;
	}
	return false;
}

static int vring_layout(const struct vhost_vring *v, struct virtq_layout *layout)
{
	const struct vhost_backend *b = v->backend;

	if (!v->addr_known || !v->size)
		return -EPROTO;
	layout->size = (uint16_t)v->size;
	if (!user_to_gpa(b, v->addr.desc, &layout->desc_gpa) ||
		!user_to_gpa(b, v->addr.avail, &layout->avail_gpa) ||
		!user_to_gpa(b, v->addr.used, &layout->used_gpa))
		return -EFAULT;
	return 0;
}

/* Device's lock held. A ring that the guest laid out badly breaks the device, not the link. */
static int start_device(struct vhost_backend *b)
{
	struct virtio_device *dev = b->dev;
	uint16_t bases[VIRTIO_QUEUES_MAX] = {0};
	unsigned n = 0;

	for (unsigned i = 0; i < dev->n_queues; i++) {
		struct vhost_vring *v = &b->vrings[i];
		dev->queue_ready[i] = false;
		if (v->kick.fd < 0)
			continue;
		if (!vring_enabled(v))
			return 0; /* its SET_VRING_ENABLE is still to come */
		int ret = vring_layout(v, &dev->layouts[i]);
		if (ret < 0)
			return ret;
		dev->queue_ready[i] = true;
		bases[i] = v->base;
		n++;
	}
	if (!n)
		return 0;
	uint64_t features = b->features & ~(UINT64_C(1) << VHOST_F_PROTOCOL_FEATURES);
	int ret = virtio_device_start(dev, &b->memory, features, bases);
	if (ret < 0)
		return 0;
	/* What was kicked before the descriptors came: serve it now. */
	for (unsigned i = 0; i < dev->n_queues; i++)
		if (dev->queue_ready[i])
			virtio_device_kick(dev, i);
	return 0;
}

/* Device's lock held: one more ring for a device that runs already. */
static int start_late_ring(struct vhost_backend *b, unsigned index)
{
	struct virtio_device *dev = b->dev;
	struct vhost_vring *v = &b->vrings[index];
	struct virtq_layout *layout = &dev->layouts[index];

	if (dev->queues[index].running || v->kick.fd < 0 || !vring_enabled(v))
		return 0;
	int ret = vring_layout(v, layout);
	if (ret < 0)
		return ret;
	if (layout->size > dev->queue_size_max ||
		virtq_start(&dev->queues[index], &b->memory, layout, dev->features, v->base) < 0) {
		virtio_device_break(dev, "a queue that lies outside memory or is misaligned");
		return 0;
	}
	dev->queue_ready[index] = true;
	virtio_device_kick(dev, index);
	return 0;
}

static int update_started(struct vhost_backend *b, unsigned index)
{
	if (b->dev->broken)
		return 0;
	return b->dev->started ? start_late_ring(b, index) : start_device(b);
}

/* Device's lock held. Remembers where each ring was, for GET_VRING_BASE and a later start. */
static void stop_device(struct vhost_backend *b)
{
	struct virtio_device *dev = b->dev;
	bool was_running[VIRTIO_QUEUES_MAX];

	for (unsigned i = 0; i < dev->n_queues; i++)
		was_running[i] = dev->queues[i].running;
	virtio_device_stop(dev);
	for (unsigned i = 0; i < dev->n_queues; i++) {
		if (was_running[i])
			b->vrings[i].base = dev->queues[i].last_avail;
		dev->queue_ready[i] = false;
	}
}

static void vring_drop_kick(struct vhost_vring *v)
{
	int fd = v->kick.fd;

	loop_del(v->backend->loop, &v->kick);
	fd_closep(&fd);
}

static void vring_kicked(struct loop_source *source, uint32_t events)
{
	struct vhost_vring *v =
		(struct vhost_vring *)(void *)((char *)source - offsetof(struct vhost_vring, kick));
	struct virtio_device *dev = v->backend->dev;

	(void)events;
	pthread_mutex_lock(&dev->lock);
	virtio_device_kick(dev, (unsigned)(v - v->backend->vrings));
	pthread_mutex_unlock(&dev->lock);
}

static int handle_set_features(struct vhost_backend *b, struct vhost_message *m)
{
	uint64_t wanted = m->payload.u64;

	if (wanted & ~(b->dev->offered | UINT64_C(1) << VHOST_F_PROTOCOL_FEATURES))
		return -EINVAL;
	if (b->dev->started && wanted != b->features)
		return -EBUSY;
	b->features = wanted;
	return 0;
}

static int handle_set_protocol_features(struct vhost_backend *b, struct vhost_message *m)
{
	if (m->payload.u64 & ~offered_protocol_features(b))
		return -EINVAL;
	b->protocol_features = m->payload.u64;
	return 0;
}

/* Whether the table says what is mapped already; a front end may repeat it at any time. */
static bool memory_is_same(const struct vhost_backend *b, const struct vhost_memory *table)
{
	if (table->n_regions != b->memory.n_regions)
		return false;
	for (unsigned i = 0; i < table->n_regions; i++) {
		const struct vhost_memory_region *want = &table->regions[i];
		const struct guest_memory_region *have = &b->memory.regions[i];
		if (want->gpa != have->gpa || want->len_bytes != have->len_bytes ||
			want->offset_bytes != have->offset_bytes ||
			want->user_addr != b->user_addrs[i])
			return false;
	}
	return true;
}

static int handle_set_mem_table(struct vhost_backend *b, struct vhost_message *m)
{
	const struct vhost_memory *table = &m->payload.memory;
	struct guest_memory fresh = {0};

	if (b->dev->started)
		return memory_is_same(b, table) ? 0 : -EBUSY;
	for (unsigned i = 0; i < table->n_regions; i++) {
		const struct vhost_memory_region *r = &table->regions[i];
		int ret = -EINVAL;
		if (r->user_addr <= UINT64_MAX - r->len_bytes)
			ret = guest_memory_map(&fresh, steal_fd(&m->fds[i]), r->gpa, r->len_bytes,
				r->offset_bytes);
		if (ret < 0) {
			guest_memory_fini(&fresh);
			return ret;
		}
	}
	guest_memory_fini(&b->memory);
	b->memory = fresh;
	for (unsigned i = 0; i < table->n_regions; i++)
		b->user_addrs[i] = table->regions[i].user_addr;
	return 0;
}

static int vring_of(struct vhost_backend *b, uint64_t index, bool idle, struct vhost_vring **out)
{
	if (index >= b->dev->n_queues)
		return -EINVAL;
	if (idle && b->dev->queues[index].running)
		return -EBUSY;
	*out = &b->vrings[index];
	return 0;
}

static int handle_set_vring_num(struct vhost_backend *b, struct vhost_message *m)
{
	struct vhost_vring *v;
	uint32_t size = m->payload.state.num;
	int ret = vring_of(b, m->payload.state.index, true, &v);

	if (ret < 0)
		return ret;
	if (!size || size > VIRTQ_SIZE_MAX || (size & (size - 1)))
		return -EINVAL;
	v->size = size;
	return 0;
}

static int handle_set_vring_addr(struct vhost_backend *b, struct vhost_message *m)
{
	struct vhost_vring *v;
	int ret = vring_of(b, m->payload.addr.index, true, &v);

	if (ret < 0)
		return ret;
	v->addr = m->payload.addr;
	v->addr_known = true;
	return 0;
}

static int handle_set_vring_base(struct vhost_backend *b, struct vhost_message *m)
{
	struct vhost_vring *v;
	int ret = vring_of(b, m->payload.state.index, true, &v);

	if (ret < 0)
		return ret;
	if (m->payload.state.num > UINT16_MAX)
		return -EINVAL;
	v->base = (uint16_t)m->payload.state.num;
	return 0;
}

static int handle_get_vring_base(struct vhost_backend *b, struct vhost_message *m)
{
	struct vhost_vring *v;
	int ret = vring_of(b, m->payload.state.index, false, &v);

	if (ret < 0)
		return ret;
	stop_device(b);
	vring_drop_kick(v);
	m->payload.state.num = v->base;
	return 0;
}

static int handle_set_vring_kick(struct vhost_backend *b, struct vhost_message *m)
{
	struct vhost_vring *v;
	int ret = vring_of(b, m->payload.u64 & VHOST_VRING_INDEX_MASK, false, &v);

	if (ret < 0)
		return ret;
	if (!m->n_fds)
		return -EOPNOTSUPP; /* a ring to be polled for ever */
	vring_drop_kick(v);
	ret = loop_add(b->loop, &v->kick, m->fds[0], EPOLLIN | EPOLLET);
	if (ret < 0)
		return ret;
	(void)steal_fd(&m->fds[0]);
	return update_started(b, (unsigned)(v - b->vrings));
}

static int handle_set_vring_call(struct vhost_backend *b, struct vhost_message *m)
{
	struct vhost_vring *v;
	bool err = m->header.request == VHOST_SET_VRING_ERR;
	int ret = vring_of(b, m->payload.u64 & VHOST_VRING_INDEX_MASK, false, &v);

	if (ret < 0)
		return ret;
	if (m->n_fds) {
		ret = fd_set_nonblock(m->fds[0], true);
		if (ret < 0)
			return ret;
	}
	int fresh = m->n_fds ? steal_fd(&m->fds[0]) : -1;
	int *slot = err ? &v->err_fd : &v->call_fd;
	pthread_mutex_lock(&b->call_lock);
	int old = *slot;
	*slot = fresh;
	pthread_mutex_unlock(&b->call_lock);
	fd_closep(&old);
	/* An interrupt that fell between the two descriptors would be lost for good: repeat it. */
	if (!err && b->dev->queues[v - b->vrings].running)
		signal_eventfd(fresh);
	return 0;
}

static int handle_set_vring_enable(struct vhost_backend *b, struct vhost_message *m)
{
	struct vhost_vring *v;
	int ret = vring_of(b, m->payload.state.index, false, &v);

	if (ret < 0)
		return ret;
	if (m->payload.state.num > 1)
		return -EINVAL;
	v->enabled = m->payload.state.num;
	if (v->enabled)
		return update_started(b, (unsigned)(v - b->vrings));
	if (b->dev->queues[m->payload.state.index].running || b->dev->broken)
		stop_device(b);
	return 0;
}

/* Space behind the device's own reads as 0: front ends ask for their idea of its size. */
static int handle_get_config(struct vhost_backend *b, struct vhost_message *m)
{
	struct vhost_config *config = &m->payload.config;
	uint32_t have = b->dev->config_bytes;

	memset(config->bytes, 0, sizeof(config->bytes));
	if (config->offset < have) {
		uint32_t len = have - config->offset;
		len = len < config->len_bytes ? len : config->len_bytes;
		if (len)
			b->dev->ops->config_read(b->dev, config->offset, config->bytes, len);
	}
	return 0;
}

static int handle_set_config(struct vhost_backend *b, struct vhost_message *m)
{
	const struct vhost_config *config = &m->payload.config;
	uint32_t have = b->dev->config_bytes;

	if (config->offset > have || config->len_bytes > have - config->offset)
		return -EINVAL;
	if (b->dev->ops->config_write && config->len_bytes)
		b->dev->ops->config_write(b->dev, config->offset, config->bytes, config->len_bytes);
	return 0;
}

static int handle_reset(struct vhost_backend *b)
{
	stop_device(b);
	for (unsigned i = 0; i < b->dev->n_queues; i++) {
		struct vhost_vring *v = &b->vrings[i];
		vring_drop_kick(v);
		v->enabled = v->addr_known = false;
		v->base = 0;
		v->size = 0;
	}
	return 0;
}

/*
 * One message whose form is right, device's lock held. 0 when done, with *reply_bytes set when the
 * payload has become the reply (else the caller acknowledges if asked to); -errno when refused.
 */
static int handle_message(struct vhost_backend *b, struct vhost_message *m, uint32_t *reply_bytes)
{
	switch (m->header.request) {
	case VHOST_GET_FEATURES:
		m->payload.u64 = b->dev->offered | UINT64_C(1) << VHOST_F_PROTOCOL_FEATURES;
		*reply_bytes = sizeof(m->payload.u64);
		return 0;
	case VHOST_GET_PROTOCOL_FEATURES:
		m->payload.u64 = offered_protocol_features(b);
		*reply_bytes = sizeof(m->payload.u64);
		return 0;
	case VHOST_GET_QUEUE_NUM:
		m->payload.u64 = b->dev->n_queues;
		*reply_bytes = sizeof(m->payload.u64);
		return 0;
	case VHOST_GET_CONFIG:
		*reply_bytes = m->header.payload_bytes;
		return handle_get_config(b, m);
	case VHOST_GET_VRING_BASE:
		*reply_bytes = sizeof(m->payload.state);
		return handle_get_vring_base(b, m);
	case VHOST_SET_OWNER:
		return 0;
	case VHOST_SET_FEATURES:
		return handle_set_features(b, m);
	case VHOST_SET_PROTOCOL_FEATURES:
		return handle_set_protocol_features(b, m);
	case VHOST_SET_MEM_TABLE:
		return handle_set_mem_table(b, m);
	case VHOST_SET_VRING_NUM:
		return handle_set_vring_num(b, m);
	case VHOST_SET_VRING_ADDR:
		return handle_set_vring_addr(b, m);
	case VHOST_SET_VRING_BASE:
		return handle_set_vring_base(b, m);
	case VHOST_SET_VRING_KICK:
		return handle_set_vring_kick(b, m);
	case VHOST_SET_VRING_CALL:
	case VHOST_SET_VRING_ERR:
		return handle_set_vring_call(b, m);
	case VHOST_SET_VRING_ENABLE:
		return handle_set_vring_enable(b, m);
	case VHOST_SET_CONFIG:
		return handle_set_config(b, m);
	case VHOST_RESET_OWNER:
	case VHOST_RESET_DEVICE:
		return handle_reset(b);
	}
	return -EOPNOTSUPP;
}

static int send_reply(struct vhost_backend *b, struct vhost_message *m, uint32_t payload_bytes)
{
	vhost_message_close(m);
	m->header.flags = VHOST_VERSION | VHOST_FLAG_REPLY;
	m->header.payload_bytes = payload_bytes;
	return vhost_message_send(b->sock.fd, m, REPLY_TIMEOUT_MS);
}

/* Checks, handles and answers the message in the reader; -errno ends the connection. */
static int serve_message(struct vhost_backend *b)
{
	struct vhost_message *m = &b->reader.message;
	uint32_t request = m->header.request, reply_bytes = 0;
	bool need_reply = (m->header.flags & VHOST_FLAG_NEED_REPLY) &&
		(b->protocol_features & UINT64_C(1) << VHOST_PROTOCOL_F_REPLY_ACK);

	if (m->header.flags & VHOST_FLAG_REPLY)
		return -EPROTO;
	int ret = vhost_message_check(m);
	if (ret == -EPROTO)
		return ret;
	if (!ret) {
		pthread_mutex_lock(&b->dev->lock);
		ret = handle_message(b, m, &reply_bytes);
		pthread_mutex_unlock(&b->dev->lock);
	}
	if (ret < 0)
		log_debug("%s: vhost-user: %s (%u): %s", b->dev->name, vhost_request_name(request),
			request, strerror(-ret));
	if (!ret && reply_bytes)
		return send_reply(b, m, reply_bytes);
	if (need_reply && !reply_bytes) {
		m->payload.u64 = ret < 0;
		return send_reply(b, m, sizeof(m->payload.u64));
	}
	vhost_message_close(m);
	return ret;
}

static void release(struct vhost_backend *b)
{
	int sock = b->sock.fd;

	loop_del(b->loop, &b->sock);
	fd_closep(&sock);
	pthread_mutex_lock(&b->dev->lock);
	handle_reset(b);
	pthread_mutex_unlock(&b->dev->lock);
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++) {
		fd_closep(&b->vrings[i].call_fd);
		fd_closep(&b->vrings[i].err_fd);
	}
	guest_memory_fini(&b->memory);
	vhost_reader_fini(&b->reader);
}

static void sock_ready(struct loop_source *source, uint32_t events)
{
	struct vhost_backend *b = (struct vhost_backend *)(void *)((char *)source -
		offsetof(struct vhost_backend, sock));
	int ret = 1;

	(void)events;
	for (unsigned i = 0; i < MESSAGES_PER_WAKEUP && ret > 0; i++) {
		ret = vhost_reader_receive(&b->reader, b->sock.fd);
		if (ret > 0) {
			int served = serve_message(b);
			ret = served < 0 ? served : 1;
		}
	}
	if (ret >= 0)
		return;
	bool clean = (ret == -ENODATA || ret == -ECONNRESET) && b->reader.used_bytes == 0;
	release(b);
	b->closed(b->arg, clean ? 0 : ret);
}

int vhost_backend_create(struct vhost_backend **out, struct loop *loop, struct virtio_device *dev,
	int sock_fd, void (*closed)(void *arg, int error), void *arg, struct err *e)
{
	cleanup_close int sock = sock_fd;
	struct vhost_backend *b = calloc(1, sizeof(*b));

	if (!b)
		return err_sys(e, ENOMEM, "%s: vhost-user", dev->name);
	b->loop = loop;
	b->dev = dev;
	b->closed = closed;
	b->arg = arg;
	b->sock.fd = -1;
	b->sock.ready = sock_ready;
	vhost_reader_init(&b->reader);
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++) {
		struct vhost_vring *v = &b->vrings[i];
		v->backend = b;
		v->kick.fd = v->call_fd = v->err_fd = -1;
		v->kick.ready = vring_kicked;
	}
	int ret = -pthread_mutex_init(&b->call_lock, NULL);
	if (ret < 0) {
		free(b);
		return err_sys(e, -ret, "%s: vhost-user", dev->name);
	}
	ret = loop_add(loop, &b->sock, sock, EPOLLIN);
	if (ret < 0) {
		pthread_mutex_destroy(&b->call_lock);
		free(b);
		return err_sys(e, -ret, "%s: vhost-user socket", dev->name);
	}
	(void)steal_fd(&sock);
	dev->transport = &backend_transport_ops;
	dev->transport_data = b;
	*out = b;
	return 0;
}

void vhost_backend_free(struct vhost_backend *backend)
{
	if (!backend)
		return;
	release(backend);
	pthread_mutex_destroy(&backend->call_lock);
	free(backend);
}
