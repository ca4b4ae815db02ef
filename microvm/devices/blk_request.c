/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One virtio-blk request (virtio 1.2, 5.2.6): header, data, status byte, in descriptors cut at any
 * place. Sector and length are the guest's: both are checked against the capacity before they
 * become an offset.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "microvm/devices/blk_internal.h"

#define HEADER_BYTES	sizeof(struct virtio_blk_outhdr)
#define ZERO_PAGE_BYTES 4096u
#define ZERO_PAGES	64u /* the same page, so many times in one write */

static const struct call request_calls[] = {
	CALL(preadv),
	CALL(pwritev),
	CALL(fdatasync),
	CALL(fallocate),
};
const struct calls blk_request_calls = CALLS(request_calls);

static bool range_ok(const struct blk_disk *disk, uint64_t sector, uint64_t n_sectors)
{
	return sector <= disk->sectors && n_sectors <= disk->sectors - sector;
}

static uint8_t status_of(int ret)
{
	return (uint8_t)(ret < 0 ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK);
}

/* All of the segments, from or to offset; 0 or -errno (-EIO at the end of the file). */
static int transfer(const struct blk_disk *disk, struct iovec *iov, unsigned n_iov,
	uint64_t offset_bytes, bool write)
{
	while (n_iov) {
		ssize_t n = write ? pwritev(disk->fd, iov, (int)n_iov, (off_t)offset_bytes)
				  : preadv(disk->fd, iov, (int)n_iov, (off_t)offset_bytes);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		offset_bytes += (uint64_t)n;
		n_iov = virtq_iov_cut(&iov, n_iov, (size_t)n, SIZE_MAX);
	}
	return 0;
}

static int flush(const struct blk_disk *disk)
{
	return fdatasync(disk->fd) < 0 ? -errno : 0;
}

/* Data segments of len bytes at sector, checked. */
static uint8_t serve_data(const struct blk_disk *disk, struct iovec *iov, unsigned n_iov,
	uint64_t len_bytes, uint64_t sector, bool write)
{
	if (len_bytes % BLK_SECTOR_BYTES || !range_ok(disk, sector, len_bytes / BLK_SECTOR_BYTES))
		return VIRTIO_BLK_S_IOERR;
	if (write && disk->readonly)
		return VIRTIO_BLK_S_IOERR;
	int ret = transfer(disk, iov, n_iov, sector * BLK_SECTOR_BYTES, write);
	if (!ret && write && disk->write_through)
		ret = flush(disk);
	return status_of(ret);
}

static int write_zeroes(const struct blk_disk *disk, uint64_t offset_bytes, uint64_t len_bytes)
{
	uint8_t page[ZERO_PAGE_BYTES] = {0};

	while (len_bytes) {
		struct iovec iov[ZERO_PAGES];
		struct iovec *part = iov;
		uint64_t now_bytes = ZERO_PAGES * ZERO_PAGE_BYTES;

		for (unsigned i = 0; i < ZERO_PAGES; i++)
			iov[i] = (struct iovec){.iov_base = page, .iov_len = sizeof(page)};
		if (now_bytes > len_bytes)
			now_bytes = len_bytes;
		unsigned n_iov = virtq_iov_cut(&part, ZERO_PAGES, 0, (size_t)now_bytes);
		int ret = transfer(disk, part, n_iov, offset_bytes, true);
		if (ret < 0)
			return ret;
		offset_bytes += now_bytes;
		len_bytes -= now_bytes;
	}
	return 0;
}

/*
 * Holes read as zeroes, in files and (so the kernel promises for fallocate) in block devices, so a
 * hole serves both requests. Where there are none, a discard is only a hint and may do nothing;
 * zeroes must be written.
 */
static int punch(const struct blk_disk *disk, uint64_t offset_bytes, uint64_t len_bytes, bool unmap,
	bool zero)
{
	int mode = unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;
	int ret;

	if (!len_bytes)
		return 0;
	do
		ret = fallocate(disk->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)offset_bytes,
			(off_t)len_bytes);
	while (ret < 0 && errno == EINTR);
	if (!ret)
		return 0;
	if (errno != EOPNOTSUPP && errno != ENOSYS)
		return -errno;
	return zero ? write_zeroes(disk, offset_bytes, len_bytes) : 0;
}

/* 5.2.6: one segment, as max_discard_seg and max_write_zeroes_seg say. */
static uint8_t serve_zero(
	const struct blk_disk *disk, const struct virtq_chain *chain, uint32_t type)
{
	struct virtio_blk_discard_write_zeroes seg;
	bool zero = type == VIRTIO_BLK_T_WRITE_ZEROES;

	if (disk->readonly || chain->readable_bytes != HEADER_BYTES + sizeof(seg))
		return VIRTIO_BLK_S_IOERR;
	(void)virtq_chain_read(chain, HEADER_BYTES, &seg, sizeof(seg));
	uint64_t sector = le64toh(seg.sector);
	uint32_t n_sectors = le32toh(seg.num_sectors), flags = le32toh(seg.flags);
	bool unmap = !zero || (flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP);

	if (flags & ~(zero ? (uint32_t)VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0u))
		return VIRTIO_BLK_S_UNSUPP;
	if (n_sectors > BLK_ZERO_SECTORS_MAX || !range_ok(disk, sector, n_sectors))
		return VIRTIO_BLK_S_IOERR;
	int ret = punch(disk, sector * BLK_SECTOR_BYTES, (uint64_t)n_sectors * BLK_SECTOR_BYTES,
		unmap, zero);
	if (!ret && zero && disk->write_through)
		ret = flush(disk);
	return status_of(ret);
}

static uint8_t serve_id(const struct blk_disk *disk, const struct virtq_chain *chain, size_t room)
{
	if (room < BLK_SERIAL_BYTES)
		return VIRTIO_BLK_S_IOERR;
	(void)virtq_chain_write(chain, 0, disk->serial, BLK_SERIAL_BYTES);
	return VIRTIO_BLK_S_OK;
}

int64_t blk_request_serve(const struct blk_disk *disk, struct virtq_chain *chain)
{
	struct virtio_blk_outhdr header;
	uint8_t status;

	if (virtq_chain_read(chain, 0, &header, sizeof(header)) < sizeof(header) ||
		!chain->writable_bytes)
		return -EPROTO;

	const uint32_t type = le32toh(header.type);
	const uint64_t sector = le64toh(header.sector);
	/* The status is the last writable byte; cutting the data off would lose it. */
	const struct iovec last = chain->iov[chain->n_readable + chain->n_writable - 1];
	uint8_t *status_at = (uint8_t *)last.iov_base + last.iov_len - 1;
	const size_t room = chain->writable_bytes - 1;
	struct iovec *iov;
	unsigned n;

	switch (type) {
	case VIRTIO_BLK_T_IN:
		iov = &chain->iov[chain->n_readable];
		n = virtq_iov_cut(&iov, chain->n_writable, 0, room);
		status = serve_data(disk, iov, n, room, sector, false);
		break;
	case VIRTIO_BLK_T_OUT:
		iov = chain->iov;
		n = virtq_iov_cut(&iov, chain->n_readable, HEADER_BYTES, SIZE_MAX);
		status = serve_data(
			disk, iov, n, chain->readable_bytes - HEADER_BYTES, sector, true);
		break;
	case VIRTIO_BLK_T_FLUSH:
		status = status_of(disk->readonly ? 0 : flush(disk));
		break;
	case VIRTIO_BLK_T_GET_ID:
		status = serve_id(disk, chain, room);
		break;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		status = serve_zero(disk, chain, type);
		break;
	default:
		status = VIRTIO_BLK_S_UNSUPP;
	}
	*status_at = status;
	if (status != VIRTIO_BLK_S_OK)
		return 1;
	if (type == VIRTIO_BLK_T_GET_ID)
		return BLK_SERIAL_BYTES + 1;
	return type == VIRTIO_BLK_T_IN ? (int64_t)room + 1 : 1;
}
