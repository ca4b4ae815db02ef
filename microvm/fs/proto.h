/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The FUSE protocol as hvrun-fs speaks it: <linux/fuse.h> of the build machine, what newer kernels
 * have beyond it (the header of Debian 12 ends at 7.38), and the bounds of the server.
 */
#ifndef MICROVM_FS_PROTO_H
#define MICROVM_FS_PROTO_H

#include <linux/fuse.h>
#include <stdint.h>

/* What the server answers in INIT: 7.39 brought STATX, and nothing later is used. */
#define FS_FUSE_MINOR	  39
#define FS_FUSE_MINOR_MIN 31 /* Linux 5.4; older guests lack virtio-fs anyway */

#define FS_MAX_PAGES	   256u
#define FS_MAX_WRITE_BYTES (1u << 20)
#define FS_NAME_MAX	   255u
#define FS_XATTR_NAME_MAX  255u
#define FS_XATTR_MAX_BYTES 65536u

#ifndef FUSE_DIRECT_IO_ALLOW_MMAP
#define FUSE_DIRECT_IO_ALLOW_MMAP (1ULL << 36)
#endif

#ifndef FUSE_ALLOW_IDMAP
#define FUSE_ALLOW_IDMAP (1ULL << 40)
#endif

#if FUSE_KERNEL_MINOR_VERSION < 39
#define FUSE_STATX 52

struct fuse_sx_time {
	int64_t tv_sec;
	uint32_t tv_nsec;
	int32_t reserved;
};

struct fuse_statx {
	uint32_t mask;
	uint32_t blksize;
	uint64_t attributes;
	uint32_t nlink;
	uint32_t uid;
	uint32_t gid;
	uint16_t mode;
	uint16_t spare0[1];
	uint64_t ino;
	uint64_t size;
	uint64_t blocks;
	uint64_t attributes_mask;
	struct fuse_sx_time atime;
	struct fuse_sx_time btime;
	struct fuse_sx_time ctime;
	struct fuse_sx_time mtime;
	uint32_t rdev_major;
	uint32_t rdev_minor;
	uint32_t dev_major;
	uint32_t dev_minor;
	uint64_t spare2[14];
};

struct fuse_statx_in {
	uint32_t getattr_flags;
	uint32_t reserved;
	uint64_t fh;
	uint32_t sx_flags;
	uint32_t sx_mask;
};

struct fuse_statx_out {
	uint64_t attr_valid;
	uint32_t attr_valid_nsec;
	uint32_t flags;
	uint64_t spare[2];
	struct fuse_statx stat;
};
#endif

#define FS_OPCODE_MAX 64u /* opcodes in use are below */

#endif
