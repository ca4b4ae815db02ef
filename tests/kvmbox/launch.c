/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kvmbox: starting QEMU and virtiofsd. See launch.h.
 */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define ARGS_MAX 96

void launch_die(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "kvmbox: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(EXIT_BOX);
}

/* Starts a child that dies with us; it keeps only the descriptors that are not O_CLOEXEC. */
static pid_t launch_spawn(char *const argv[], const int *keep, int keep_count, int output_fd)
{
	pid_t parent = getpid(), pid = fork();
	sigset_t none;

	if (pid < 0)
		launch_die("fork: %s", strerror(errno));
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_BOX);
	/* Out of the terminal's reach: Ctrl-C is ours to act on. */
	setpgid(0, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int i = 0; i < keep_count; i++)
		fcntl(keep[i], F_SETFD, 0);
	int null_fd = open("/dev/null", O_RDONLY);

	dup2(null_fd, 0);
	dup2(output_fd, 1);
	dup2(output_fd, 2);
	execvp(argv[0], argv);
	dprintf(2, "kvmbox: %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

/*
 * virtiofsd gets a listening socket whose name the kernel makes up (abstract: no file to remove),
 * QEMU a connection to it.
 */
void launch_fs(struct launched *box, const struct config *cfg, int output_fd)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	socklen_t len = sizeof(addr);
	char fd_arg[32];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char cache_arg[32];
	char *argv[] = {(char *)(uintptr_t)cfg->virtiofsd, fd_arg, "-f", "-o", "source=/", "-o",
		"sandbox=chroot", "-o", cache_arg, "-o", "xattr", "-o", "log_level=warn", NULL};

	box->fs_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || box->fs_fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(sa_family_t)) ||
		listen(fd, 1) || getsockname(fd, (struct sockaddr *)&addr, &len) ||
		connect(box->fs_fd, (struct sockaddr *)&addr, len))
		launch_die("virtiofsd's socket: %s", strerror(errno));
	snprintf(fd_arg, sizeof(fd_arg), "--fd=%d", fd);
	snprintf(cache_arg, sizeof(cache_arg), "cache=%s", cfg->cache);
	box->fs_pid = launch_spawn(argv, &fd, 1, output_fd);
	close(fd);
}

struct tick launch_read_tick(void)
{
	int64_t best_ns = INT64_MAX;
	struct tick tick = {.ns = 0};

	for (int i = 0; i < 20; i++) {
		struct timespec a, b;
		int64_t ns;
		uint64_t tsc;

		clock_gettime(CLOCK_MONOTONIC, &a);
		tsc = __builtin_ia32_rdtsc();
		clock_gettime(CLOCK_MONOTONIC, &b);
		ns = (b.tv_sec - a.tv_sec) * 1000000000LL + b.tv_nsec - a.tv_nsec;
		if (ns >= best_ns)
			continue;
		best_ns = ns;
		tick.ns = a.tv_sec * 1000000000LL + a.tv_nsec + ns / 2;
		tick.tsc = tsc;
	}
	return tick;
}

unsigned int launch_tsc_khz(struct tick since)
{
	struct tick now = launch_read_tick();

	if (now.ns - since.ns < 20 * 1000000) {
		usleep((useconds_t)(20000 - (now.ns - since.ns) / 1000));
		now = launch_read_tick();
	}
	return (unsigned int)((now.tsc - since.tsc) * 1000000 / (uint64_t)(now.ns - since.ns));
}

struct args {
	char *v[ARGS_MAX + 1];
	int count;
};

__attribute__((format(printf, 2, 3))) static void args_add(struct args *a, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (a->count == ARGS_MAX || vasprintf(&a->v[a->count++], fmt, ap) < 0)
		launch_die("no memory");
	va_end(ap);
}

/* The machine itself: how it runs, its processor and memory. */
static void launch_add_machine(struct args *a, const struct config *cfg)
{
	args_add(a, "%s", cfg->qemu);
	args_add(a, "-M");
	args_add(a, "microvm,acpi=on,rtc=on%s", cfg->icount ? "" : ",memory-backend=mem");
	args_add(a, "-accel");
	args_add(a, "tcg,thread=%s", cfg->icount ? "single" : "multi");
	if (cfg->icount) {
		/* The seed makes rdrand and the like the same on each run. */
		args_add(a, "-icount");
		args_add(a, "shift=0,sleep=off");
		args_add(a, "-seed");
		args_add(a, "1");
	}
	if (cfg->plugin) {
		args_add(a, "-plugin");
		args_add(a, "%s", cfg->plugin);
	}
	args_add(a, "-cpu");
	/* Off: what TCG would warn about not having. */
	args_add(a,
		"EPYC-Rome,+svm,-rdseed,-sha-ni,-rdpid,-fxsr-opt,-misalignsse,-3dnowprefetch,"
		"-osvw,-topoext,-perfctr-core,-clzero,-xsaveerptr,-wbnoinvd,-ibpb,-ibrs,"
		"-amd-stibp,-amd-ssbd,-nrip-save,-xsavec,-xsaves");
	args_add(a, "-smp");
	args_add(a, "%d", cfg->icount ? 1 : cfg->cpus);
	args_add(a, "-m");
	args_add(a, "%d", cfg->memory_mib);
	args_add(a, "-global");
	args_add(a, "virtio-mmio.force-legacy=false");
}

/* Console, ports, and the file system. keep gets the descriptors that QEMU is to have. */
static void launch_add_devices(struct args *a, const struct launched *box, const struct config *cfg,
	int keep[PORT_COUNT + 2])
{
	static const char *const names[PORT_COUNT] = {"ctl", "in", "out", "err"};

	for (const char *const *p = (const char *const[]){"-no-reboot", "-nodefaults",
		     "-no-user-config", "-display", "none", "-chardev",
		     "stdio,id=console,signal=off", "-serial", "chardev:console", "-device",
		     "virtio-serial-device,max_ports=5", NULL};
		*p; p++)
		args_add(a, "%s", *p);
	for (int i = 0; i < PORT_COUNT; i++) {
		args_add(a, "-chardev");
		args_add(a, "socket,id=%s,fd=%d", names[i], box->port_peer[i]);
		args_add(a, "-device");
		args_add(a, "virtserialport,chardev=%s,nr=%d,name=kvmbox.%s", names[i], i + 1,
			names[i]);
		keep[i] = box->port_peer[i];
	}
	if (!cfg->icount) {
		args_add(a, "-object");
		args_add(a, "memory-backend-memfd,id=mem,size=%dM,share=on", cfg->memory_mib);
		args_add(a, "-chardev");
		args_add(a, "socket,id=fs,fd=%d", box->fs_fd);
		args_add(a, "-device");
		args_add(a, "vhost-user-fs-device,chardev=fs,tag=kvmbox,queue-size=1024");
	}
}

/*
 * QEMU's processors, a thread each, change their set of pending interrupts on VMRUN and VMEXIT
 * without a lock, so that an interrupt may be lost. A one-shot timer whose interrupt is lost is
 * never set again; a periodic one comes again, and what was lost is served with it.
 */
#define PERIODIC_TICK "nohz=off highres=off"

void launch_qemu(struct launched *box, const struct config *cfg, int initrd_fd, int output_fd)
{
	struct args a = {.count = 0};
	int keep[PORT_COUNT + 2];

	launch_add_machine(&a, cfg);
	launch_add_devices(&a, box, cfg, keep);
	args_add(&a, "-kernel");
	args_add(&a, "%s", cfg->vmlinux);
	args_add(&a, "-initrd");
	args_add(&a, "/proc/self/fd/%d", initrd_fd);
	args_add(&a, "-append");
	args_add(&a,
		"console=ttyS0 %s panic=-1 mitigations=off nokaslr norandmaps tsc=reliable "
		"tsc_early_khz=%u no_timer_check rcupdate.rcu_expedited=1 cgroup_no_v1=all "
		"random.trust_cpu=on apparmor=0 %s %s",
		cfg->verbose ? "" : "quiet loglevel=5", cfg->icount ? 1000000 : cfg->tsc_khz,
		cfg->icount ? "" : PERIODIC_TICK, cfg->append);
	keep[PORT_COUNT] = initrd_fd;
	keep[PORT_COUNT + 1] = cfg->icount ? initrd_fd : box->fs_fd;
	box->qemu_pid = launch_spawn(a.v, keep, PORT_COUNT + 2, output_fd);
	for (int i = 0; i < a.count; i++)
		free(a.v[i]);
}
