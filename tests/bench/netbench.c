/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes and round trips over TCP between a guest and its host, by virtio-net on a tap: hvrun's
 * monitor and QEMU's microvm turn about, with the same kernel and this program as init in both.
 *
 *   netbench ROUNDS MIB TRIPS KERNEL BUILD QEMU-INITRAMFS TUN-MODULE
 *
 * Each round has the guest of either send MIB mebibytes, then receive as many, then answer TRIPS
 * single bytes, one after the other. A run of one gives one line: NAME, what (a name below), round,
 * nanoseconds, of them busy ones (all processors' together), of these this program's own, exits of all
 * VMs; separated by tabs.
 * As pid 1 it is the guest's side: address and commands come from the kernel's command line
 * ("netbench=ADDRESS") and over the connection.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PORT	  7777
#define PIECE	  (128u << 10)
#define WORDS_MAX 64
#define CMDLINE                                                                                    \
	"quiet panic=-1 reboot=t noreplace-smp no_timer_check dummy.numdummies=0 ifb.numifbs=0 "   \
	"initcall_blacklist=slab_late_init"

enum what { SEND, RECEIVE, TRIPS, WHATS };
static const char *const names[WHATS] = {"send", "receive", "trips"};

struct command {
	uint64_t n; /* bytes, or round trips */
	uint8_t what;
} __attribute__((packed));

static uint8_t piece[PIECE];

static bool send_all(int fd, uint64_t bytes)
{
	while (bytes) {
		ssize_t n = send(fd, piece, bytes < PIECE ? bytes : PIECE, MSG_NOSIGNAL);
		if (n <= 0)
			return false;
		bytes -= (uint64_t)n;
	}
	return true;
}

static bool receive_all(int fd, uint64_t bytes)
{
	while (bytes) {
		ssize_t n = recv(fd, piece, bytes < PIECE ? bytes : PIECE, 0);
		if (n <= 0)
			return false;
		bytes -= (uint64_t)n;
	}
	return true;
}

/* The guest's side of round trips, and their host's. */
static bool answer_all(int fd, uint64_t n)
{
	while (n && receive_all(fd, 1) && send_all(fd, 1))
		n--;
	return !n;
}

static bool ask_all(int fd, uint64_t n)
{
	while (n && send_all(fd, 1) && receive_all(fd, 1))
		n--;
	return !n;
}

static void set_up(const char *name, const char *address)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = {0};
	struct sockaddr_in in = {.sin_family = AF_INET};

	strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	inet_pton(AF_INET, address, &in.sin_addr);
	memcpy(&request.ifr_addr, &in, sizeof(in));
	if (ioctl(fd, SIOCSIFADDR, &request) < 0)
		err(1, "%s: address", name);
	inet_pton(AF_INET, "255.255.255.0", &in.sin_addr);
	memcpy(&request.ifr_addr, &in, sizeof(in));
	if (ioctl(fd, SIOCSIFNETMASK, &request) < 0)
		err(1, "%s: netmask", name);
	request.ifr_flags = IFF_UP;
	if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		err(1, "%s: up", name);
	close(fd);
}

/* The guest's side; its host is at the same address with .1. */
static void be_guest(const char *address)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	struct command c;
	int fd = -1;

	set_up("eth0", address);
	inet_pton(AF_INET, address, &to.sin_addr);
	to.sin_addr.s_addr = (to.sin_addr.s_addr & htonl(0xffffff00)) | htonl(1);
	for (int tries = 0; tries < 100; tries++) {
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
			break;
		close(fd);
		usleep(50000);
	}
	while (recv(fd, &c, sizeof(c), MSG_WAITALL) == sizeof(c)) {
		bool ok = false;
		if (c.what == SEND)
			ok = send_all(fd, c.n);
		else if (c.what == RECEIVE)
			ok = receive_all(fd, c.n) && send_all(fd, 1);
		else if (c.what == TRIPS)
			ok = answer_all(fd, c.n);
		if (!ok)
			break;
	}
	reboot(RB_AUTOBOOT);
}

struct machine {
	const char *name;
	char tap[IFNAMSIZ], address[32];
	int tap_fd, listener, conn;
	pid_t pids[2];
};

static pid_t spawn(char *const argv[])
{
	pid_t pid = fork();

	if (pid < 0)
		err(1, "fork");
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	execv(argv[0], argv);
	err(127, "%s", argv[0]);
}

static int text_file(const char *text, size_t len)
{
	int fd = memfd_create("netbench", 0);

	if (fd < 0 || write(fd, text, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET) < 0)
		err(1, "memory file");
	return fd;
}

static void socket_pair(int type, int *ours, int *theirs)
{
	int pair[2];

	if (socketpair(AF_UNIX, type, 0, pair) < 0)
		err(1, "socketpair");
	fcntl(pair[0], F_SETFD, FD_CLOEXEC);
	*ours = pair[0];
	*theirs = pair[1];
}

static int must_open(const char *path, int flags)
{
	int fd = open(path, flags);

	if (fd < 0)
		err(1, "%s", path);
	return fd;
}

static void start_hvrun(struct machine *m, const char *kernel, const char *build)
{
	char text[4096], fs_path[512], vmm_path[512], fs_arg[16], vmm_arg[16];
	int fs_ours, fs_theirs, fs_control, vmm_control, ignored;

	/* hvrun-fs and hvrun-vmm have the two ends of one socket. */
	socket_pair(SOCK_STREAM, &fs_ours, &fs_theirs);
	socket_pair(SOCK_SEQPACKET, &ignored, &fs_control);
	int len = snprintf(text, sizeof(text),
		"{\"version\":1,\"socket\":%d,\"control\":%d,\"threads\":1,\"exports\":[{\"name\":"
		"\"rootfs\",\"fd\":%d,\"path\":\"/\",\"readonly\":true,\"nodev\":true,\"nosuid\":"
		"true}],\"debug\":false}",
		fs_theirs, fs_control, must_open("/", O_PATH | O_DIRECTORY));
	snprintf(fs_arg, sizeof(fs_arg), "%d", text_file(text, (size_t)len));
	snprintf(fs_path, sizeof(fs_path), "%s/hvrun-fs", build);
	char *const fs_words[] = {fs_path, (char *)(uintptr_t) "--config-fd", fs_arg, NULL};
	m->pids[0] = spawn(fs_words);
	close(fs_theirs);
	close(fs_control);
	fcntl(fs_ours, F_SETFD, 0);
	socket_pair(SOCK_SEQPACKET, &ignored, &vmm_control);
	len = snprintf(text, sizeof(text),
		"{\"version\":1,\"id\":\"netbench\",\"accel\":\"kvm\",\"vcpus\":1,\"memoryBytes\":"
		"268435456,\"kernel\":{\"fd\":%d,\"path\":\"%s\"},\"cmdline\":\"" CMDLINE
		" netbench=%s\",\"discovery\":\"cmdline\",\"initramfs\":[{\"path\":\"init\","
		"\"mode\":493,\"fd\":%d}],\"fs\":{\"fd\":%d,\"tag\":\"hvrun\"},\"control\":{\"fd\":"
		"%d},\"stdio\":{\"in\":%d,\"out\":%d,\"err\":%d},\"container\":{\"fd\":%d},\"net\":"
		"[{\"taps\":[%d],\"mac\":\"02:00:00:00:00:10\",\"mtu\":1500}]}",
		must_open(kernel, O_RDONLY), kernel, m->address,
		must_open("/proc/self/exe", O_RDONLY), fs_ours, vmm_control,
		must_open("/dev/null", O_RDWR), must_open("/dev/null", O_RDWR),
		must_open("/dev/null", O_RDWR), text_file("\0\0\0\2{}", 6), m->tap_fd);
	snprintf(vmm_arg, sizeof(vmm_arg), "%d", text_file(text, (size_t)len));
	snprintf(vmm_path, sizeof(vmm_path), "%s/hvrun-vmm", build);
	char *const vmm_words[] = {vmm_path, (char *)(uintptr_t) "--plan-fd", vmm_arg, NULL};
	m->pids[1] = spawn(vmm_words);
	close(fs_ours);
	close(vmm_control);
}

static void start_qemu(struct machine *m, const char *kernel, const char *initramfs)
{
	char netdev[64], append[512], line[1024], *words[WORDS_MAX + 1], *rest = line;
	int n = 0;

	snprintf(netdev, sizeof(netdev), "tap,id=n,fd=%d,vhost=off", m->tap_fd);
	snprintf(append, sizeof(append), CMDLINE " netbench=%s", m->address);
	snprintf(line, sizeof(line),
		"/usr/bin/qemu-system-x86_64 -M "
		"microvm,x-option-roms=off,pit=off,pic=off,rtc=off,isa-serial=off,acpi=off -accel "
		"kvm -cpu host -smp 1 -m 256 -bios /usr/share/qemu/qboot.rom -no-user-config "
		"-nodefaults -display none -no-reboot -global virtio-mmio.force-legacy=false "
		"-device virtio-net-device,netdev=n,mac=02:00:00:00:00:11 -kernel %s -initrd %s",
		kernel, initramfs);
	for (char *word; n < WORDS_MAX - 4 && (word = strsep(&rest, " "));)
		words[n++] = word;
	words[n++] = (char *)(uintptr_t) "-netdev";
	words[n++] = netdev;
	words[n++] = (char *)(uintptr_t) "-append";
	words[n++] = append;
	words[n] = NULL;
	m->pids[1] = spawn(words);
}

static void make_tap(struct machine *m, unsigned number)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	char address[32];

	snprintf(m->tap, sizeof(m->tap), "hvbench%u", number);
	snprintf(address, sizeof(address), "10.99.%u.1", number);
	snprintf(m->address, sizeof(m->address), "10.99.%u.2", number);
	m->tap_fd = open("/dev/net/tun", O_RDWR);
	strcpy(request.ifr_name, m->tap);
	if (m->tap_fd < 0 || ioctl(m->tap_fd, TUNSETIFF, &request) < 0)
		err(1, "tap %s", m->tap);
	set_up(m->tap, address);
	m->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	inet_pton(AF_INET, address, &at.sin_addr);
	if (bind(m->listener, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(m->listener, 1) < 0)
		err(1, "port %d", PORT);
}

static void wait_for_guest(struct machine *m)
{
	struct timeval patience = {.tv_sec = 120};

	setsockopt(m->listener, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	m->conn = accept4(m->listener, NULL, NULL, SOCK_CLOEXEC);
	if (m->conn < 0)
		err(1, "the guest of %s", m->name);
}

struct reading {
	uint64_t ns, idle_ns, own_ns, exits;
};

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct reading read_clocks(void)
{
	struct reading r = {0};
	char line[512];
	/* The kernel's own finest account. */
	FILE *f = fopen("/proc/timer_list", "re");
	unsigned long long ns;

	if (!f)
		err(1, "/proc/timer_list");
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, " .idle_sleeptime : %llu nsecs", &ns) == 1)
			r.idle_ns += ns;
	fclose(f);
	f = fopen("/sys/kernel/debug/kvm/exits", "re");
	if (f && fgets(line, sizeof(line), f))
		r.exits = strtoull(line, NULL, 10);
	if (f)
		fclose(f);
	r.own_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	r.ns = clock_ns(CLOCK_MONOTONIC);
	return r;
}

static void run_one(struct machine *m, unsigned round, enum what what, uint64_t n)
{
	struct command c = {.n = n, .what = (uint8_t)what};
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct reading before = read_clocks();
	bool ok = send(m->conn, &c, sizeof(c), MSG_NOSIGNAL) == sizeof(c);

	if (ok && what == SEND)
		ok = receive_all(m->conn, n);
	else if (ok && what == RECEIVE)
		ok = send_all(m->conn, n) && receive_all(m->conn, 1);
	else if (ok)
		ok = ask_all(m->conn, n);
	struct reading after = read_clocks();
	if (!ok)
		errx(1, "%s: the guest has gone", m->name);
	uint64_t ns = after.ns - before.ns, idle = after.idle_ns - before.idle_ns;
	uint64_t all = ns * (uint64_t)cpus;
	printf("%s\t%s\t%u\t%llu\t%llu\t%llu\t%llu\n", m->name, names[what], round,
		(unsigned long long)ns, (unsigned long long)(all > idle ? all - idle : 0),
		(unsigned long long)(after.own_ns - before.own_ns),
		(unsigned long long)(after.exits - before.exits));
	fflush(stdout);
}

static void load_tun(const char *module)
{
	/* The node may be there without the driver. */
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	if (fd >= 0) {
		close(fd);
		return;
	}
	fd = must_open(module, O_RDONLY | O_CLOEXEC);
	if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)
		err(1, "%s", module);
	close(fd);
	mkdir("/dev/net", 0755);
	if (mknod("/dev/net/tun", S_IFCHR | 0600, (dev_t)(10 << 8 | 200)) < 0 && errno != EEXIST)
		err(1, "/dev/net/tun");
}

int main(int argc, char **argv)
{
	struct machine machines[2] = {{.name = "hvrun"}, {.name = "qemu"}};

	if (getpid() == 1 && getenv("netbench"))
		be_guest(getenv("netbench"));
	if (argc != 8)
		errx(2, "usage: netbench ROUNDS MIB TRIPS KERNEL BUILD QEMU-INITRAMFS TUN-MODULE");
	unsigned rounds = (unsigned)strtoul(argv[1], NULL, 10);
	uint64_t bytes = strtoull(argv[2], NULL, 10) << 20, trips = strtoull(argv[3], NULL, 10);
	load_tun(argv[7]);
	(void)mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
	/* One after the other: what one starts with does not have the other's tap. */
	for (unsigned i = 0; i < 2; i++) {
		make_tap(&machines[i], i);
		if (i == 0)
			start_hvrun(&machines[i], argv[4], argv[5]);
		else
			start_qemu(&machines[i], argv[4], argv[6]);
		wait_for_guest(&machines[i]);
		close(machines[i].tap_fd);
	}
	for (unsigned round = 0; round < rounds; round++)
		for (unsigned i = 0; i < 2 * WHATS; i++)
			run_one(&machines[i & 1], round, i / 2, i / 2 == TRIPS ? trips : bytes);
	for (unsigned i = 0; i < 2; i++) {
		for (unsigned p = 0; p < 2; p++) {
			if (machines[i].pids[p] <= 0)
				continue;
			kill(machines[i].pids[p], SIGKILL);
			waitpid(machines[i].pids[p], NULL, 0);
		}
	}
	return 0;
}
