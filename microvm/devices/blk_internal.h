/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the block device: blk.c is the device and its threads, blk_request.c what one request
 * does to the disk, without a lock and without a word on queues but the chain.
 */
#ifndef MICROVM_DEVICES_BLK_INTERNAL_H
#define MICROVM_DEVICES_BLK_INTERNAL_H

#include <linux/virtio_blk.h>
#include <stdbool.h>
#include <stdint.h>

#include "microvm/confine/filter.h"
#include "microvm/devices/blk.h"

#define BLK_SECTOR_BYTES 512u
/* Of one discard or write-zeroes request: what a disk that must write them does in a moment. */
#define BLK_ZERO_SECTORS_MAX (UINT32_C(128) << 11)

/* What a request needs to know; constant while the device runs. */
struct blk_disk {
	int fd;
	bool readonly;
	bool write_through; /* the driver can't flush: each write must be safe when it is done */
	uint64_t sectors;
	char serial[BLK_SERIAL_BYTES];
};

extern const struct calls blk_request_calls; /* of blk_request_serve */

/*
 * Serves the request in chain (which it cuts): the bytes written into it, status included, or
 * -EPROTO when the chain has no room for a header or a status.
 */
int64_t blk_request_serve(const struct blk_disk *disk, struct virtq_chain *chain);

#endif
