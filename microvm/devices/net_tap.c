/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queues of a tap as a back end. A frame has the same header there as in the guest's queue, so
 * both directions are one system call between the tap and guest memory.
 *
 * A tap that is down takes nothing (EIO) and is not writable for poll(2) until it is up: that is
 * how the link is known, without a look at the interface in its network namespace.
 */
#include <errno.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include "base/fd.h"
#include "base/log.h"
#include "microvm/confine/filter.h"
#include "microvm/devices/net_internal.h"

/* Newer than the kernel headers that this is built with. */
#define OFFLOAD_USO4 0x20u
#define OFFLOAD_USO6 0x40u

static const struct call tap_calls[] = {
	CALL(readv),
	CALL(writev),
	CALL(poll),
	CALL_IF_EQUAL(ioctl, 1, TUNSETOFFLOAD),
	CALL_IF_EQUAL(ioctl, 1, TUNSETQUEUE),
};
const struct calls net_tap_calls = CALLS(tap_calls);

/* Linux 6.2 and later. Leaves the tap as it was: no offloads. */
static bool has_uso(int fd)
{
	bool has = ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | OFFLOAD_USO4 | OFFLOAD_USO6) == 0;

	return has && ioctl(fd, TUNSETOFFLOAD, 0) == 0;
}

static uint64_t tap_features(const struct net_config *config)
{
	uint64_t features = NET_FEATURE(VIRTIO_NET_F_CSUM) | NET_FEATURE(VIRTIO_NET_F_HOST_TSO4) |
		NET_FEATURE(VIRTIO_NET_F_HOST_TSO6) | NET_FEATURE(VIRTIO_NET_F_HOST_ECN) |
		NET_FEATURE(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) | NET_GUEST_OFFLOADS;

	if (has_uso(config->fds[0]))
		features |= NET_FEATURE(NET_F_HOST_USO);
	else
		features &= ~(NET_FEATURE(NET_F_GUEST_USO4) | NET_FEATURE(NET_F_GUEST_USO6));
	return features;
}

static int tap_open(struct net_pair *pair, struct err *e)
{
	const short needed = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	struct ifreq request = {0};
	int header_bytes = NET_HEADER_BYTES, little_endian = 1;

	if (ioctl(pair->fd, TUNGETIFF, &request) < 0)
		return err_set(e, EINVAL, "descriptor %d is not the queue of a tap: %s", pair->fd,
			strerror(errno));
	if ((request.ifr_flags & needed) != needed)
		return err_set(e, EINVAL,
			"tap %.*s: must be a tap with headers (IFF_TAP, "
			"IFF_NO_PI, IFF_VNET_HDR)",
			IFNAMSIZ, request.ifr_name);
	if (pair->net->config.n_fds > 1 && !(request.ifr_flags & IFF_MULTI_QUEUE))
		return err_set(e, EINVAL, "tap %.*s: several queues need IFF_MULTI_QUEUE", IFNAMSIZ,
			request.ifr_name);
	if (pair->net->config.idle)
		return 0;
	int ret = fd_set_nonblock(pair->fd, true);
	if (!ret &&
		(ioctl(pair->fd, TUNSETVNETHDRSZ, &header_bytes) < 0 ||
			ioctl(pair->fd, TUNSETVNETLE, &little_endian) < 0))
		ret = -errno;
	return ret < 0 ? err_sys(e, -ret, "tap %.*s", IFNAMSIZ, request.ifr_name) : 0;
}

static ssize_t tap_receive(struct net_pair *pair, struct iovec *iov, unsigned n)
{
	ssize_t ret;

	do
		ret = readv(pair->fd, iov, (int)n);
	while (ret < 0 && errno == EINTR);
	if (ret > 0)
		return ret;
	/*
	 * EFAULT is what reading a tap that is being removed says; nothing, which no tap gives, is
	 * what a descriptor at its end does. Others are about one frame.
	 */
	return ret == 0 || errno == EBADFD || errno == EBADF || errno == EFAULT ? -EBADFD : -EAGAIN;
}

static int tap_transmit(struct net_pair *pair)
{
	ssize_t ret;

	do
		ret = writev(pair->fd, pair->tx.at, (int)pair->tx.n);
	while (ret < 0 && errno == EINTR);
	if (ret >= 0)
		return 0;
	switch (errno) {
	case EAGAIN:
		return -EAGAIN;
	case EIO: /* down */
	case ENETDOWN:
		return -ENETDOWN;
	case EBADFD: /* the tap is no more, or its network namespace */
	case EBADF:
		return -EBADFD;
	default: /* this frame is the matter: what the kernel finds wrong, or no memory for it */
		return -EINVAL;
	}
}

static int tap_set_offloads(struct net_pair *pair, uint64_t offloads)
{
	static const struct {
		unsigned bit, flag;
	} flags[] = {
		{VIRTIO_NET_F_GUEST_TSO4, TUN_F_TSO4},
		{VIRTIO_NET_F_GUEST_TSO6, TUN_F_TSO6},
		{VIRTIO_NET_F_GUEST_ECN, TUN_F_TSO_ECN},
		{NET_F_GUEST_USO4, OFFLOAD_USO4},
		{NET_F_GUEST_USO6, OFFLOAD_USO6},
	};
	unsigned long wanted = 0;

	/* All the others rely on it (5.1.3.1), and the kernel refuses them without. */
	if (offloads & NET_FEATURE(VIRTIO_NET_F_GUEST_CSUM)) {
		wanted = TUN_F_CSUM;
		for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
			if (offloads & NET_FEATURE(flags[i].bit))
				wanted |= flags[i].flag;
		/* ECN is only a property of TSO; the kernel knows USO for both or neither. */
		if (!(wanted & (TUN_F_TSO4 | TUN_F_TSO6)))
			wanted &= ~(unsigned long)TUN_F_TSO_ECN;
		if ((wanted & (OFFLOAD_USO4 | OFFLOAD_USO6)) != (OFFLOAD_USO4 | OFFLOAD_USO6))
			wanted &= ~(unsigned long)(OFFLOAD_USO4 | OFFLOAD_USO6);
	}
	return ioctl(pair->fd, TUNSETOFFLOAD, wanted) < 0 ? -errno : 0;
}

/* A queue that is not detached gets its share of the frames, read or not. */
static int tap_set_active(struct net_pair *pair, bool active)
{
	struct ifreq request = {
		.ifr_flags = active ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE,
	};

	if (ioctl(pair->fd, TUNSETQUEUE, &request) == 0)
		return 0;
	/* What is not attached needs no detaching: the tap is no more, which reading it will say.
	 */
	return !active && errno == EINVAL ? 0 : -errno;
}

static bool tap_is_up(const struct net_pair *pair)
{
	struct pollfd p = {.fd = pair->fd, .events = POLLOUT};

	return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) && !(p.revents & POLLERR);
}

const struct net_backend_ops net_tap_ops = {
	.features = tap_features,
	.open = tap_open,
	.receive = tap_receive,
	.transmit = tap_transmit,
	.set_offloads = tap_set_offloads,
	.set_active = tap_set_active,
	.is_up = tap_is_up,
};
