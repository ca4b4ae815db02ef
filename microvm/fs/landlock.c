/* SPDX-License-Identifier: Apache-2.0 */
/* Landlock rules for the exports; see landlock.h. */
#include "microvm/fs/landlock.h"

#include <errno.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

#define ABI_REFER    2 /* renames and links between directories can be allowed */
#define ABI_TRUNCATE 3

/* Not in the headers of Linux 6.1. */
#define ACCESS_TRUNCATE (1ull << 14)

#define ACCESS_FILE                                                                                \
	(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE)
#define ACCESS_DIR                                                                                 \
	(LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR |                             \
		LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |                    \
		LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |                        \
		LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |                      \
		LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM |                      \
		LANDLOCK_ACCESS_FS_REFER)

static int allow(int ruleset, const struct export *export, uint64_t access)
{
	struct landlock_path_beneath_attr rule = {.parent_fd = export->fd};

	rule.allowed_access = S_ISDIR(export->type) ? access : access & ~(uint64_t)ACCESS_DIR;
	if (!syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0))
		return 0;
	if (errno != EBADFD)
		return -errno;
	log_debug("%s: on no file system that has paths", export->path);
	return 0;
}

int fs_landlock(const struct exports *exports)
{
	struct landlock_ruleset_attr attr = {.handled_access_fs = ACCESS_FILE | ACCESS_DIR};
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	if (abi < ABI_REFER)
		return -EOPNOTSUPP;
	if (abi >= ABI_TRUNCATE)
		attr.handled_access_fs |= ACCESS_TRUNCATE;
	cleanup_close int ruleset =
		(int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr.handled_access_fs), 0);
	if (ruleset < 0)
		return -errno;
	for (unsigned i = 0; i < exports->n; i++) {
		int ret = allow(ruleset, exports->items[i], attr.handled_access_fs);
		if (ret < 0)
			return ret;
	}
	return syscall(SYS_landlock_restrict_self, ruleset, 0) < 0 ? -errno : 0;
}
