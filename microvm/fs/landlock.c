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
#include "microvm/confine/landlock.h"

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
	struct landlock_rules rules = {0};
	long version = landlock_version();

	if (exports && version >= 2) /* else renames between directories could not be allowed */
		rules.handled_access_fs = ACCESS_FILE | ACCESS_DIR;
	if (exports && version >= 3)
		rules.handled_access_fs |= LANDLOCK_FS_TRUNCATE;
	landlock_no_sockets(&rules, version);
	if (exports ? !rules.handled_access_fs : !rules.handled_access_net)
		return -EOPNOTSUPP;
	cleanup_close int ruleset = landlock_create(&rules);
	if (ruleset < 0)
		return -errno;
	for (unsigned i = 0; exports && i < exports->n; i++) {
		int ret = allow(ruleset, exports->items[i], rules.handled_access_fs);
		if (ret < 0)
			return ret;
	}
	return landlock_restrict(ruleset) < 0 ? -errno : 0;
}
