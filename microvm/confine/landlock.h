/* SPDX-License-Identifier: Apache-2.0 */
/* Of Landlock what headers may be too old for. Which version knows it is said beside each. */
#ifndef MICROVM_CONFINE_LANDLOCK_H
#define MICROVM_CONFINE_LANDLOCK_H

#include <stdint.h>

/* The kernel's struct landlock_ruleset_attr, whole: a kernel that is older wants zeros in the rest.
 */
struct landlock_rules {
	uint64_t handled_access_fs, handled_access_net, scoped;
};

#define LANDLOCK_FS_FIRST      ((UINT64_C(1) << 13) - 1) /* version 1: execute to make_sym */
#define LANDLOCK_FS_REFER      (UINT64_C(1) << 13)	 /* version 2 */
#define LANDLOCK_FS_TRUNCATE   (UINT64_C(1) << 14)	 /* version 3 */
#define LANDLOCK_NET_TCP       (UINT64_C(3))		 /* version 4: bind and connect */
#define LANDLOCK_NET_CONNECT   (UINT64_C(2))
#define LANDLOCK_RULE_PORT     2		   /* LANDLOCK_RULE_NET_PORT, version 4 */
#define LANDLOCK_FS_IOCTL_DEV  (UINT64_C(1) << 15) /* version 5 */
#define LANDLOCK_SCOPE_SOCKETS (UINT64_C(1))	   /* version 6: abstract Unix sockets */

/* The version that the kernel has, or -1 with errno. */
long landlock_version(void);

/* Adds to `rules` that there are no sockets of others, as far as that version knows. */
void landlock_no_sockets(struct landlock_rules *rules, long version);

/* A file descriptor, or -1 with errno. */
int landlock_create(const struct landlock_rules *rules);

/* Version 4: allows connections to a TCP port. 0, or -1 with errno. */
int landlock_allow_connect(int ruleset, uint16_t port);

/* For this thread and those that it starts. 0, or -1 with errno. */
int landlock_restrict(int ruleset);

#endif
