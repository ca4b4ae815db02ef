/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guestinit: pid 1 of the guest and the launcher of its containers. It loads what modules there
 * are, calls the host, and then does what it is told until the host ends the VM. What nobody asks
 * for is not done: no file system is mounted, no device is looked for, because all of it would
 * have to happen before the first container starts.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include "base/log.h"
#include "guestinit/agent.h"
#include "guestinit/guest.h"
#include "guestinit/modules.h"
#include "guestinit/sysfile.h"

static uint64_t main_counter(void)
{
#if defined(__x86_64__)
	return __rdtsc();
#else
	return 0;
#endif
}

/* The null device; and with a kernel without a console, descriptors 0 to 2, which must be open. */
static int main_open_null(const char *path, struct err *e)
{
	if (mknod(path, S_IFCHR | 0666, makedev(1, 3)) < 0 && errno != EEXIST)
		return err_sys(e, errno, "%s", path);
	if (chmod(path, 0666) < 0)
		return err_sys(e, errno, "%s", path);
	while (fcntl(STDERR_FILENO, F_GETFD) < 0)
		if (open(path, O_RDWR) < 0)
			return err_sys(e, errno, "%s", path);
	return 0;
}

/* The last words go where the monitor looks for them: the kernel's log and so its console. */
static void main_last_words(const struct err *e)
{
	if (mknod("/kmsg", S_IFCHR | 0600, makedev(1, 11)) == 0 || errno == EEXIST) {
		int fd = open("/kmsg", O_WRONLY | O_CLOEXEC);
		if (fd >= 0) {
			dprintf(fd, "<2>guestinit: %s\n", e->text);
			close(fd);
			return;
		}
	}
	log_error("%s", e->text);
}

/*
 * A program may ask for more memory than the VM has, as it may on a host with much more: what it
 * then uses beyond its limit ends it, as it would there. A container that sets this itself comes
 * later, and wins.
 */
static void main_overcommit(struct guest *guest)
{
	struct err e;
	int proc = guest_proc(guest, &e);
	int ret = proc < 0 ? proc : sysfile_write(proc, "sys/vm/overcommit_memory", "1");

	if (ret < 0)
		log_warn("vm.overcommit_memory stays as it is: %s", strerror(-ret));
}

static int main_serve(uint64_t tsc, struct err *e)
{
	static struct agent agent;
	static struct guest guest;

	guest_init(&guest);
	int ret = main_open_null(guest.null_path, e);
	if (ret == 0)
		ret = modules_load(MODULES_DIR, e);
	if (ret == 0)
		ret = guest_start(&guest, e);
	if (ret == 0)
		ret = agent_connect(&agent, &guest, tsc, e);
	if (ret == 0) {
		main_overcommit(&guest);
		ret = loop_run(&guest.loop);
		if (ret < 0)
			err_sys(e, -ret, "event loop");
	}
	return ret;
}

int main(int argc, char **argv)
{
	uint64_t tsc = main_counter();
	struct err e = {0};

	log_init("guestinit", STDERR_FILENO, LOG_LEVEL_WARNING);
	if (getpid() != 1) {
		if (argc > 1 && strcmp(argv[1], "--version") == 0) {
			printf("guestinit %s\n", HVRUN_VERSION);
			return 0;
		}
		fprintf(stderr, "guestinit: this is pid 1 of hvrun's guests, not a command\n");
		return 2;
	}
	if (main_serve(tsc, &e) < 0)
		main_last_words(&e);
	/* Nobody is left to tell anything: a reset is what every monitor understands. */
	sync();
	reboot(RB_AUTOBOOT);
	return 1;
}
