/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kvmbox: the initramfs of one run, put together in a memory file.
 *
 * The kernel unpacks several cpio archives (newc) one after the other, so the cached part comes
 * first and the description of this run, and the files it asked to be copied, behind it.
 * Functions return 0 or -errno.
 */
#ifndef KVMBOX_INITRD_H
#define KVMBOX_INITRD_H

#include <stddef.h>
#include <stdio.h>

struct initrd {
	FILE *file; /* over the memory file */
	int fd;
	unsigned int next_ino;
	void *seen; /* tsearch() tree of names written below /box */
};

/* Starts with the archive in base_path. */
int initrd_open(struct initrd *rd, const char *base_path);

/* Adds a plain file of these bytes. */
int initrd_add_bytes(struct initrd *rd, const char *name, const void *data, size_t len_bytes);

/* Adds an empty directory. */
int initrd_add_dir(struct initrd *rd, const char *name);

/*
 * Adds a path of the host below /box, under its own absolute name: directories with all they
 * hold, symbolic links with what they lead to, and whatever links lie on the way to it.
 */
int initrd_add_path(struct initrd *rd, const char *path);

/* Writes the trailer; rd->fd is then ready for QEMU. */
int initrd_finish(struct initrd *rd);

#endif
