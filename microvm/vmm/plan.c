/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the VM plan; see plan.h. */
#include "microvm/vmm/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "microvm/boot/initramfs.h"
#include "microvm/devices/blk.h"
#include "microvm/vhost/frontend_fs.h"
#include "microvm/vmm/plan_object.h"

#define PLAN_DEPTH_MAX	   6
#define PLAN_ID_MAX	   1024
#define PLAN_PATH_MAX	   4096
#define PLAN_CMDLINE_MAX   2047
#define MEMORY_MIN_BYTES   (UINT64_C(32) << 20)
#define MEMORY_MAX_BYTES   (UINT64_C(1) << 44)
#define HUGE_PAGE_BYTES	   (UINT64_C(2) << 20)
#define BOOT_TIMEOUT_MAX_S 86400
#define RESOLVER_PORT	   2047
#define SOCKET_PORT_MIN	   2048
#define SOCKET_PORT_MAX	   4095
#define UID_BASE_MAX	   (INT32_MAX - PID_MAX)
#define PID_MAX		   (1 << 22) /* the kernel's PID_MAX_LIMIT */

static int read_kernel(struct plan *plan, struct plan_object *top)
{
	struct plan_object o = {0};
	int ret = plan_take_object(top, "kernel", "kernel.", &o);

	if (!ret)
		ret = plan_take_fd(&o, "fd", &plan->kernel_fd);
	if (!ret)
		ret = plan_take_string(&o, "path", true, PLAN_PATH_MAX, &plan->kernel_path);
	return ret ? ret : plan_finish(&o);
}

static int read_initramfs(struct plan *plan, struct plan_object *top)
{
	const json_t *list = plan_take(top, "initramfs", true);
	size_t n = json_array_size(list);

	if (!json_is_array(list) || !n || n > INITRAMFS_FILES_MAX)
		return plan_wrong(top, "initramfs", "a list of files");
	plan->initramfs = calloc(n, sizeof(plan->initramfs[0]));
	if (!plan->initramfs)
		return err_sys(top->e, ENOMEM, "plan");
	for (size_t i = 0; i < n; i++)
		plan->initramfs[i].fd = -1;
	for (size_t i = 0; i < n; i++) {
		struct vm_file *file = &plan->initramfs[i];
		struct plan_object o = {
			.json = json_array_get(list, i), .path = "initramfs[].", .e = top->e};
		json_int_t mode = 0;
		plan->n_initramfs++;
		if (!json_is_object(o.json))
			return plan_wrong(top, "initramfs", "a list of objects");
		int ret = plan_take_string(&o, "path", true, PLAN_PATH_MAX, &file->path);
		if (!ret)
			ret = plan_take_integer(&o, "mode", 0, 07777, &mode);
		if (!ret)
			ret = plan_take_fd(&o, "fd", &file->fd);
		if (!ret)
			ret = plan_finish(&o);
		if (ret < 0)
			return ret;
		file->mode_perms = (unsigned)mode;
	}
	return 0;
}

static int read_fs(struct plan *plan, struct plan_object *top)
{
	struct plan_object o = {0};
	int ret = plan_take_object(top, "fs", "fs.", &o);

	if (!ret)
		ret = plan_take_fd(&o, "fd", &plan->fs_fd);
	if (!ret)
		ret = plan_take_string(&o, "tag", true, FRONTEND_FS_TAG_BYTES, &plan->fs_tag);
	if (!ret && json_object_get(o.json, "log"))
		ret = plan_take_fd(&o, "log", &plan->fs_log_fd);
	if (!ret && !plan_is_plain_name(plan->fs_tag))
		ret = plan_wrong(&o, "tag", "letters, digits, '.', '_' and '-'");
	return ret ? ret : plan_finish(&o);
}

static int read_disks(struct plan *plan, struct plan_object *top)
{
	const json_t *list = plan_take(top, "disks", false);
	size_t n = json_array_size(list);

	if (!list)
		return 0;
	if (!json_is_array(list) || n > PLAN_DISKS_MAX)
		return plan_wrong(top, "disks", "a list of at most 8 disks");
	for (size_t i = 0; i < n; i++) {
		struct plan_disk *disk = &plan->disks[i];
		struct plan_object o = {
			.json = json_array_get(list, i), .path = "disks[].", .e = top->e};
		if (!json_is_object(o.json))
			return plan_wrong(top, "disks", "a list of objects");
		int ret = plan_take_fd(&o, "fd", &disk->fd);
		if (!ret)
			ret = plan_take_bool(&o, "readonly", &disk->readonly);
		if (!ret)
			ret = plan_take_string(
				&o, "serial", false, BLK_SERIAL_BYTES, &disk->serial);
		if (!ret && disk->serial && !plan_is_plain_name(disk->serial))
			ret = plan_wrong(&o, "serial", "letters, digits, '.', '_' and '-'");
		if (!ret)
			ret = plan_finish(&o);
		plan->n_disks++;
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int read_stdio(struct plan *plan, struct plan_object *top)
{
	struct plan_object o = {0};
	int ret = plan_take_object(top, "stdio", "stdio.", &o);

	if (ret < 0)
		return ret;
	if (json_object_get(o.json, "terminal")) {
		ret = plan_take_fd(&o, "terminal", &plan->terminal_fd);
		if (!ret)
			ret = plan_take_bool(&o, "controlling", &plan->controlling);
		return ret ? ret : plan_finish(&o);
	}
	ret = plan_take_fd(&o, "in", &plan->in_fd);
	if (!ret)
		ret = plan_take_fd(&o, "out", &plan->out_fd);
	if (!ret)
		ret = plan_take_fd(&o, "err", &plan->err_fd);
	return ret ? ret : plan_finish(&o);
}

static int read_control(struct plan *plan, struct plan_object *top)
{
	struct plan_object o = {0};
	int ret = plan_take_object(top, "control", "control.", &o);

	if (!ret)
		ret = plan_take_fd(&o, "fd", &plan->control_fd);
	if (!ret)
		ret = plan_take_bool(&o, "lifeline", &plan->lifeline);
	return ret ? ret : plan_finish(&o);
}

static int read_sockets(struct plan *plan, struct plan_object *top)
{
	const json_t *list = plan_take(top, "sockets", false);
	size_t n = json_array_size(list);

	if (!list)
		return 0;
	if (!json_is_array(list) || n > PLAN_SOCKETS_MAX)
		return plan_wrong(top, "sockets", "a list of at most 32 sockets");
	for (size_t i = 0; i < n; i++) {
		struct plan_socket *socket = &plan->sockets[i];
		struct plan_object o = {
			.json = json_array_get(list, i), .path = "sockets[].", .e = top->e};
		json_int_t port = 0;
		if (!json_is_object(o.json))
			return plan_wrong(top, "sockets", "a list of objects");
		int ret = plan_take_integer(&o, "port", SOCKET_PORT_MIN, SOCKET_PORT_MAX, &port);
		if (!ret)
			ret = plan_take_fd(&o, "fd", &socket->fd);
		if (!ret)
			ret = plan_finish(&o);
		plan->n_sockets++;
		if (ret < 0)
			return ret;
		socket->port = (uint32_t)port;
	}
	return 0;
}

static int read_resolver(struct plan *plan, struct plan_object *top)
{
	struct plan_object o = {0};
	json_int_t port = 0;

	if (!json_object_get(plan->json, "resolver"))
		return 0;
	int ret = plan_take_object(top, "resolver", "resolver.", &o);
	if (!ret)
		ret = plan_take_integer(&o, "port", RESOLVER_PORT, RESOLVER_PORT, &port);
	if (!ret)
		ret = plan_take_fd(&o, "fd", &plan->resolver_fd);
	plan->resolver_port = (uint32_t)port;
	return ret ? ret : plan_finish(&o);
}

static int read_keep(struct plan *plan, struct plan_object *top)
{
	const json_t *list = plan_take(top, "keep", false);
	size_t n = json_array_size(list);

	if (!list)
		return 0;
	if (!json_is_array(list) || n > PLAN_KEEP_MAX)
		return plan_wrong(top, "keep", "a list of at most 16 descriptors");
	for (size_t i = 0; i < n; i++) {
		const json_t *value = json_array_get(list, i);
		json_int_t number = json_integer_value(value);
		if (!json_is_integer(value) || number < 0 || number > INT32_MAX)
			return plan_wrong(top, "keep", "a list of descriptors");
		int ret = plan_own_fd(top, "keep", number, &plan->keep[i]);
		if (ret < 0)
			return ret;
		plan->n_keep++;
	}
	return 0;
}

static int read_preserved(struct plan *plan, struct plan_object *top)
{
	const json_t *list = plan_take(top, "preserved", false);
	size_t n = json_array_size(list);

	if (!list)
		return 0;
	if (!json_is_array(list) || n > MSG_PRESERVED_MAX)
		return plan_wrong(top, "preserved", "a list of at most 16 streams");
	for (size_t i = 0; i < n; i++) {
		struct preserved *preserved = &plan->preserved[i];
		struct plan_object o = {
			.json = json_array_get(list, i), .path = "preserved[].", .e = top->e};
		if (!json_is_object(o.json))
			return plan_wrong(top, "preserved", "a list of objects");
		int ret = plan_take_fd(&o, "fd", &preserved->fd);
		plan->n_preserved++;
		if (!ret)
			ret = plan_take_bool(&o, "in", &preserved->in);
		if (!ret)
			ret = plan_take_bool(&o, "out", &preserved->out);
		if (!ret && !preserved->in && !preserved->out)
			ret = plan_wrong(top, "preserved[].out", "true where \"in\" is not");
		if (!ret)
			ret = plan_finish(&o);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* {"fd": N}, what several keys are. */
static int read_fd_object(struct plan_object *top, const char *key, const char *path, int *fd)
{
	struct plan_object o = {0};
	int ret = plan_take_object(top, key, path, &o);

	if (!ret)
		ret = plan_take_fd(&o, "fd", fd);
	return ret ? ret : plan_finish(&o);
}

static int read_report(struct plan *plan, struct plan_object *top)
{
	struct plan_object o = {0};

	if (!json_object_get(top->json, "report"))
		return 0;
	int ret = plan_take_object(top, "report", "report.", &o);
	if (!ret)
		ret = plan_take_fd(&o, "fd", &plan->report_fd);
	if (!ret)
		ret = plan_take_bool(&o, "json", &plan->report_json);
	return ret ? ret : plan_finish(&o);
}

static int read_machine(struct plan *plan, struct plan_object *top)
{
	const char *accel = "", *discovery = "";
	json_int_t version = 0, vcpus = 0, memory = 0, uid_base = 0, boot_timeout = 0;
	int ret = plan_take_integer(top, "version", 1, 1, &version);

	if (!ret)
		ret = plan_take_string(top, "id", true, PLAN_ID_MAX, &plan->id);
	if (!ret)
		ret = plan_take_string(top, "accel", true, 16, &accel);
	if (!ret && strcmp(accel, "kvm") != 0 && strcmp(accel, "emulation") != 0)
		ret = plan_wrong(top, "accel", "\"kvm\" or \"emulation\"");
	if (!ret)
		ret = plan_take_integer(top, "vcpus", 1, VM_VCPUS_MAX, &vcpus);
	if (!ret)
		ret = plan_take_integer(top, "memoryBytes", (json_int_t)MEMORY_MIN_BYTES,
			(json_int_t)MEMORY_MAX_BYTES, &memory);
	if (!ret && (uint64_t)memory % HUGE_PAGE_BYTES)
		ret = plan_wrong(top, "memoryBytes", "a multiple of 2 MiB");
	if (!ret)
		ret = plan_take_string(top, "cmdline", true, PLAN_CMDLINE_MAX, &plan->cmdline);
	if (!ret)
		ret = plan_take_string(top, "discovery", true, 16, &discovery);
	if (!ret && strcmp(discovery, "cmdline") != 0 && strcmp(discovery, "acpi") != 0)
		ret = plan_wrong(top, "discovery", "\"cmdline\" or \"acpi\"");
	if (!ret && json_object_get(top->json, "bootTimeoutSeconds"))
		ret = plan_take_integer(
			top, "bootTimeoutSeconds", 1, BOOT_TIMEOUT_MAX_S, &boot_timeout);
	if (!ret)
		ret = plan_take_string(top, "qemu", false, PLAN_PATH_MAX, &plan->qemu);
	if (!ret)
		ret = plan_take_bool(top, "debug", &plan->debug);
	if (!ret)
		ret = plan_take_bool(top, "hold", &plan->hold);
	if (!ret)
		ret = plan_take_bool(top, "forwardSignals", &plan->forward_signals);
	if (!ret && json_object_get(top->json, "uidBase"))
		ret = plan_take_integer(top, "uidBase", 1, UID_BASE_MAX, &uid_base);
	if (ret < 0)
		return ret;
	plan->emulation = strcmp(accel, "emulation") == 0;
	plan->vcpus = (unsigned)vcpus;
	plan->uid_base = (uint32_t)uid_base;
	plan->boot_timeout_s = (unsigned)boot_timeout;
	plan->memory_bytes = (uint64_t)memory;
	plan->discovery = strcmp(discovery, "acpi") == 0 ? VM_DISCOVERY_ACPI : VM_DISCOVERY_CMDLINE;
	if (plan->emulation && (!plan->qemu || plan->qemu[0] != '/'))
		return plan_wrong(top, "qemu", "the absolute path of qemu-system-x86_64");
	return 0;
}

static void plan_init(struct plan *plan)
{
	memset(plan, 0, sizeof(*plan));
	plan->kernel_fd = plan->fs_fd = plan->fs_log_fd = plan->control_fd = plan->container_fd =
		-1;
	plan->listen_fd = plan->oom_fd = plan->report_fd = plan->resolver_fd = -1;
	plan->lifeline = true;
	plan->in_fd = plan->out_fd = plan->err_fd = plan->terminal_fd = -1;
	for (unsigned i = 0; i < PLAN_DISKS_MAX; i++)
		plan->disks[i].fd = -1;
	for (unsigned i = 0; i < PLAN_NETS_MAX; i++)
		for (unsigned q = 0; q < NET_PAIRS_MAX; q++)
			plan->nets[i].fds[q] = -1;
	for (unsigned i = 0; i < PLAN_SOCKETS_MAX; i++)
		plan->sockets[i].fd = -1;
	for (unsigned i = 0; i < MSG_PRESERVED_MAX; i++)
		plan->preserved[i].fd = -1;
}

int plan_parse(struct plan *plan, const char *text, size_t len_bytes, struct err *e)
{
	struct plan_object top = {.path = "", .e = e};

	plan_init(plan);
	plan->json = json_parse(text, len_bytes, PLAN_DEPTH_MAX, e);
	if (!plan->json)
		return err_add(e, "plan");
	if (!json_is_object(plan->json))
		return err_set(e, EINVAL, "plan: must be an object");
	top.json = plan->json;
	int ret = read_machine(plan, &top);
	if (!ret)
		ret = read_control(plan, &top);
	if (!ret && json_object_get(plan->json, "listen"))
		ret = read_fd_object(&top, "listen", "listen.", &plan->listen_fd);
	if (!ret && json_object_get(plan->json, "oom"))
		ret = read_fd_object(&top, "oom", "oom.", &plan->oom_fd);
	if (!ret)
		ret = read_report(plan, &top);
	if (!ret)
		ret = read_kernel(plan, &top);
	if (!ret)
		ret = read_initramfs(plan, &top);
	if (!ret)
		ret = read_fs(plan, &top);
	if (!ret)
		ret = read_disks(plan, &top);
	if (!ret)
		ret = plan_read_net(plan, &top);
	if (!ret)
		ret = read_stdio(plan, &top);
	if (!ret)
		ret = read_preserved(plan, &top);
	if (!ret)
		ret = read_sockets(plan, &top);
	if (!ret)
		ret = read_resolver(plan, &top);
	if (!ret)
		ret = read_keep(plan, &top);
	if (!ret)
		ret = read_fd_object(&top, "container", "container.", &plan->container_fd);
	if (!ret)
		ret = plan_finish(&top);
	return ret;
}

int plan_read(struct plan *plan, int fd, struct err *e)
{
	cleanup_free char *text = NULL;
	size_t len;
	int ret = fd_slurp(fd, PLAN_MAX_BYTES, &text, &len);

	plan_init(plan);
	if (ret < 0)
		return err_sys(e, -ret, "plan: descriptor %d", fd);
	return plan_parse(plan, text, len, e);
}

static void visit_all(struct plan *plan, void (*visit)(int *fd, void *arg), void *arg)
{
	int *const single[] = {&plan->kernel_fd, &plan->fs_fd, &plan->fs_log_fd, &plan->control_fd,
		&plan->in_fd, &plan->out_fd, &plan->err_fd, &plan->terminal_fd, &plan->container_fd,
		&plan->listen_fd, &plan->oom_fd, &plan->report_fd, &plan->resolver_fd};

	for (unsigned i = 0; i < sizeof(single) / sizeof(single[0]); i++)
		visit(single[i], arg);
	for (unsigned i = 0; i < plan->n_disks; i++)
		visit(&plan->disks[i].fd, arg);
	for (unsigned i = 0; i < plan->n_nets; i++)
		for (unsigned q = 0; q < plan->nets[i].n_fds; q++)
			visit(&plan->nets[i].fds[q], arg);
	for (unsigned i = 0; i < plan->n_sockets; i++)
		visit(&plan->sockets[i].fd, arg);
	for (unsigned i = 0; i < plan->n_preserved; i++)
		visit(&plan->preserved[i].fd, arg);
	for (unsigned i = 0; i < plan->n_keep; i++)
		visit(&plan->keep[i], arg);
	for (unsigned i = 0; i < plan->n_initramfs; i++)
		visit(&plan->initramfs[i].fd, arg);
}

struct numbers {
	int *fds;
	unsigned n, cap;
};

static void visit_number(int *fd, void *arg)
{
	struct numbers *numbers = arg;

	if (*fd < 0)
		return;
	if (numbers->n < numbers->cap)
		numbers->fds[numbers->n] = *fd;
	numbers->n++;
}

unsigned plan_descriptors(struct plan *plan, int *fds, unsigned cap)
{
	struct numbers numbers = {.fds = fds, .cap = cap};

	visit_all(plan, visit_number, &numbers);
	return numbers.n;
}

static void visit_close(int *fd, void *arg)
{
	(void)arg;
	fd_closep(fd);
}

void plan_close_boot(struct plan *plan)
{
	fd_closep(&plan->kernel_fd);
	for (unsigned i = 0; i < plan->n_initramfs; i++)
		fd_closep(&plan->initramfs[i].fd);
}

void plan_fini(struct plan *plan)
{
	visit_all(plan, visit_close, NULL);
	free(plan->initramfs);
	plan->initramfs = NULL;
	plan->n_initramfs = plan->n_disks = plan->n_sockets = plan->n_keep = 0;
	plan->n_nets = plan->n_preserved = 0;
	json_decref(plan->json);
	plan->json = NULL;
}
