/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network device over a stream, run in the fuzzer's thread: a driver that does anything to its
 * three queues, and a network that sends and takes anything. What leaves the device must be whole
 * frames behind their lengths, whatever the driver did, resets in the middle of a frame included.
 *
 * Covers: microvm/devices/net.c microvm/devices/net_pair.c microvm/devices/net_ctrl.c microvm/devices/net_rx.c
 *   microvm/devices/net_tx.c microvm/devices/net_stream.c
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "tests/unit/support/fuzz_script.h"
#include "tests/unit/support/net_driver.h"

#define TURNS_MAX 999u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum own_step { STEP_FRAME, STEP_BYTES, STEP_TAKE, STEP_RECEIVE_BUFFERS, STEP_COMMAND };

struct fuzz_net {
	struct net_driver d;
	uint32_t frame_left; /* of the frame that the network is reading */
	uint8_t length[4];
	unsigned n_length;
};

static void run(struct fuzz_net *f)
{
	/* Nothing that a driver or a network does may keep the device busy for ever. */
	if (net_driver_run(&f->d) > TURNS_MAX)
		abort();
}

/* What the device has sent, checked byte by byte. */
static void take(struct fuzz_net *f)
{
	static uint8_t bytes[4096];
	ssize_t n = f->d.peer < 0 ? 0 : recv(f->d.peer, bytes, sizeof(bytes), MSG_DONTWAIT);

	for (ssize_t at = 0; at < n;) {
		if (f->frame_left) {
			size_t left = (size_t)(n - at);
			size_t part = left < f->frame_left ? left : f->frame_left;
			f->frame_left -= (uint32_t)part;
			at += (ssize_t)part;
			continue;
		}
		f->length[f->n_length++] = bytes[at++];
		if (f->n_length < 4)
			continue;
		uint32_t len_be;
		memcpy(&len_be, f->length, 4);
		f->frame_left = be32toh(len_be);
		f->n_length = 0;
		if (f->frame_left < NET_ETH_BYTES || f->frame_left > NET_FRAME_MAX)
			abort();
	}
}

static void send_frame(struct fuzz_net *f, struct fuzz_input *in)
{
	static uint8_t wire[4 + NET_FRAME_MAX];
	uint32_t len = fuzz_u16(in), len_be = htobe32(len);

	memcpy(wire, &len_be, 4);
	if (len && f->d.peer >= 0)
		(void)!send(f->d.peer, wire, 4 + len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void step(struct fuzz_script *script, unsigned op, struct fuzz_input *in)
{
	struct fuzz_net *f = script->arg;
	const uint8_t *bytes;
	size_t n;

	switch (op) {
	case STEP_FRAME:
		send_frame(f, in);
		break;
	case STEP_BYTES:
		n = fuzz_bytes(in, fuzz_u8(in) % 16, &bytes);
		if (f->d.peer >= 0)
			(void)!send(f->d.peer, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	case STEP_TAKE:
		take(f);
		break;
	case STEP_RECEIVE_BUFFERS:
		net_driver_post(&f->d, 0, fuzz_u8(in) % 16, fuzz_u16(in) % 4096 + 1);
		break;
	case STEP_COMMAND:
		n = fuzz_bytes(in, 16, &bytes);
		if (n >= 2)
			(void)net_driver_command(&f->d, bytes[0], bytes[1], bytes + 2, n - 2);
		break;
	default:
		/* One in so many ends the network. */
		if (fuzz_u8(in) == 0xff)
			fd_closep(&f->d.peer);
	}
	run(f);
}

static void kick(struct fuzz_script *script, unsigned queue)
{
	struct fuzz_net *f = script->arg;

	fake_kick(script->fake, queue);
	run(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz_net f;
	struct fuzz_input in = {data, size};
	uint8_t options = fuzz_u8(&in);
	uint64_t features = FAKE_F_VERSION_1 | FAKE_F_INDIRECT;

	features |= options & 1 ? FAKE_F_EVENT_IDX : 0;
	features |= options & 2 ? NET_FEATURE(VIRTIO_NET_F_MRG_RXBUF) : 0;
	features |= NET_FEATURE(VIRTIO_NET_F_CTRL_VQ) | NET_FEATURE(VIRTIO_NET_F_CTRL_RX) |
		NET_FEATURE(VIRTIO_NET_F_CTRL_MAC_ADDR);
	memset(&f, 0, sizeof(f));
	log_init("fuzz", 2, LOG_LEVEL_ERROR);
	if (net_driver_stream(&f.d, features) < 0)
		abort();
	struct fuzz_script script = {
		.fake = &f.d.fake,
		.features = features,
		.n_queues = 3,
		.arg = &f,
		.step = step,
		.kick = kick,
	};
	fuzz_script_run(&script, &in);
	for (unsigned i = 0; i < 100; i++) {
		take(&f);
		run(&f);
	}
	net_driver_fini(&f.d);
	return 0;
}
