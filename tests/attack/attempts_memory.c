/* SPDX-License-Identifier: Apache-2.0 */
/* Code where there was none, and memory that others share; see attack.h. */
#include "tests/attack/attack.h"

#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

#define PAGE 4096ul

static int act_mmap(struct attack *a)
{
	(void)a;
	return outcome(syscall(SYS_mmap, NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0L));
}

static int have_page(struct attack *a)
{
	a->page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return a->page == MAP_FAILED ? errno : 0;
}

static int act_mprotect(struct attack *a)
{
	return outcome(syscall(SYS_mprotect, a->page, PAGE, PROT_READ | PROT_EXEC));
}

static int act_pkey_mprotect(struct attack *a)
{
	return outcome(syscall(SYS_pkey_mprotect, a->page, PAGE, PROT_READ | PROT_EXEC, -1));
}

static int have_program(struct attack *a)
{
	a->fds[0] = open("/bin/true", O_RDONLY | O_CLOEXEC);
	return outcome(a->fds[0]);
}

static int act_mmap_file(struct attack *a)
{
	return outcome(
		syscall(SYS_mmap, NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, a->fds[0], 0L));
}

static int have_memfd(struct attack *a)
{
	a->fds[0] = memfd_create("code", MFD_CLOEXEC);
	return a->fds[0] < 0 ? errno : outcome(ftruncate(a->fds[0], PAGE));
}

static int act_mmap_memfd(struct attack *a)
{
	return outcome(
		syscall(SYS_mmap, NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, a->fds[0], 0L));
}

static int act_memfd(struct attack *a)
{
	(void)a;
	return outcome(syscall(SYS_memfd_create, "attack", MFD_CLOEXEC));
}

static int act_shmget(struct attack *a)
{
	(void)a;
	return outcome(syscall(SYS_shmget, IPC_PRIVATE, PAGE, IPC_CREAT | 0600));
}

static int have_segment(struct attack *a)
{
	a->fds[0] = shmget(IPC_PRIVATE, PAGE, IPC_CREAT | 0700);
	return outcome(a->fds[0]);
}

static int act_shmat(struct attack *a)
{
	return outcome(syscall(SYS_shmat, a->fds[0], NULL, SHM_EXEC));
}

static int act_msgget(struct attack *a)
{
	(void)a;
	return outcome(syscall(SYS_msgget, IPC_PRIVATE, IPC_CREAT | 0600));
}

static int act_semget(struct attack *a)
{
	(void)a;
	return outcome(syscall(SYS_semget, IPC_PRIVATE, 1, IPC_CREAT | 0600));
}

static int act_mq_open(struct attack *a)
{
	(void)a;
	return outcome(syscall(SYS_mq_open, "attack", O_CREAT | O_RDWR, 0600, NULL));
}

static int act_mlock(struct attack *a)
{
	(void)a;
	return outcome(syscall(SYS_mlockall, MCL_FUTURE));
}

static int act_userfaultfd(struct attack *a)
{
	(void)a;
	return outcome(syscall(SYS_userfaultfd, O_CLOEXEC));
}

static const struct attempt table[] = {
	ATTEMPT("memory to write and to execute", NULL, act_mmap),
	ATTEMPT("make memory executable (mprotect)", have_page, act_mprotect),
	ATTEMPT("make memory executable (pkey_mprotect)", have_page, act_pkey_mprotect),
	ATTEMPT("map a file to execute", have_program, act_mmap_file),
	ATTEMPT("map memory of a descriptor to execute", have_memfd, act_mmap_memfd),
	ATTEMPT("memory with a descriptor", NULL, act_memfd),
	ATTEMPT("System V shared memory", NULL, act_shmget),
	ATTEMPT("map that to execute", have_segment, act_shmat),
	ATTEMPT("a System V message queue", NULL, act_msgget),
	ATTEMPT("System V semaphores", NULL, act_semget),
	ATTEMPT("a POSIX message queue", NULL, act_mq_open),
	ATTEMPT("lock memory", NULL, act_mlock),
	ATTEMPT("handle page faults (userfaultfd)", NULL, act_userfaultfd),
};
const struct attempts attempts_memory = ATTEMPTS(table);
