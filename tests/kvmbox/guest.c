/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kvmbox: pid 1 of the box.
 *
 * Loads the modules listed in /modules/order, makes the root file system (the host's / over
 * virtio-fs, or /box of the initramfs), starts the command described by the files in /job and
 * carries its streams over virtio-serial ports. Port 1 is the control line, guest to host:
 * "up", "alive" every few seconds (not with --icount, where it would count), then "exit CODE
 * STDOUT-BYTES STDERR-BYTES" or "fail MESSAGE". The host ends the machine.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <net/if.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pump.h"

enum { PORT_CTL = 1, PORT_IN, PORT_OUT, PORT_ERR, PORT_COUNT };

#define ALIVE_MS 5000

struct job {
	char *conf;    /* lines key=value, cut into strings */
	char *modules; /* host directory of the kernel's modules, or NULL */
	char *cwd;
	bool share_root; /* the root is the host's, over virtio-fs */
	char **argv, **envp;
};

static int ctl_fd = -1;

__attribute__((format(printf, 1, 2), noreturn)) static void guest_fail(const char *fmt, ...)
{
	char line[1024];
	va_list ap;
	int n;

	n = snprintf(line, sizeof(line), "fail ");
	va_start(ap, fmt);
	vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
	va_end(ap);
	strcat(line, "\n");
	fprintf(stderr, "kvmbox: %s", line);
	if (ctl_fd >= 0 && write(ctl_fd, line, strlen(line)) > 0)
		for (;;)
			pause(); /* the host ends the machine */
	exit(1);		 /* the kernel panics, which the host sees */
}

static char *guest_read_file(const char *path, size_t *len_bytes)
{
	size_t len = 0, size = 4096;
	char *buf = malloc(size);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0 || !buf)
		guest_fail("%s: %s", path, strerror(errno));
	while ((n = read(fd, buf + len, size - len - 1)) > 0) {
		len += (size_t)n;
		if (size - len < 2 && !(buf = realloc(buf, size *= 2)))
			guest_fail("%s: no memory", path);
	}
	close(fd);
	buf[len] = 0;
	*len_bytes = len;
	return buf;
}

/* A file of NUL-terminated strings, as an argument vector. */
static char **guest_read_vector(const char *path)
{
	size_t len, count = 0, i = 0;
	char *buf = guest_read_file(path, &len);
	char **v;

	for (size_t k = 0; k < len; k++)
		count += buf[k] == 0;
	v = calloc(count + 1, sizeof(*v));
	if (!v)
		guest_fail("no memory");
	for (char *p = buf; i < count; p += strlen(p) + 1)
		v[i++] = p;
	return v;
}

static void guest_mkdirs(const char *path)
{
	char buf[4096];

	snprintf(buf, sizeof(buf), "%s", path);
	for (char *p = buf + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = 0;
		mkdir(buf, 0755);
		*p = '/';
	}
	mkdir(buf, 0755);
}

static void guest_mount(
	const char *src, const char *dir, const char *type, unsigned long flags, const char *data)
{
	guest_mkdirs(dir);
	if (mount(src, dir, type, flags, data))
		guest_fail("mount %s on %s: %s", type ? type : src, dir, strerror(errno));
}

static void guest_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0)
		fprintf(stderr, "kvmbox: %s: %s\n", path, strerror(errno));
	close(fd);
}

static void guest_load_modules(void)
{
	size_t len;
	char *list = guest_read_file("/modules/order", &len);
	char path[256];

	for (char *name = strtok(list, "\n"); name; name = strtok(NULL, "\n")) {
		int fd;

		snprintf(path, sizeof(path), "/modules/%s", name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || syscall(SYS_finit_module, fd, "", 0))
			guest_fail("module %s: %s", name, strerror(errno));
		close(fd);
	}
}

/* The port's node appears once the host has announced it; it is usable once the host is there. */
static int guest_open_port(int nr)
{
	struct pollfd pfd = {.events = POLLOUT};
	char path[32];

	snprintf(path, sizeof(path), "/dev/vport0p%d", nr);
	for (int tries = 0; tries < 5000; tries++) {
		if (pfd.fd <= 0)
			pfd.fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
		if (pfd.fd > 0 && poll(&pfd, 1, 0) >= 0 && !(pfd.revents & POLLHUP))
			return pfd.fd;
		usleep(1000);
	}
	guest_fail("%s: the host does not open it", path);
}

static void guest_mount_root(const struct job *job)
{
	int tries = 0;

	mkdir("/host", 0755);
	mkdir("/root", 0755);
	if (!job->share_root) {
		/* A mount of its own, so that pivot_root works in it. */
		guest_mount("/box", "/root", NULL, MS_BIND, NULL);
		return;
	}
	while (mount("kvmbox", "/host", "virtiofs", 0, NULL)) {
		if (++tries == 1000)
			guest_fail("virtiofs: %s", strerror(errno));
		usleep(1000);
	}
	guest_mount("/host", "/root", NULL, MS_BIND, NULL);
}

static void guest_make_nodes(void)
{
	static const struct {
		const char *path;
		unsigned int minor;
	} nodes[] = {
		/* Static nodes whose modules load when they are opened. */
		{"/root/dev/net/tun", 200},
		{"/root/dev/fuse", 229},
		{"/root/dev/loop-control", 237},
		{"/root/dev/vhost-net", 238},
		{"/root/dev/vhost-vsock", 241},
	};

	mkdir("/root/dev/net", 0755);
	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++)
		if ((mknod(nodes[i].path, S_IFCHR | 0666, makedev(10, nodes[i].minor)) &&
			    errno != EEXIST) ||
			chmod(nodes[i].path, 0666))
			guest_fail("%s: %s", nodes[i].path, strerror(errno));
	if (chmod("/root/dev/kvm", 0666))
		guest_fail("/dev/kvm: %s", strerror(errno));
	if (symlink("/proc/self/fd", "/root/dev/fd") || symlink("fd/0", "/root/dev/stdin") ||
		symlink("fd/1", "/root/dev/stdout") || symlink("fd/2", "/root/dev/stderr"))
		fprintf(stderr, "kvmbox: /dev/fd: %s\n", strerror(errno));
}

static void guest_mount_all(const struct job *job)
{
	guest_mkdirs("/root/dev");
	guest_mount("/dev", "/root/dev", NULL, MS_MOVE, NULL);
	guest_make_nodes();
	guest_mount("devpts", "/root/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
		"mode=620,gid=5,ptmxmode=666");
	unlink("/root/dev/ptmx");
	if (symlink("pts/ptmx", "/root/dev/ptmx"))
		guest_fail("/dev/ptmx: %s", strerror(errno));
	guest_mount("tmpfs", "/root/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=100%");
	guest_mount("mqueue", "/root/dev/mqueue", "mqueue", 0, NULL);
	guest_mount("/proc", "/root/proc", NULL, MS_MOVE, NULL);
	guest_mount("/sys", "/root/sys", NULL, MS_MOVE, NULL);
	guest_mount("cgroup2", "/root/sys/fs/cgroup", "cgroup2", 0, "nsdelegate");
	guest_mount("debugfs", "/root/sys/kernel/debug", "debugfs", 0, NULL);
	guest_mount("bpf", "/root/sys/fs/bpf", "bpf", 0, NULL);
	guest_mkdirs("/root/run");
	guest_mkdirs("/root/tmp");
	/* A root of our own lies in memory anyway, and may hold copies there. */
	if (!job->share_root) {
		chmod("/root/tmp", 01777);
		return;
	}
	guest_mount("tmpfs", "/root/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=100%");
	guest_mkdirs("/root/run/lock");
	guest_mount("tmpfs", "/root/tmp", "tmpfs", 0, "mode=1777,size=100%");
	if (job->modules) {
		struct utsname uts;
		char src[4096], dir[256];

		uname(&uts);
		snprintf(src, sizeof(src), "/host%s", job->modules);
		snprintf(dir, sizeof(dir), "/root/lib/modules/%s", uts.release);
		guest_mount("tmpfs", "/root/lib/modules", "tmpfs", 0, "mode=755");
		guest_mount(src, dir, NULL, MS_BIND, NULL);
	}
}

/* Host paths that the box's own /tmp, /run or /dev would hide. */
static void guest_mount_share(const char *path)
{
	char src[4096], dst[4096];
	struct stat st;

	snprintf(src, sizeof(src), "/host%s", path);
	snprintf(dst, sizeof(dst), "/root%s", path);
	if (stat(src, &st))
		guest_fail("--share %s: %s", path, strerror(errno));
	if (!S_ISDIR(st.st_mode)) {
		char *slash = strrchr(dst, '/');
		int fd;

		*slash = 0;
		guest_mkdirs(dst);
		*slash = '/';
		fd = open(dst, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
		if (fd >= 0)
			close(fd);
	} else {
		guest_mkdirs(dst);
	}
	if (mount(src, dst, NULL, MS_BIND, NULL))
		guest_fail("--share %s: %s", path, strerror(errno));
}

static void guest_delegate_cgroups(void)
{
	size_t len;
	char *list = guest_read_file("/sys/fs/cgroup/cgroup.controllers", &len);
	char word[64];

	for (char *name = strtok(list, " \n"); name; name = strtok(NULL, " \n")) {
		snprintf(word, sizeof(word), "+%s", name);
		guest_write("/sys/fs/cgroup/cgroup.subtree_control", word);
	}
}

static void guest_configure(void)
{
	struct ifreq ifr = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	static const struct {
		int what;
		rlim_t value;
	} limits[] = {
		{RLIMIT_NOFILE, 1048576},
		{RLIMIT_MEMLOCK, RLIM_INFINITY},
		{RLIMIT_NPROC, RLIM_INFINITY},
		{RLIMIT_CORE, 0},
	};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &ifr))
		guest_fail("loopback: %s", strerror(errno));
	close(fd);
	if (sethostname("kvmbox", 6))
		guest_fail("hostname: %s", strerror(errno));
	guest_write("/proc/sys/fs/nr_open", "1048576");
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct rlimit rl = {limits[i].value, limits[i].value};

		if (setrlimit((__rlimit_resource_t)limits[i].what, &rl))
			guest_fail("rlimit %d: %s", limits[i].what, strerror(errno));
	}
	guest_delegate_cgroups();
}

/*
 * QEMU's processors, a thread each, may translate an instruction that another one is just patching,
 * and then run the breakpoint of the half-way state for ever. Linux patches where a first user of
 * something appears and where the last one goes: the scheduler itself for virtual machines, the
 * allocator for cpusets, the scheduler's clock for CPU quotas. So one of each is there all the
 * time.
 */
static void guest_hold_code(void)
{
	static const char group[] = "/sys/fs/cgroup/kvmbox";
	int kvm, vm;

	if (sysconf(_SC_NPROCESSORS_ONLN) == 1)
		return;
	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);
	/* With a local APIC that stays off: that is counted, too. */
	if (vm < 0 || ioctl(vm, KVM_CREATE_IRQCHIP, 0) || ioctl(vm, KVM_CREATE_VCPU, 0) < 0)
		guest_fail("/dev/kvm: %s", strerror(errno));
	if (mkdir(group, 0755))
		guest_fail("%s: %s", group, strerror(errno));
	guest_write("/sys/fs/cgroup/kvmbox/cpu.max", "50000 100000");
}

static void guest_read_job(struct job *job)
{
	size_t len;

	*job = (struct job){.cwd = "/"};
	job->conf = guest_read_file("/job/conf", &len);
	job->argv = guest_read_vector("/job/argv");
	job->envp = guest_read_vector("/job/env");
	for (char *p = job->conf, *end; p < job->conf + len; p = end + 1) {
		end = strchrnul(p, '\n');
		*end = 0;
		if (!strncmp(p, "cwd=", 4))
			job->cwd = p + 4;
		else if (!strncmp(p, "modules=", 8))
			job->modules = p + 8;
		else if (!strcmp(p, "root=share"))
			job->share_root = true;
	}
	job->conf[len] = 0;
	if (job->share_root) {
		guest_mount_root(job);
		guest_mount_all(job);
		for (char *p = job->conf; p < job->conf + len; p += strlen(p) + 1)
			if (!strncmp(p, "share=", 6))
				guest_mount_share(p + 6);
	} else {
		guest_mount_root(job);
		guest_mount_all(job);
	}
}

__attribute__((noreturn)) static void guest_exec(const struct job *job, int in, int out, int err)
{
	sigset_t none;
	int error;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	setsid();
	dup2(in, 0);
	dup2(out, 1);
	dup2(err, 2);
	if (chdir(job->cwd)) {
		fprintf(stderr, "kvmbox: %s: %s\n", job->cwd, strerror(errno));
		_exit(125);
	}
	environ = job->envp;
	execvp(job->argv[0], job->argv);
	error = errno;
	fprintf(stderr, "kvmbox: %s: %s\n", job->argv[0], strerror(error));
	_exit(error == ENOENT ? 127 : 126);
}

static pid_t guest_spawn(const struct job *job, struct pump *in, struct pump *out, struct pump *err)
{
	int p[3][2];
	pid_t pid;

	for (int i = 0; i < 3; i++)
		if (pipe2(p[i], O_CLOEXEC))
			guest_fail("pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		guest_fail("fork: %s", strerror(errno));
	if (pid == 0)
		guest_exec(job, p[0][0], p[1][1], p[2][1]);
	close(p[0][0]);
	close(p[1][1]);
	close(p[2][1]);
	in->out_fd = p[0][1];
	out->in_fd = p[1][0];
	err->in_fd = p[2][0];
	/* Ours alone, so not seen by the command: its ends stay blocking. */
	fcntl(in->out_fd, F_SETFL, O_NONBLOCK);
	fcntl(out->in_fd, F_SETFL, O_NONBLOCK);
	fcntl(err->in_fd, F_SETFL, O_NONBLOCK);
	return pid;
}

/* Reaps whatever has ended; sets *status when it was the command. */
static bool guest_reap(pid_t pid, int *status)
{
	bool ended = false;
	pid_t got;
	int st;

	while ((got = waitpid(-1, &st, WNOHANG)) > 0) {
		if (got != pid)
			continue;
		*status = WIFSIGNALED(st) ? 128 + WTERMSIG(st) : WEXITSTATUS(st);
		ended = true;
	}
	return ended;
}

static void guest_say_alive(time_t *said_s)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec - *said_s < ALIVE_MS / 1000)
		return;
	*said_s = now.tv_sec;
	if (write(ctl_fd, "alive\n", 6) != 6)
		guest_fail("control port: %s", strerror(errno));
}

/*
 * Runs until the command has ended and its output is out. What daemons it left behind write
 * later is not waited for, as they may hold the streams open for good.
 */
static int guest_relay(const struct job *job, pid_t pid, int sig_fd, struct pump *pumps[3])
{
	int alive_ms = job->share_root ? ALIVE_MS : -1;
	struct signalfd_siginfo info;
	time_t said_s = 0;
	struct pollfd pfd[7];
	bool ended = false;
	int status = 0;

	for (;;) {
		int ready;

		if (alive_ms > 0)
			guest_say_alive(&said_s);

		for (int i = 0; i < 3; i++)
			pump_events(pumps[i], &pfd[2 * i]);
		pfd[6] = (struct pollfd){.fd = sig_fd, .events = POLLIN};
		/* The destination of stdin that closes is noticed by writing only. */
		ready = poll(pfd, 7, ended ? 50 : alive_ms);
		if (ready < 0 && errno != EINTR)
			guest_fail("poll: %s", strerror(errno));
		for (int i = 0; i < 3; i++)
			pump_step(pumps[i], &pfd[2 * i]);
		if (pumps[0]->eof && pump_idle(pumps[0]) && pumps[0]->out_fd >= 0) {
			close(pumps[0]->out_fd);
			pumps[0]->out_fd = -1;
		}
		if (pfd[6].revents && read(sig_fd, &info, sizeof(info)) > 0)
			ended |= guest_reap(pid, &status);
		if (!ended || !pump_idle(pumps[1]) || !pump_idle(pumps[2]))
			continue;
		if ((pumps[1]->eof && pumps[2]->eof) || ready == 0)
			return status;
	}
}

/* Ends every process: closing its files is what writes dirty mappings back to the host. */
static void guest_kill_all(void)
{
	struct timespec until, now;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += 5;
	kill(-1, SIGKILL);
	for (;;) {
		pid_t got = waitpid(-1, NULL, WNOHANG);

		if (got < 0)
			return;
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec >= until.tv_sec)
			return;
		if (got == 0)
			usleep(1000);
	}
}

int main(void)
{
	static struct pump in, out, err;
	struct pump *pumps[3] = {&in, &out, &err};
	struct job job;
	char line[128];
	sigset_t set;
	pid_t pid;
	int sig_fd, status;

	umask(0);
	guest_mount("devtmpfs", "/dev", "devtmpfs", 0, "mode=755");
	guest_mount("proc", "/proc", "proc", 0, NULL);
	guest_mount("sysfs", "/sys", "sysfs", 0, NULL);
	guest_load_modules();
	ctl_fd = guest_open_port(PORT_CTL);
	in.in_fd = guest_open_port(PORT_IN);
	out.out_fd = guest_open_port(PORT_OUT);
	err.out_fd = guest_open_port(PORT_ERR);
	guest_read_job(&job);
	if (chdir("/root") || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"))
		guest_fail("switching root: %s", strerror(errno));
	guest_configure();
	umask(022);

	guest_hold_code();
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sig_fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (write(ctl_fd, "up\n", 3) != 3)
		guest_fail("control port: %s", strerror(errno));
	pid = guest_spawn(&job, &in, &out, &err);
	status = guest_relay(&job, pid, sig_fd, pumps);
	guest_kill_all();
	snprintf(line, sizeof(line), "exit %d %llu %llu\n", status,
		(unsigned long long)out.total_bytes, (unsigned long long)err.total_bytes);
	if (write(ctl_fd, line, strlen(line)) < 0)
		guest_fail("control port: %s", strerror(errno));
	for (;;)
		pause();
}
