/* SPDX-License-Identifier: Apache-2.0 */
/* Tells ELF from bzImage; see kernel.h. */
#include "microvm/boot/kernel.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"

int kernel_read(int fd, void *dst, uint64_t len_bytes, uint64_t offset_bytes, struct err *e)
{
	int ret = fd_pread_all(fd, dst, len_bytes, (off_t)offset_bytes);

	if (ret == -EFAULT)
		return err_set(e, ENOMEM, "no memory for it on this host");
	return ret < 0 ? err_sys(e, -ret, "can't read") : 0;
}

int kernel_load(
	const struct guest_memory *memory, int fd, struct kernel_image *image, struct err *e)
{
	struct stat st;
	uint8_t head[0x206];

	memset(image, 0, sizeof(*image));
	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "can't stat");
	if (!S_ISREG(st.st_mode))
		return err_set(e, EINVAL, "not a kernel: not a regular file");
	if (st.st_size < (off_t)sizeof(head))
		return err_set(e, ENOEXEC, "not a kernel: only %lld bytes", (long long)st.st_size);
	int ret = kernel_read(fd, head, sizeof(head), 0, e);
	if (ret < 0)
		return ret;
	if (!memcmp(head, ELFMAG, SELFMAG))
		return kernel_load_elf(memory, fd, (uint64_t)st.st_size, image, e);
	if (!memcmp(head + 0x202, "HdrS", 4))
		return kernel_load_bzimage(memory, fd, (uint64_t)st.st_size, image, e);
	return err_set(e, ENOEXEC, "not a kernel: neither an ELF vmlinux nor a bzImage");
}
