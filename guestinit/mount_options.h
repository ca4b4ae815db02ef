/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words of `mounts[].options` (runtime-spec, "Mounts", Linux mount options), sorted by what
 * they ask for: attributes of the mount, of the whole tree below it, of the superblock,
 * propagation, and data for the file system (every word that is none of the others).
 */
#ifndef GUESTINIT_MOUNT_OPTIONS_H
#define GUESTINIT_MOUNT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "guestinit/arena.h"

#define MOUNT_PROPAGATIONS_MAX 8

struct strings;

enum mount_idmap { MOUNT_IDMAP_NONE, MOUNT_IDMAP_ONE, MOUNT_IDMAP_TREE };

struct mount_options {
	uint64_t attr_set, attr_clear;		      /* MOUNT_ATTR_*, of this mount */
	uint64_t tree_set, tree_clear;		      /* MOUNT_ATTR_*, recursively */
	uint64_t propagation[MOUNT_PROPAGATIONS_MAX]; /* MS_* with MS_REC, in order */
	size_t n_propagation;
	bool bind, recursive, remount, tmpcopyup;
	enum mount_idmap idmap;
	const char **sb_flags; /* words for fsconfig(FSCONFIG_SET_FLAG): sync, lazytime, … */
	size_t n_sb_flags;
	const char **data; /* "key=value" or "flag", cut at the commas */
	size_t n_data;
};

/* 0, -ENOMEM, or -E2BIG with too many words about propagation. Strings refer to the words. */
int mount_options_parse(
	struct arena *arena, const struct strings *words, struct mount_options *out) must_check;

/* Which of the words has such a piece (of data or sb_flags above), the first; 0 when none has. */
size_t mount_options_index(const struct strings *words, const char *piece);

/* The MS_ flags of a propagation word ("rslave"), or 0 when it is none. */
uint64_t mount_options_propagation(const char *word);

#endif
