/* SPDX-License-Identifier: Apache-2.0 */
/* vhost-user back end: connection and messages; see backend.h. The rings are in vring.c. */
#include "microvm/vhost/backend.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "microvm/vhost/message.h"
#include "microvm/vhost/vring.h"

#define REPLY_TIMEOUT_MS    1000
#define MESSAGES_PER_WAKEUP 32 /* then others on this loop have their turn */

static uint64_t offered_protocol_features(const struct vhost_backend *b)
{
	uint64_t features = UINT64_C(1) << VHOST_PROTOCOL_F_MQ |
		UINT64_C(1) << VHOST_PROTOCOL_F_REPLY_ACK |
		UINT64_C(1) << VHOST_PROTOCOL_F_RESET_DEVICE;

	if (b->dev->config_bytes)
		features |= UINT64_C(1) << VHOST_PROTOCOL_F_CONFIG;
	return features;
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
	vhost_vrings_stop(b);
	vhost_vring_drop_kick(v);
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
	ret = vhost_vring_set_kick(v, m->fds[0]);
	if (ret < 0)
		return ret;
	(void)steal_fd(&m->fds[0]);
	return vhost_vring_update(b, (unsigned)(v - b->vrings));
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
		vhost_signal(fresh);
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
		return vhost_vring_update(b, (unsigned)(v - b->vrings));
	if (b->dev->queues[m->payload.state.index].running || b->dev->broken)
		vhost_vrings_stop(b);
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
	vhost_vrings_stop(b);
	for (unsigned i = 0; i < b->dev->n_queues; i++) {
		struct vhost_vring *v = &b->vrings[i];
		vhost_vring_drop_kick(v);
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
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++)
		vhost_vring_init(b, &b->vrings[i]);
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
	/* A ring's size is the front end's affair: QEMU's virtio-mmio offers 1024, always. */
	dev->queue_size_max = VIRTQ_SIZE_MAX;
	dev->transport = &vhost_backend_transport_ops;
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
