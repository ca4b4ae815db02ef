/* SPDX-License-Identifier: Apache-2.0 */
/* The words of mount options; see mount_options.h. */
#include "guestinit/mount_options.h"

#include <errno.h>
#include <string.h>
#include <sys/mount.h>

#include "guestinit/decode.h"

enum option_kind {
	OPTION_SET,    /* the mount's attribute is set */
	OPTION_CLEAR,  /* … is cleared */
	OPTION_ATIME,  /* the field of access times gets this value */
	OPTION_SB,     /* a flag of the superblock */
	OPTION_NOTHING /* known, and without an effect */
};

struct option {
	const char *word;
	enum option_kind kind;
	uint64_t attr;
};

/*
 * With the letter r in front, the first three kinds apply to the tree. iversion has no effect
 * since Linux 6.0: file systems that can count changes always do. silent and loud are about the
 * kernel's log.
 */
static const struct option options[] = {
	{"ro", OPTION_SET, MOUNT_ATTR_RDONLY},
	{"rw", OPTION_CLEAR, MOUNT_ATTR_RDONLY},
	{"nosuid", OPTION_SET, MOUNT_ATTR_NOSUID},
	{"suid", OPTION_CLEAR, MOUNT_ATTR_NOSUID},
	{"nodev", OPTION_SET, MOUNT_ATTR_NODEV},
	{"dev", OPTION_CLEAR, MOUNT_ATTR_NODEV},
	{"noexec", OPTION_SET, MOUNT_ATTR_NOEXEC},
	{"exec", OPTION_CLEAR, MOUNT_ATTR_NOEXEC},
	{"nosymfollow", OPTION_SET, MOUNT_ATTR_NOSYMFOLLOW},
	{"symfollow", OPTION_CLEAR, MOUNT_ATTR_NOSYMFOLLOW},
	{"nodiratime", OPTION_SET, MOUNT_ATTR_NODIRATIME},
	{"diratime", OPTION_CLEAR, MOUNT_ATTR_NODIRATIME},
	{"noatime", OPTION_ATIME, MOUNT_ATTR_NOATIME},
	{"atime", OPTION_ATIME, MOUNT_ATTR_RELATIME},
	{"relatime", OPTION_ATIME, MOUNT_ATTR_RELATIME},
	{"norelatime", OPTION_ATIME, MOUNT_ATTR_STRICTATIME},
	{"strictatime", OPTION_ATIME, MOUNT_ATTR_STRICTATIME},
	{"nostrictatime", OPTION_ATIME, MOUNT_ATTR_RELATIME},
	{"sync", OPTION_SB, 0},
	{"async", OPTION_SB, 0},
	{"dirsync", OPTION_SB, 0},
	{"lazytime", OPTION_SB, 0},
	{"nolazytime", OPTION_SB, 0},
	{"mand", OPTION_SB, 0},
	{"nomand", OPTION_SB, 0},
	{"iversion", OPTION_NOTHING, 0},
	{"noiversion", OPTION_NOTHING, 0},
	{"silent", OPTION_NOTHING, 0},
	{"loud", OPTION_NOTHING, 0},
	{"defaults", OPTION_NOTHING, 0},
	{"acl", OPTION_NOTHING, 0},
};

static const struct {
	const char *word;
	uint64_t flags;
} propagations[] = {
	{"shared", MS_SHARED},
	{"rshared", MS_SHARED | MS_REC},
	{"slave", MS_SLAVE},
	{"rslave", MS_SLAVE | MS_REC},
	{"private", MS_PRIVATE},
	{"rprivate", MS_PRIVATE | MS_REC},
	{"unbindable", MS_UNBINDABLE},
	{"runbindable", MS_UNBINDABLE | MS_REC},
};

uint64_t mount_options_propagation(const char *word)
{
	for (size_t i = 0; i < sizeof(propagations) / sizeof(propagations[0]); i++)
		if (strcmp(word, propagations[i].word) == 0)
			return propagations[i].flags;
	return 0;
}

static const struct option *option_find(const char *word)
{
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (strcmp(word, options[i].word) == 0)
			return &options[i];
	return NULL;
}

/* The last word about an attribute wins. */
static void option_apply(const struct option *option, uint64_t *set, uint64_t *clear)
{
	switch (option->kind) {
	case OPTION_SET:
		*set |= option->attr;
		*clear &= ~option->attr;
		break;
	case OPTION_CLEAR:
		*set &= ~option->attr;
		*clear |= option->attr;
		break;
	case OPTION_ATIME:
		*set = (*set & ~(uint64_t)MOUNT_ATTR__ATIME) | option->attr;
		*clear |= MOUNT_ATTR__ATIME;
		break;
	default:
		break;
	}
}

static bool option_apply_word(struct mount_options *out, const char *word)
{
	const struct option *option = option_find(word);

	if (option) {
		if (option->kind == OPTION_SB)
			out->sb_flags[out->n_sb_flags++] = option->word;
		else
			option_apply(option, &out->attr_set, &out->attr_clear);
		return true;
	}
	if (word[0] != 'r')
		return false;
	option = option_find(word + 1);
	if (!option || option->kind > OPTION_ATIME)
		return false;
	option_apply(option, &out->tree_set, &out->tree_clear);
	return true;
}

static bool option_apply_switch(struct mount_options *out, const char *word)
{
	if (strcmp(word, "bind") == 0) {
		out->bind = true;
	} else if (strcmp(word, "rbind") == 0) {
		out->bind = out->recursive = true;
	} else if (strcmp(word, "remount") == 0) {
		out->remount = true;
	} else if (strcmp(word, "tmpcopyup") == 0) {
		out->tmpcopyup = true;
	} else if (strcmp(word, "idmap") == 0) {
		out->idmap = MOUNT_IDMAP_ONE;
	} else if (strcmp(word, "ridmap") == 0) {
		out->idmap = MOUNT_IDMAP_TREE;
	} else {
		return false;
	}
	return true;
}

/* Cuts file system data at its commas, but not within double quotes (SELinux contexts). */
static int option_add_data(struct arena *arena, struct mount_options *out, const char *word)
{
	size_t len = strlen(word), start = 0;
	bool quoted = false;
	char *copy = arena_alloc(arena, len + 1);

	if (!copy)
		return -ENOMEM;
	memcpy(copy, word, len + 1);
	for (size_t i = 0; i <= len; i++) {
		if (copy[i] == '"')
			quoted = !quoted;
		if (copy[i] != '\0' && (copy[i] != ',' || quoted))
			continue;
		copy[i] = '\0';
		if (i > start)
			out->data[out->n_data++] = copy + start;
		start = i + 1;
	}
	return 0;
}

/* A word with k commas gives at most k + 1 pieces. */
static size_t options_count_pieces(const struct strings *words)
{
	size_t n = words->n;

	for (size_t i = 0; i < words->n; i++)
		for (const char *p = words->v[i]; (p = strchr(p, ',')); p++)
			n++;
	return n;
}

int mount_options_parse(struct arena *arena, const struct strings *words, struct mount_options *out)
{
	memset(out, 0, sizeof(*out));
	if (!words->n)
		return 0;
	out->sb_flags = arena_array(arena, words->n, sizeof(*out->sb_flags));
	out->data = arena_array(arena, options_count_pieces(words), sizeof(*out->data));
	if (!out->sb_flags || !out->data)
		return -ENOMEM;
	for (size_t i = 0; i < words->n; i++) {
		const char *word = words->v[i];
		uint64_t propagation = mount_options_propagation(word);

		if (propagation) {
			if (out->n_propagation == MOUNT_PROPAGATIONS_MAX)
				return -E2BIG;
			out->propagation[out->n_propagation++] = propagation;
		} else if (!option_apply_switch(out, word) && !option_apply_word(out, word)) {
			int ret = option_add_data(arena, out, word);
			if (ret < 0)
				return ret;
		}
	}
	return 0;
}

size_t mount_options_index(const struct strings *words, const char *piece)
{
	size_t len = strlen(piece);

	for (size_t i = 0; i < words->n; i++)
		for (const char *p = words->v[i]; (p = strstr(p, piece)); p++)
			if ((p == words->v[i] || p[-1] == ',') && (!p[len] || p[len] == ','))
				return i;
	return 0;
}
