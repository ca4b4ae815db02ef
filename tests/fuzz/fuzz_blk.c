/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-blk requests on a small disk: chains from a queue that does anything, served in the
 * fuzzer's own thread, or (by a bit of the first byte) by the device with its threads. The disk
 * must keep its length, and no request may write outside of it.
 *
 * Covers: microvm/devices/blk.c microvm/devices/blk_request.c
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "microvm/devices/blk_internal.h"
#include "tests/unit/support/fuzz_script.h"

#define DISK_SECTORS 64u
#define TAIL_BYTES   100 /* behind the last whole sector: must stay as it is */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_blk {
	struct blk_disk disk;
	struct virtq q;
};

static void serve(struct fuzz_script *script, unsigned queue)
{
	static struct virtq_chain chain;
	struct fuzz_blk *blk = script->arg;

	(void)queue;
	for (unsigned n = 0; n < 64 && virtq_pop(&blk->q, &chain) == 1; n++) {
		size_t room = chain.writable_bytes;
		int64_t written = blk_request_serve(&blk->disk, &chain);
		if (written > (int64_t)room)
			abort();
		if (written >= 0)
			virtq_push(&blk->q, chain.head, (uint32_t)written);
		(void)virtq_should_interrupt(&blk->q);
	}
}

static void check_disk(const struct blk_disk *disk)
{
	uint8_t tail[TAIL_BYTES];
	struct stat st;

	if (fstat(disk->fd, &st) < 0 || st.st_size != DISK_SECTORS * 512 + TAIL_BYTES)
		abort();
	if (fd_pread_all(disk->fd, tail, sizeof(tail), DISK_SECTORS * 512) < 0)
		abort();
	for (unsigned i = 0; i < sizeof(tail); i++)
		if (tail[i] != 0x77)
			abort();
}

/* The device has the disk's descriptor. */
static void run_device(struct fake_transport *fake, const struct blk_disk *disk, uint64_t features,
	struct fuzz_input *in)
{
	struct virtio_device *dev;
	struct loop loop;

	if (loop_init(&loop) < 0)
		abort();
	const struct blk_config config = {
		.loop = &loop, .fd = dup(disk->fd), .readonly = disk->readonly, .threads = 2};
	if (blk_create(&config, &dev, NULL) < 0 || blk_launch(dev, false) < 0 ||
		fake_transport_init(fake, dev, 16, features) < 0)
		abort();
	struct fuzz_script script = {
		.fake = fake, .loop = &loop, .features = features, .n_queues = 1};
	fuzz_script_run(&script, in);
	fake_transport_fini(fake);
	blk_free(dev);
	loop_fini(&loop);
}

/* ... or nobody but us. */
static void run_requests(
	struct fake_transport *fake, struct fuzz_blk *blk, uint64_t features, struct fuzz_input *in)
{
	if (fake_rings_init(fake, 1, 16) < 0 ||
		virtq_start(&blk->q, &fake->memory, &fake->queues[0].layout, features, 0) < 0)
		abort();
	struct fuzz_script script = {.fake = fake, .n_queues = 1, .arg = blk, .kick = serve};
	fuzz_script_run(&script, in);
	fake_transport_fini(fake);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fake_transport fake;
	static uint8_t content[DISK_SECTORS * 512 + TAIL_BYTES];
	struct fuzz_input in = {data, size};
	struct fuzz_blk blk = {.disk = {.sectors = DISK_SECTORS, .serial = "fuzz"}};
	uint8_t options = fuzz_u8(&in);
	uint64_t features =
		FAKE_F_VERSION_1 | FAKE_F_INDIRECT | (options & 1 ? FAKE_F_EVENT_IDX : 0);

	memset(content, 0x77, sizeof(content));
	blk.disk.fd = fd_memfile("fuzz-disk", content, sizeof(content));
	blk.disk.readonly = options & 2;
	blk.disk.write_through = options & 4;
	if (blk.disk.fd < 0)
		abort();
	if (options & 8)
		run_device(&fake, &blk.disk, features, &in);
	else
		run_requests(&fake, &blk, features, &in);
	check_disk(&blk.disk);
	close(blk.disk.fd);
	return 0;
}
