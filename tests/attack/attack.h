/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hvrun-vmm and hvrun-fs as attackers, for tests: the programs' own object files, linked with what
 * is here between them (ld's --wrap), so that nothing of it is in what is installed. Where a
 * program is about to confine itself, it is forked for each attempt and each kind of thread. A copy
 * goes on with the program's own code up to the list of system calls, and then makes its attempt;
 * another makes it at once, which is to show that it would succeed. See docs/testing.md.
 */
#ifndef TESTS_ATTACK_ATTACK_H
#define TESTS_ATTACK_ATTACK_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/* Who acts. These are bits of struct attempt's `allowed`, too. */
enum attacker {
	ATTACKER_FREE, /* not confined */
	ATTACKER_MAIN,
	ATTACKER_MAIN_EMULATION,
	ATTACKER_VCPU,
	ATTACKER_DISK,
	ATTACKER_NET,
	ATTACKER_RELAY,
	ATTACKER_RESOLVER,
	ATTACKER_SERVER, /* hvrun-fs */
	ATTACKERS,
};

#define BIT(attacker) (1u << (attacker))

/* What an attempt works on. All of it is the test's own. */
struct attack {
	char dir[64];	   /* of the host, not exported: a directory with... */
	char secret[80];   /* ...a file that nobody may reach, */
	char doomed[80];   /* one to be removed, renamed, changed, made anew for each attempt, */
	char made[80];	   /* a name that nothing has, */
	char sub[80];	   /* an empty directory, */
	char socket[80];   /* and a listening socket */
	char abstract[32]; /* the name of another one, behind a zero byte */
	pid_t victim;	   /* a process of the host, that sleeps; */
	char victim_proc[32];
	int victim_pidfd;
	volatile uint64_t *victim_word; /* of its memory */
	int own_stderr;			/* what the program was started with */
	int export_fd, readonly_fd;	/* hvrun-fs: directories that it exports; else -1 */
	/* What `prepare` leaves for `act`. */
	int fds[2];
	char *page;
};

struct attempt {
	const char *name;
	/* Before anything is confined: what the attempt needs to be about its own call. 0 or errno.
	 */
	int (*prepare)(struct attack *a);
	/*
	 * 0: it worked, or an errno. It makes no other calls than it has to: the first that is not
	 * on the attacker's list is its end.
	 */
	int (*act)(struct attack *a);
	bool executes;	  /* to work is to become another program, which exits with 0 */
	unsigned allowed; /* BIT(who) may do it, by design */
};

/* ATTEMPT(name, prepare, act, what else) */
#define ATTEMPT(n, p, f, ...)                                                                      \
	{                                                                                          \
		.name = (n), .prepare = (p), .act = (f), ##__VA_ARGS__                             \
	}

struct attempts {
	const struct attempt *table;
	size_t n;
};

#define ATTEMPTS(t)                                                                                \
	{                                                                                          \
		.table = (t), .n = sizeof(t) / sizeof((t)[0])                                      \
	}

extern const struct attempts attempts_files, attempts_mounts, attempts_processes, attempts_sockets,
	attempts_memory, attempts_kernel, attempts_exports;

/* 0 or an errno, of a call that returns -1 when it fails. */
static inline int outcome(long returned)
{
	return returned < 0 ? errno : 0;
}

/* Of one that is to get no further than past the kernel's question of who asks: that is `code`. */
static inline int outcome_past(long returned, int code)
{
	return returned < 0 && errno != code ? errno : 0;
}

/*
 * Where the program is not confined yet, and alone in its process. True in a copy that is to go on
 * to its confinement as attack_attacker(); the original gets false when the table is complete, or
 * at once when none is wanted (HVRUN_ATTACK_DIR, the folder to work in; the table is
 * FOLDER/PROGRAM). `tables` ends with NULL, `attackers` with ATTACKER_FREE. choose, if not NULL,
 * fills in what depends on whether the copy is going to be confined.
 */
bool attack_all(const char *program, const struct attempts *const *tables,
	const enum attacker *attackers, void (*choose)(struct attack *a, bool confined));

/* Who this copy is; ATTACKER_FREE: none. */
enum attacker attack_attacker(void);

/*
 * Where the list of a thread of this kind has just been put on: in a copy that is this attacker, it
 * attacks, and does not return. A program that was started to attack once, as itself
 * (HVRUN_ATTACK_LIVE="KIND:ATTEMPT"), does so as well; it goes on if it is refused and survives,
 * and ends if it succeeds.
 */
void attack_here(const char *kind, const struct attempts *const *tables);

/* In a copy whose attacker is another process: takes over what became of that, and ends. */
_Noreturn void attack_wait(void);

/* Ends an attempt that can't return. */
_Noreturn void attack_end(int code);

#endif
