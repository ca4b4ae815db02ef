/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file-system exerciser: does every kind of operation in a directory and prints one stable
 * line for each, so that a run on the host and a run in a guest can be compared with diff.
 */
#ifndef TESTS_FSEXERCISE_H
#define TESTS_FSEXERCISE_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define USER_ID	   1000u /* the unprivileged user of the tests */
#define OTHER_ID   1001u
#define GROUP_ID   2000u /* a group that the user has as supplementary group */
#define FOREIGN_ID 3000u /* a group that he has not */

/* "operation: text". */
void say(const char *operation, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* "operation: ok", a number, or the name of errno, from the result of a system call. */
void result(const char *operation, long ret);

/* The name of errno if ret is negative, else "ok". */
const char *outcome(long ret);

/* A new file with text in it (mode 0644); exits when that fails. */
void put_file(const char *path, const char *text);

/* The whole of a small file, or the name of errno. One of eight static buffers. */
const char *get_file(const char *path);

/* "mode uid gid nlink size" of a file itself (not what it links to). Likewise. */
const char *stat_text(const char *path);
mode_t mode_of(const char *path); /* permission bits, 07777 */

void need(bool ok, const char *what); /* exits with errno's text otherwise */

/*
 * Runs fn in a child as uid (with gid, and GROUP_ID as supplementary group) and returns what it
 * returned, 0 to 255. Lines that it prints come out in order.
 */
int run_as(uid_t uid, gid_t gid, int (*fn)(void *arg), void *arg);

/* The groups. */
void exercise_names(void);
void exercise_rename(void);
void exercise_special(void);
void exercise_readdir(void);
void exercise_io(void);
void exercise_space(void);
void exercise_mmap(void);
void exercise_unlinked(void);
void exercise_times(void);
void exercise_owner(void);
void exercise_setid(void);
void exercise_acl(void);
void exercise_xattr(void);
void exercise_locks(void);
void exercise_threads(void);

#endif
