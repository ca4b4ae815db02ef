/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network device over two queues of a tap, run in the fuzzer's thread: a driver that does
 * anything to its five queues. What leaves for the tap must have a header that a kernel may
 * believe: no more asked of it than was negotiated, and nothing behind the frame's end. The taps
 * are sockets that keep frames apart, and ioctl is the fuzzer's own.
 *
 * Covers: microvm/devices/net.c microvm/devices/net_pair.c microvm/devices/net_tap.c microvm/devices/net_ctrl.c
 *   microvm/devices/net_tx.c
 */
#include <endian.h>
#include <errno.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "tests/unit/support/fuzz_script.h"
#include "tests/unit/support/net_driver.h"

#define PAIRS	  2u
#define TURNS_MAX 999u
#define TAP_OFFLOADS                                                                               \
	(TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | 0x20u /* USO4 */ | 0x40u /* USO6   \
											  */)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum own_step { STEP_FRAME, STEP_TAKE, STEP_RECEIVE_BUFFERS, STEP_COMMAND };

struct fuzz_tap {
	struct net_driver d;
	int peers[PAIRS];
	unsigned long offloads; /* of the tap */
	bool fails;		/* what is asked of it next */
};

static struct fuzz_tap fuzz;

/* In the place of libc's, whoever calls it. */
int ioctl(int fd, unsigned long request, ...)
{
	va_list args;

	(void)fd;
	va_start(args, request);
	void *arg = va_arg(args, void *);
	va_end(args);
	if (request == TUNGETIFF) {
		((struct ifreq *)arg)->ifr_flags =
			(short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE);
		return 0;
	}
	if (fuzz.fails && (request == TUNSETOFFLOAD || request == TUNSETQUEUE)) {
		errno = fuzz.offloads & 1 ? EBADFD : EINVAL;
		return -1;
	}
	if (request != TUNSETOFFLOAD)
		return 0;
	/* As the kernel wants it. */
	fuzz.offloads = (unsigned long)(uintptr_t)arg;
	if ((fuzz.offloads & ~(unsigned long)TAP_OFFLOADS) ||
		(fuzz.offloads && !(fuzz.offloads & TUN_F_CSUM)))
		abort();
	return 0;
}

static void run(void)
{
	/* Nothing that a driver does may keep the device busy for ever. */
	if (net_driver_run(&fuzz.d) > TURNS_MAX)
		abort();
}

static uint64_t feature_of(uint8_t gso_type)
{
	switch (gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return NET_FEATURE(VIRTIO_NET_F_HOST_TSO4);
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return NET_FEATURE(VIRTIO_NET_F_HOST_TSO6);
	case NET_HDR_GSO_UDP_L4:
		return NET_FEATURE(NET_F_HOST_USO);
	default:
		abort();
	}
}

static void check_frame(const struct virtio_net_hdr_v1 *h, size_t frame_bytes)
{
	uint64_t features = fuzz.d.net->features;
	uint64_t needed = h->flags ? NET_FEATURE(VIRTIO_NET_F_CSUM) : 0;

	if (frame_bytes < NET_ETH_BYTES || frame_bytes > NET_FRAME_MAX || h->num_buffers ||
		(h->flags & ~VIRTIO_NET_HDR_F_NEEDS_CSUM))
		abort();
	if (h->flags && (size_t)le16toh(h->csum_start) + le16toh(h->csum_offset) + 2 > frame_bytes)
		abort();
	if (!h->flags && (h->csum_start || h->csum_offset))
		abort();
	if (h->gso_type)
		needed |= feature_of(h->gso_type);
	if (h->gso_type & VIRTIO_NET_HDR_GSO_ECN)
		needed |= NET_FEATURE(VIRTIO_NET_F_HOST_ECN);
	if ((needed & ~features) || le16toh(h->hdr_len) > frame_bytes ||
		(h->gso_type ? !h->gso_size : h->gso_size || h->hdr_len))
		abort();
}

static void take(unsigned pair)
{
	static uint8_t bytes[NET_HEADER_BYTES + NET_FRAME_MAX + 1];
	struct virtio_net_hdr_v1 header;
	ssize_t n;

	while (fuzz.peers[pair] >= 0 &&
		(n = recv(fuzz.peers[pair], bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
		if (n < (ssize_t)sizeof(header))
			abort();
		memcpy(&header, bytes, sizeof(header));
		check_frame(&header, (size_t)n - sizeof(header));
	}
}

/* From the host's kernel: a header, as far as the input goes, and a frame of any length. */
static void send_frame(unsigned pair, struct fuzz_input *in)
{
	static uint8_t wire[NET_HEADER_BYTES + UINT16_MAX];
	size_t len = fuzz_u16(in);
	const uint8_t *header;
	size_t n = fuzz_bytes(in, NET_HEADER_BYTES, &header);

	memset(wire, 0, NET_HEADER_BYTES);
	memcpy(wire, header, n);
	if (fuzz.peers[pair] >= 0)
		(void)!send(fuzz.peers[pair], wire, NET_HEADER_BYTES + len,
			MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void step(struct fuzz_script *script, unsigned op, struct fuzz_input *in)
{
	unsigned pair = fuzz_u8(in) % PAIRS;
	const uint8_t *bytes;
	size_t n;

	(void)script;
	switch (op) {
	case STEP_FRAME:
		send_frame(pair, in);
		break;
	case STEP_TAKE:
		take(pair);
		break;
	case STEP_RECEIVE_BUFFERS:
		net_driver_post(&fuzz.d, pair, fuzz_u8(in) % 16, fuzz_u16(in) % 4096 + 1);
		break;
	case STEP_COMMAND:
		n = fuzz_bytes(in, 16, &bytes);
		if (n >= 2)
			(void)net_driver_command(&fuzz.d, bytes[0], bytes[1], bytes + 2, n - 2);
		break;
	default:
		/* One in so many ends the tap's queue. */
		fuzz.fails = fuzz_u8(in) & 1;
		if (fuzz_u8(in) == 0xff)
			fd_closep(&fuzz.peers[pair]);
	}
	run();
}

static void kick(struct fuzz_script *script, unsigned queue)
{
	fake_kick(script->fake, queue);
	run();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	uint8_t options = fuzz_u8(&in);
	int fds[PAIRS];
	/* All, or some of them. */
	uint64_t features = options & 1 ? UINT64_MAX : fuzz_u64(&in) | FAKE_F_VERSION_1;

	memset(&fuzz, 0, sizeof(fuzz));
	log_init("fuzz", 2, LOG_LEVEL_ERROR);
	for (unsigned i = 0; i < PAIRS; i++) {
		int pair[2];
		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
			abort();
		fds[i] = pair[0];
		fuzz.peers[i] = pair[1];
	}
	if (net_driver_taps(&fuzz.d, fds, PAIRS, features) < 0)
		abort();
	struct fuzz_script script = {
		.fake = &fuzz.d.fake,
		.features = features & fuzz.d.dev->offered,
		.n_queues = 2 * PAIRS + 1,
		.arg = &fuzz,
		.step = step,
		.kick = kick,
	};
	fuzz_script_run(&script, &in);
	for (unsigned i = 0; i < PAIRS; i++) {
		take(i);
		run();
	}
	net_driver_fini(&fuzz.d);
	for (unsigned i = 0; i < PAIRS; i++)
		fd_closep(&fuzz.peers[i]);
	return 0;
}
