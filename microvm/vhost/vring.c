/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rings of the vhost-user back end.
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
#include "microvm/vhost/vring.h"

#include <errno.h>
#include <stddef.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

void vhost_signal(int fd)
{
	uint64_t one = 1;
	ssize_t n = fd >= 0 ? write(fd, &one, sizeof(one)) : 0;

	(void)n; /* full or gone: the front end's affair */
}

static void backend_interrupt(struct virtio_device *dev, unsigned queue)
{
	struct vhost_backend *b = dev->transport_data;

	pthread_mutex_lock(&b->call_lock);
	vhost_signal(b->vrings[queue].call_fd);
	pthread_mutex_unlock(&b->call_lock);
}

/* The protocol has no way to say that the whole device broke: every ring says so. */
static void backend_needs_reset(struct virtio_device *dev)
{
	struct vhost_backend *b = dev->transport_data;

	pthread_mutex_lock(&b->call_lock);
	for (unsigned i = 0; i < dev->n_queues; i++)
		vhost_signal(b->vrings[i].err_fd);
	pthread_mutex_unlock(&b->call_lock);
}

/* Needs a second channel that no front end of ours opens; our configurations don't change. */
static void backend_config_changed(struct virtio_device *dev)
{
	log_debug("%s: the front end can't be told of a changed configuration", dev->name);
}

const struct virtio_transport_ops vhost_backend_transport_ops = {
	.interrupt = backend_interrupt,
	.config_changed = backend_config_changed,
	.needs_reset = backend_needs_reset,
};

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

int vhost_vring_update(struct vhost_backend *b, unsigned index)
{
	if (b->dev->broken)
		return 0;
	return b->dev->started ? start_late_ring(b, index) : start_device(b);
}

void vhost_vrings_stop(struct vhost_backend *b)
{
	struct virtio_device *dev = b->dev;
	bool was_running[VIRTIO_QUEUES_MAX] = {false};

	for (unsigned i = 0; i < dev->n_queues; i++)
		was_running[i] = dev->queues[i].running;
	virtio_device_stop(dev);
	for (unsigned i = 0; i < dev->n_queues; i++) {
		if (was_running[i])
			b->vrings[i].base = dev->queues[i].last_avail;
		dev->queue_ready[i] = false;
	}
}

void vhost_vring_drop_kick(struct vhost_vring *v)
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

int vhost_vring_set_kick(struct vhost_vring *v, int kick_fd)
{
	vhost_vring_drop_kick(v);
	return loop_add(v->backend->loop, &v->kick, kick_fd, EPOLLIN | EPOLLET);
}

void vhost_vring_init(struct vhost_backend *b, struct vhost_vring *v)
{
	v->backend = b;
	v->kick.fd = v->call_fd = v->err_fd = -1;
	v->kick.ready = vring_kicked;
}
