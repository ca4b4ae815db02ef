/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost-user front end of virtio-fs; see frontend_fs.h.
 *
 * Everything that a start needs is sent in two bursts, one for what the back end can do and one
 * for the set-up, whose last message asks for an acknowledgement: the back end handles messages in
 * order and closes the connection at the first that fails, so one answer speaks for all. Nothing
 * is exchanged before the driver starts the device; hvrun-fs may come up while the kernel boots.
 *
 * The exchange happens on whatever thread the transport calls from (a vCPU's), with the device's
 * lock held, and is bounded in time. The loop watches the same socket for its end only, never for
 * data, so the two don't meet.
 *
 * User addresses of this front end are guest-physical addresses: the back end maps memory by
 * descriptor, and has no use for where it lies in this process.
 */
#include "microvm/vhost/frontend_fs.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/fd.h"
#include "base/log.h"
#include "microvm/vhost/message.h"

#define EXCHANGE_TIMEOUT_MS 10000

struct fs_config_space {
	char tag[FRONTEND_FS_TAG_BYTES];
	uint32_t num_request_queues; /* little-endian */
};

struct frontend_fs {
	struct virtio_device dev;
	int sock_fd;
	struct loop_source ended; /* watches sock_fd for its end */
	struct vhost_reader reader;
	struct fs_config_space space;
	char tag[FRONTEND_FS_TAG_BYTES + 1];
	void (*lost)(void *arg, const char *why);
	void *arg;
	/* Written before the socket is shut down, read by the loop when it sees that: dev.lock. */
	struct err why;
};

static struct frontend_fs *fs_of(struct virtio_device *dev)
{
	return (struct frontend_fs *)(void *)((char *)dev - offsetof(struct frontend_fs, dev));
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int send_message(struct frontend_fs *fs, struct vhost_message *m)
{
	return vhost_message_send(fs->sock_fd, m, EXCHANGE_TIMEOUT_MS);
}

static int send_u64(struct frontend_fs *fs, uint32_t request, uint64_t value)
{
	struct vhost_message m;

	vhost_message_init(&m, request, sizeof(m.payload.u64));
	m.payload.u64 = value;
	return send_message(fs, &m);
}

static int send_empty(struct frontend_fs *fs, uint32_t request)
{
	struct vhost_message m;

	vhost_message_init(&m, request, 0);
	return send_message(fs, &m);
}

static int send_state(
	struct frontend_fs *fs, uint32_t request, unsigned index, uint32_t num, uint32_t flags)
{
	struct vhost_message m;

	vhost_message_init(&m, request, sizeof(m.payload.state));
	m.header.flags |= flags;
	m.payload.state = (struct vhost_vring_state){index, num};
	return send_message(fs, &m);
}

static int send_fd(struct frontend_fs *fs, uint32_t request, unsigned index, int fd)
{
	struct vhost_message m;

	vhost_message_init(&m, request, sizeof(m.payload.u64));
	m.payload.u64 = index;
	m.fds[0] = fd;
	m.n_fds = 1;
	return send_message(fs, &m);
}

/* Waits for the reply to request, which is the next message: payload in fs->reader.message. */
static int receive_reply(struct frontend_fs *fs, uint32_t request, uint32_t payload_bytes)
{
	struct vhost_message *m = &fs->reader.message;
	int64_t deadline_ms = now_ms() + EXCHANGE_TIMEOUT_MS;
	int ret;

	while ((ret = vhost_reader_receive(&fs->reader, fs->sock_fd)) == 0) {
		struct pollfd p = {.fd = fs->sock_fd, .events = POLLIN};
		int64_t left = deadline_ms - now_ms();
		if (left <= 0)
			return -ETIMEDOUT;
		if (poll(&p, 1, (int)left) < 0 && errno != EINTR)
			return -errno;
	}
	if (ret < 0)
		return ret;
	vhost_message_close(m); /* no reply brings descriptors */
	if (m->header.request != request || !(m->header.flags & VHOST_FLAG_REPLY) ||
		m->header.payload_bytes != payload_bytes)
		return -EPROTO;
	return 0;
}

/* What the back end can do, against what was promised to the driver. */
static int check_back_end(struct frontend_fs *fs, struct err *e)
{
	static const uint32_t questions[] = {
		VHOST_GET_FEATURES, VHOST_GET_PROTOCOL_FEATURES, VHOST_GET_QUEUE_NUM};
	uint64_t answers[3] = {0};
	uint64_t needed = fs->dev.features | UINT64_C(1) << VHOST_F_PROTOCOL_FEATURES;
	int ret = 0;

	for (unsigned i = 0; i < 3 && !ret; i++)
		ret = send_empty(fs, questions[i]);
	for (unsigned i = 0; i < 3 && !ret; i++) {
		ret = receive_reply(fs, questions[i], sizeof(uint64_t));
		answers[i] = fs->reader.message.payload.u64;
	}
	if (ret < 0)
		return err_sys(e, -ret, "hvrun-fs: asking for its features");
	if (needed & ~answers[0])
		return err_set(e, ENOTSUP, "hvrun-fs: it lacks the features 0x%llx",
			(unsigned long long)(needed & ~answers[0]));
	if (!(answers[1] & UINT64_C(1) << VHOST_PROTOCOL_F_REPLY_ACK))
		return err_set(e, ENOTSUP, "hvrun-fs: it does not acknowledge messages");
	if (answers[2] < fs->dev.n_queues)
		return err_set(e, ENOTSUP, "hvrun-fs: it has %llu queues instead of %u",
			(unsigned long long)answers[2], fs->dev.n_queues);
	return 0;
}

static int send_memory(struct frontend_fs *fs)
{
	const struct guest_memory *memory = fs->dev.memory;
	struct vhost_message m;

	if (memory->n_regions > VHOST_MEMORY_REGIONS_MAX)
		return -E2BIG;
	vhost_message_init(&m, VHOST_SET_MEM_TABLE,
		(uint32_t)(offsetof(struct vhost_memory, regions) +
			memory->n_regions * sizeof(struct vhost_memory_region)));
	m.payload.memory.n_regions = memory->n_regions;
	for (unsigned i = 0; i < memory->n_regions; i++) {
		const struct guest_memory_region *r = &memory->regions[i];
		m.payload.memory.regions[i] = (struct vhost_memory_region){
			.gpa = r->gpa,
			.len_bytes = r->len_bytes,
			.user_addr = r->gpa,
			.offset_bytes = r->offset_bytes,
		};
		m.fds[m.n_fds++] = r->fd;
	}
	return send_message(fs, &m);
}

static int send_ring(struct frontend_fs *fs, unsigned index)
{
	const struct virtq_layout *layout = &fs->dev.layouts[index];
	struct vhost_message m;
	int ret = send_state(fs, VHOST_SET_VRING_NUM, index, layout->size, 0);

	if (!ret)
		ret = send_state(fs, VHOST_SET_VRING_BASE, index, 0, 0);
	if (ret < 0)
		return ret;
	vhost_message_init(&m, VHOST_SET_VRING_ADDR, sizeof(m.payload.addr));
	m.payload.addr = (struct vhost_vring_addr){
		.index = index,
		.desc = layout->desc_gpa,
		.avail = layout->avail_gpa,
		.used = layout->used_gpa,
	};
	ret = send_message(fs, &m);
	if (!ret)
		ret = send_fd(fs, VHOST_SET_VRING_CALL, index, fs->dev.call_fds[index]);
	if (!ret)
		ret = send_fd(fs, VHOST_SET_VRING_KICK, index, fs->dev.kick_fds[index]);
	return ret;
}

static int hand_over(struct frontend_fs *fs, struct err *e)
{
	struct virtio_device *dev = &fs->dev;
	unsigned last = VIRTIO_QUEUES_MAX;
	int ret = send_u64(fs, VHOST_SET_PROTOCOL_FEATURES,
		UINT64_C(1) << VHOST_PROTOCOL_F_REPLY_ACK | UINT64_C(1) << VHOST_PROTOCOL_F_MQ);

	if (!ret)
		ret = send_empty(fs, VHOST_SET_OWNER);
	if (!ret)
		ret = send_u64(fs, VHOST_SET_FEATURES,
			dev->features | UINT64_C(1) << VHOST_F_PROTOCOL_FEATURES);
	if (!ret)
		ret = send_memory(fs);
	for (unsigned i = 0; i < dev->n_queues && !ret; i++) {
		if (!dev->queue_ready[i])
			continue;
		ret = send_ring(fs, i);
		last = i;
	}
	for (unsigned i = 0; i < dev->n_queues && !ret; i++)
		if (dev->queue_ready[i])
			ret = send_state(fs, VHOST_SET_VRING_ENABLE, i, 1,
				i == last ? VHOST_FLAG_NEED_REPLY : 0);
	if (!ret && last < VIRTIO_QUEUES_MAX) {
		ret = receive_reply(fs, VHOST_SET_VRING_ENABLE, sizeof(uint64_t));
		if (!ret && fs->reader.message.payload.u64)
			ret = -EIO;
	}
	return ret < 0 ? err_sys(e, -ret, "hvrun-fs: handing the queues over") : 0;
}

static int fs_start(struct virtio_device *dev)
{
	struct frontend_fs *fs = fs_of(dev);
	struct err e = {0};
	int ret = check_back_end(fs, &e);

	if (!ret)
		ret = hand_over(fs, &e);
	if (ret < 0 && !fs->why.code) {
		/* The loop sees the end of the connection and reports this reason. */
		fs->why = e;
		shutdown(fs->sock_fd, SHUT_RDWR);
	}
	return ret;
}

/* After the replies the back end touches neither rings nor memory any more. */
static void fs_stop(struct virtio_device *dev)
{
	struct frontend_fs *fs = fs_of(dev);
	int ret = 0;

	for (unsigned i = 0; i < dev->n_queues && !ret; i++)
		if (dev->queue_ready[i])
			ret = send_state(fs, VHOST_GET_VRING_BASE, i, 0, 0);
	for (unsigned i = 0; i < dev->n_queues && !ret; i++)
		if (dev->queue_ready[i])
			ret = receive_reply(
				fs, VHOST_GET_VRING_BASE, sizeof(struct vhost_vring_state));
	if (ret < 0)
		log_debug("fs: stopping the queues: %s", strerror(-ret));
}

/* Rings of a remote device are served elsewhere. */
static void fs_kick(struct virtio_device *dev, unsigned queue)
{
	(void)dev;
	(void)queue;
}

static void fs_config_read(struct virtio_device *dev, uint32_t offset, void *dst, uint32_t len)
{
	memcpy(dst, (const char *)&fs_of(dev)->space + offset, len);
}

static const struct virtio_device_ops fs_ops = {
	.config_read = fs_config_read,
	.start = fs_start,
	.kick = fs_kick,
	.stop = fs_stop,
};

static void fs_sock_ended(struct loop_source *source, uint32_t events)
{
	struct frontend_fs *fs = (struct frontend_fs *)(void *)((char *)source -
		offsetof(struct frontend_fs, ended));
	struct err why;

	(void)events;
	/* The descriptor stays open: a vCPU may be about to send, and shall get EPIPE. */
	loop_del(fs->dev.loop, source);
	pthread_mutex_lock(&fs->dev.lock);
	why = fs->why;
	pthread_mutex_unlock(&fs->dev.lock);
	fs->lost(fs->arg, why.code ? why.text : "hvrun-fs ended");
}

int frontend_fs_create(
	const struct frontend_fs_config *config, struct virtio_device **out, struct err *e)
{
	cleanup_close int sock = config->sock_fd;
	size_t tag_len = strlen(config->tag);

	if (!tag_len || tag_len > FRONTEND_FS_TAG_BYTES)
		return err_set(
			e, EINVAL, "fs: a tag has 1 to %d characters", FRONTEND_FS_TAG_BYTES);
	if (!config->request_queues || config->request_queues > FRONTEND_FS_QUEUES_MAX)
		return err_set(e, EINVAL, "fs: 1 to %d request queues", FRONTEND_FS_QUEUES_MAX);
	struct frontend_fs *fs = calloc(1, sizeof(*fs));
	if (!fs)
		return err_sys(e, ENOMEM, "fs");
	int ret = virtio_device_init(&fs->dev);
	if (ret < 0) {
		free(fs);
		return err_sys(e, -ret, "fs");
	}
	fs->dev.ops = &fs_ops;
	fs->dev.name = "fs";
	fs->dev.id = VIRTIO_ID_FS;
	fs->dev.offered = UINT64_C(1) << VIRTIO_F_VERSION_1 |
		UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC | UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX;
	fs->dev.config_bytes = sizeof(fs->space);
	fs->dev.n_queues = 1 + config->request_queues;
	fs->dev.queue_size_max = FRONTEND_FS_QUEUE_SIZE;
	fs->dev.remote = true;
	fs->dev.loop = config->loop;
	memcpy(fs->space.tag, config->tag, tag_len);
	memcpy(fs->tag, config->tag, tag_len);
	fs->space.num_request_queues = htole32(config->request_queues);
	fs->lost = config->lost;
	fs->arg = config->arg;
	fs->ended.ready = fs_sock_ended;
	vhost_reader_init(&fs->reader);
	ret = loop_add(config->loop, &fs->ended, sock, EPOLLRDHUP);
	if (ret < 0) {
		virtio_device_fini(&fs->dev);
		free(fs);
		return err_sys(e, -ret, "fs: socket of hvrun-fs");
	}
	fs->sock_fd = steal_fd(&sock);
	*out = &fs->dev;
	return 0;
}

void frontend_fs_free(struct virtio_device *dev)
{
	if (!dev)
		return;
	struct frontend_fs *fs = fs_of(dev);

	loop_del(dev->loop, &fs->ended);
	fd_closep(&fs->sock_fd);
	vhost_reader_fini(&fs->reader);
	virtio_device_fini(dev);
	free(fs);
}

int frontend_fs_socket(const struct virtio_device *dev)
{
	return ((const struct frontend_fs *)(const void *)dev)->sock_fd;
}

const char *frontend_fs_tag(const struct virtio_device *dev)
{
	return ((const struct frontend_fs *)(const void *)dev)->tag;
}
