/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kvmbox: starting QEMU and virtiofsd.
 */
#ifndef KVMBOX_LAUNCH_H
#define KVMBOX_LAUNCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PATHS_MAX 512

enum { EXIT_TIMEOUT = 124, EXIT_BOX = 125 };
enum { PORT_CTL, PORT_IN, PORT_OUT, PORT_ERR, PORT_COUNT };

struct config {
	const char *qemu, *virtiofsd, *vmlinux, *initramfs, *modules, *append, *cache, *plugin;
	const char *share[PATHS_MAX], *copy[PATHS_MAX];
	int share_count, copy_count;
	int memory_mib, cpus;
	long timeout_s;
	int still_s;	/* how long one that is up may say nothing before it is given up */
	int patience_s; /* how long a box may take to come up before it is started again */
	unsigned int tsc_khz;
	bool icount, verbose;
	char **argv;
};

/* The children, and the descriptors made for them; the caller closes those after launching. */
struct launched {
	pid_t qemu_pid, fs_pid;
	int port_peer[PORT_COUNT]; /* QEMU's ends of the ports */
	int fs_fd;		   /* QEMU's connection to virtiofsd */
};

/* A reading of both clocks at one moment: of a few tries the one least disturbed. */
struct tick {
	int64_t ns;
	uint64_t tsc;
};

struct tick launch_read_tick(void);

/*
 * The frequency of the box's time stamp counter, which is this machine's; since lies a while back.
 * The box's kernel would measure it against an emulated timer chip, which fails when this machine
 * is busy.
 */
unsigned int launch_tsc_khz(struct tick since);

/* Starts virtiofsd on /, and connects box->fs_fd to it. */
void launch_fs(struct launched *box, const struct config *cfg, int output_fd);

/* Starts QEMU; box->port_peer and, unless counting instructions, box->fs_fd are open. */
void launch_qemu(struct launched *box, const struct config *cfg, int initrd_fd, int output_fd);

/* Says what is wrong and ends with EXIT_BOX, before there are children. */
__attribute__((format(printf, 1, 2), noreturn)) void launch_die(const char *fmt, ...);

#endif
