/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The emulation engine: Debian's QEMU as CPU and machine, by interpretation (TCG), for machines
 * without usable KVM. Kernel, initramfs, guestinit and hvrun-fs are the ones of the KVM engine, and
 * vsock and block devices are ours, which QEMU reaches over vhost-user. TCG is no security
 * boundary (QEMU's own security policy says so): nobody gets this engine without asking for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "microvm/confine/filter.h"
#include "microvm/boot/initramfs.h"
#include "microvm/emulation/arguments.h"
#include "microvm/emulation/child.h"
#include "microvm/vhost/backend.h"
#include "microvm/vhost/frontend_fs.h"
#include "microvm/vmm/engine.h"

#define CONSOLE_READ_BYTES 4096
#define PATH_SHOWN	   256 /* characters of QEMU's in a message */
#define CONSOLE_LAST_READS 256 /* after QEMU's end: more than a socket can hold */

struct console_link {
	struct engine *engine;
	struct loop_source source; /* our end of the socket */
};

struct engine {
	struct vm_config config;
	int kernel_fd, initramfs_fd;
	struct arguments arguments;
	struct arguments_fds fds; /* QEMU's ends; ours to close, but for memory and fs */
	struct child child;
	struct console_link serial, console;
	struct vhost_backend *backends[VM_DEVICES_MAX];
	struct virtio_device **devices; /* copy of config.devices */
	bool ended;
	char message[CHILD_SAID_BYTES + PATH_SHOWN + 128];
};

static void end(struct engine *engine, enum engine_end how, const char *message)
{
	if (engine->ended)
		return;
	engine->ended = true;
	engine->config.ended(engine->config.arg, how, message);
}

/* One read of the guest's log; false when there is nothing (any more). */
static bool console_read(struct console_link *link)
{
	char bytes[CONSOLE_READ_BYTES];
	int fd = link->source.fd;
	ssize_t n;

	do
		n = read(fd, bytes, sizeof(bytes));
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		link->engine->config.console(link->engine->config.arg, bytes, (size_t)n);
		return true;
	}
	if (n == 0 || errno != EAGAIN) {
		loop_del(link->engine->config.loop, &link->source);
		fd_closep(&fd);
	}
	return false;
}

static void console_ready(struct loop_source *source, uint32_t events)
{
	(void)events;
	(void)console_read((struct console_link *)(void *)((char *)source -
		offsetof(struct console_link, source)));
}

static void console_drain(struct console_link *link)
{
	for (int i = 0; i < CONSOLE_LAST_READS && link->source.fd >= 0; i++)
		if (!console_read(link))
			return;
}

static int console_link_init(
	struct engine *engine, struct console_link *link, int *qemu_fd, struct err *e)
{
	int pair[2];

	link->engine = engine;
	link->source.ready = console_ready;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, errno, "console: socketpair");
	*qemu_fd = pair[1];
	int ret = fd_set_nonblock(pair[0], true);
	if (!ret)
		ret = loop_add(engine->config.loop, &link->source, pair[0], EPOLLIN);
	if (ret < 0) {
		close(pair[0]);
		return err_sys(e, -ret, "console: socket");
	}
	return 0;
}

static void child_exited(void *arg, int status)
{
	struct engine *engine = arg;

	console_drain(&engine->serial);
	console_drain(&engine->console);
	const char *said = child_said(&engine->child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		/* As it does for a guest that resets its machine, and as any other program does. */
		snprintf(engine->message, sizeof(engine->message), "%.*s exited with code 0%s%s",
			PATH_SHOWN, engine->config.qemu_path, *said ? ": " : "", said);
		log_debug("%s", engine->message);
		end(engine, ENGINE_END_RESET, engine->message);
		return;
	}
	if (WIFSIGNALED(status))
		snprintf(engine->message, sizeof(engine->message),
			"QEMU was killed by signal %d%s%s", WTERMSIG(status), *said ? ": " : "",
			said);
	else
		snprintf(engine->message, sizeof(engine->message),
			"QEMU failed: %.*s exited with code %d: %s", PATH_SHOWN,
			engine->config.qemu_path, WEXITSTATUS(status),
			*said ? said : "it gave no reason");
	end(engine, ENGINE_END_FAILED, engine->message);
}

/* At its own end QEMU closes the links first: then the news is the exit, which is coming. */
static void backend_closed(void *arg, int error)
{
	struct engine *engine = arg;

	if (!error)
		return;
	child_kill(&engine->child);
	snprintf(engine->message, sizeof(engine->message), "QEMU broke the vhost-user protocol: %s",
		strerror(-error));
	end(engine, ENGINE_END_FAILED, engine->message);
}

static int make_initramfs(struct engine *engine, struct err *e)
{
	const struct vm_config *config = &engine->config;
	uint64_t len = 0;

	if (!config->n_initramfs)
		return 0;
	int ret = initramfs_measure(config->initramfs, config->n_initramfs, &len, e);
	if (ret < 0)
		return ret;
	cleanup_close int fd = memfd_create("initramfs", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, (off_t)len) < 0)
		return err_sys(e, errno, "initramfs: memory file");
	void *map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return err_sys(e, errno, "initramfs: mmap");
	ret = initramfs_write(config->initramfs, config->n_initramfs, map, len, e);
	munmap(map, len);
	if (!ret)
		engine->initramfs_fd = steal_fd(&fd);
	return ret;
}

/* QEMU takes anything for a kernel of the oldest kind, and its complaints then mislead. */
static int check_kernel(const struct vm_config *config, struct err *e)
{
	unsigned char head[0x206] = {0};

	if (pread(config->kernel_fd, head, sizeof(head), 0) < 0)
		return err_sys(e, errno, "%s", config->kernel_path);
	if (memcmp(head, "\177ELF", 4) != 0 && memcmp(head + 0x202, "HdrS", 4) != 0)
		return err_set(e, ENOEXEC, "%s: not a Linux kernel: neither ELF nor bzImage",
			config->kernel_path);
	return 0;
}

/* The socket pair of a device of ours: its back end here, the other end for QEMU. */
static int attach_device(struct engine *engine, unsigned i, struct err *e)
{
	struct virtio_device *dev = engine->devices[i];
	int pair[2];

	if (dev->remote) {
		engine->fds.devices[i] = fcntl(frontend_fs_socket(dev), F_DUPFD_CLOEXEC, 3);
		return engine->fds.devices[i] < 0 ? err_sys(e, errno, "%s: socket", dev->name) : 0;
	}
	if (dev->id != VIRTIO_ID_VSOCK && dev->id != VIRTIO_ID_BLOCK)
		return 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, errno, "%s: socketpair", dev->name);
	engine->fds.devices[i] = pair[1];
	return vhost_backend_create(
		&engine->backends[i], engine->config.loop, dev, pair[0], backend_closed, engine, e);
}

static void close_qemu_ends(struct engine *engine)
{
	for (unsigned i = 0; i < VM_DEVICES_MAX; i++)
		fd_closep(&engine->fds.devices[i]);
	fd_closep(&engine->fds.serial);
	fd_closep(&engine->fds.console);
	fd_closep(&engine->kernel_fd);
	fd_closep(&engine->initramfs_fd);
}

static void emulation_stop(struct engine *engine)
{
	engine->ended = true; /* nothing is reported after this */
	child_kill(&engine->child);
	console_drain(&engine->serial);
	console_drain(&engine->console);
	for (unsigned i = 0; i < VM_DEVICES_MAX; i++) {
		vhost_backend_free(engine->backends[i]);
		engine->backends[i] = NULL;
	}
}

static void console_link_fini(struct console_link *link)
{
	int fd = link->source.fd;

	loop_del(link->engine->config.loop, &link->source);
	fd_closep(&fd);
}

static void emulation_free(struct engine *engine)
{
	if (!engine)
		return;
	emulation_stop(engine);
	console_link_fini(&engine->serial);
	console_link_fini(&engine->console);
	child_fini(&engine->child);
	close_qemu_ends(engine);
	arguments_fini(&engine->arguments);
	free(engine->devices);
	free(engine);
}

static int prepare(struct engine *engine, struct err *e)
{
	const struct vm_config *config = &engine->config;

	if (!config->qemu_path)
		return err_set(e, EINVAL, "emulation: no path of qemu-system-x86_64");
	if (config->n_devices > VM_DEVICES_MAX)
		return err_set(e, E2BIG, "emulation: too many devices");
	engine->devices = calloc(config->n_devices + 1, sizeof(engine->devices[0]));
	if (!engine->devices)
		return err_sys(e, ENOMEM, "emulation");
	memcpy(engine->devices, config->devices, config->n_devices * sizeof(engine->devices[0]));
	engine->config.devices = engine->devices;
	engine->kernel_fd = fcntl(config->kernel_fd, F_DUPFD_CLOEXEC, 3);
	if (engine->kernel_fd < 0)
		return err_sys(e, errno, "%s", config->kernel_path);
	int ret = check_kernel(config, e);
	if (!ret)
		ret = make_initramfs(engine, e);
	if (!ret)
		ret = console_link_init(engine, &engine->serial, &engine->fds.serial, e);
	if (!ret)
		ret = console_link_init(engine, &engine->console, &engine->fds.console, e);
	for (unsigned i = 0; i < config->n_devices && !ret; i++)
		ret = attach_device(engine, i, e);
	if (ret < 0)
		return ret;
	engine->fds.kernel = engine->kernel_fd;
	engine->fds.initramfs = engine->initramfs_fd;
	engine->fds.memory = config->memory->regions[0].fd;
	return arguments_build(&engine->arguments, config, &engine->fds, e);
}

static int emulation_create(const struct vm_config *config, struct engine **out, struct err *e)
{
	struct engine *engine = calloc(1, sizeof(*engine));

	if (!engine)
		return err_sys(e, ENOMEM, "emulation");
	engine->config = *config;
	engine->kernel_fd = engine->initramfs_fd = -1;
	engine->fds.serial = engine->fds.console = -1;
	for (unsigned i = 0; i < VM_DEVICES_MAX; i++)
		engine->fds.devices[i] = -1;
	engine->serial.engine = engine->console.engine = engine;
	engine->serial.source.fd = engine->console.source.fd = -1;
	child_init(&engine->child, config->loop, child_exited, engine);
	int ret = prepare(engine, e);
	if (ret < 0) {
		emulation_free(engine);
		return ret;
	}
	*out = engine;
	return 0;
}

/* Taps and streams are QEMU's to use; they stay open here, as those of a device that is idle. */
static unsigned keep_nets(const struct engine *engine, int *keep)
{
	unsigned n = 0;

	for (unsigned i = 0; i < engine->config.n_devices; i++) {
		if (engine->devices[i]->id != VIRTIO_ID_NET)
			continue;
		const struct vm_net *net = &engine->config.nets[i];
		for (unsigned q = 0; q < net->n_fds; q++)
			keep[n++] = net->fds[q];
	}
	return n;
}

static int emulation_start(struct engine *engine, struct err *e)
{
	int keep[VM_DEVICES_MAX * (1 + VM_NET_QUEUES_MAX) + 5];
	unsigned n = keep_nets(engine, keep);

	for (unsigned i = 0; i < VM_DEVICES_MAX; i++)
		if (engine->fds.devices[i] >= 0)
			keep[n++] = engine->fds.devices[i];
	keep[n++] = engine->fds.serial;
	keep[n++] = engine->fds.console;
	keep[n++] = engine->fds.kernel;
	keep[n++] = engine->fds.memory;
	if (engine->fds.initramfs >= 0)
		keep[n++] = engine->fds.initramfs;
	for (unsigned i = 0; i < engine->arguments.n; i++)
		log_debug("qemu: %s", engine->arguments.words[i]);
	int ret = child_start(&engine->child, engine->arguments.words, keep, n, e);
	/* With our copies gone, the end of QEMU is the end of each socket. */
	close_qemu_ends(engine);
	return ret;
}

/*
 * The process as a whole: its ends of our sockets stay quiet meanwhile, and nobody here waits for
 * an answer on them.
 */
static int emulation_pause(struct engine *engine, struct err *e)
{
	int ret = child_freeze(&engine->child, true);

	return ret < 0 ? err_sys(e, -ret, "QEMU can't be stopped") : 0;
}

static int emulation_resume(struct engine *engine, struct err *e)
{
	int ret = child_freeze(&engine->child, false);

	return ret < 0 ? err_sys(e, -ret, "QEMU can't go on") : 0;
}

static const struct call loop_calls[] = {
	/* child.c */
	CALL(pidfd_send_signal),
	CALL(wait4),
	CALL(waitid),
	/* microvm/vhost: the guest's memory once more, as QEMU shares it */
	CALL(madvise),
	CALL_IF_EQUAL(fcntl, 1, F_GETFL),
	CALL_IF_EQUAL_RARELY(fcntl, 1, F_SETFL), /* of a kick that waits, as QEMU's do not */
};
static const struct calls engine_calls = CALLS(loop_calls);

const struct engine_ops engine_emulation_ops = {
	.name = "emulation",
	.calls = &engine_calls,
	.create = emulation_create,
	.start = emulation_start,
	.pause = emulation_pause,
	.resume = emulation_resume,
	.stop = emulation_stop,
	.free = emulation_free,
};
