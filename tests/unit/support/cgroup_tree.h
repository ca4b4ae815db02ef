/* SPDX-License-Identifier: Apache-2.0 */
/* Plain files in the shape of a host's cgroups, v1, hybrid or v2, with a /proc that fits. */
#ifndef TESTS_UNIT_SUPPORT_CGROUP_TREE_H
#define TESTS_UNIT_SUPPORT_CGROUP_TREE_H

/* The tree's directory, of one test, and its /proc. */
extern char cgroup_tree_root[64], cgroup_tree_proc[96];

int cgroup_tree_setup(void **state);
int cgroup_tree_teardown(void **state);

/* A file below the root, and the directories above it; what is in one. */
void cgroup_tree_put(const char *name, const char *text);
void cgroup_tree_expect(const char *name, const char *want);

/* "%" in mountinfo stands for the tree's root; own is /proc/self/cgroup. */
void cgroup_tree_host(const char *mountinfo, const char *own);

#define CGROUP_TREE_V1_MOUNTS                                                                      \
	"22 1 0:1 / / rw - ext4 /dev/vda rw\n"                                                     \
	"30 22 0:2 / %/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n"            \
	"31 22 0:3 / %/cpuset rw - cgroup cgroup rw,cpuset\n"                                      \
	"32 22 0:4 / %/memory rw - cgroup cgroup rw,memory\n"                                      \
	"33 22 0:5 / %/blk\\040io rw - cgroup cgroup rw,blkio\n"                                   \
	"34 22 0:6 / %/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"                         \
	"35 22 0:7 / %/other rw - cgroup cgroup rw,name=other\n"
#define CGROUP_TREE_V1_OWN                                                                         \
	"7:cpu,cpuacct:/\n6:cpuset:/\n5:memory:/user/me\n4:blkio:/\n3:name=systemd:/user/me\n"     \
	"2:name=other:/\n"
#define CGROUP_TREE_V2_MOUNTS "29 22 0:26 / %/fs rw - cgroup2 cgroup2 rw,nsdelegate\n"

#endif
