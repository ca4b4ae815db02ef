/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In whose name a thread acts on the host's file system. Linux keeps file-system ids, effective
 * capabilities and (after unshare(CLONE_FS)) the umask per thread; each thread of the server has
 * a struct cred that remembers what is set, so that a run of requests by one caller costs no
 * system call.
 *
 * Privileged: the guest's kernel has checked permissions already and with more knowledge
 * (supplementary groups, the caller's capabilities), so capabilities stay in force while the ids
 * are the caller's: ids decide who owns what is created, set-group-ID inheritance, and quotas.
 * CAP_FSETID alone is put down when a request asks that set-user-ID and set-group-ID bits die.
 *
 * Not privileged: everything is done as the server's own user, who is root in the guest's eyes.
 */
#ifndef MICROVM_FS_CRED_H
#define MICROVM_FS_CRED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct cred {
	bool privileged;
	bool fsetid; /* CAP_FSETID is effective */
	uint32_t fsuid, fsgid;
	mode_t umask;
};

/* Whether this process has the capabilities to act for others. */
bool cred_is_privileged(void);

/* Once per process: ids can change without losing capabilities. 0 or -errno. */
int cred_process_init(bool privileged) must_check;

/* Once per thread, by the thread: ids 0, umask 0 and of its own, all capabilities kept. */
int cred_thread_init(struct cred *cred, bool privileged) must_check;

/* Acts as uid and gid from now on. -EPERM when that can't be. */
int cred_become(struct cred *cred, uint32_t uid, uint32_t gid) must_check;

/* Whether set-user-ID and set-group-ID bits survive what this thread does to files. */
int cred_keep_setid(struct cred *cred, bool keep) must_check;

void cred_umask(struct cred *cred, uint32_t mask);

#endif
