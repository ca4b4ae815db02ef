/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's kernel; see guestkernel.h. */
#include "runtime/guestkernel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

/*
 * The words of hvrun's own kernel are kept beside its configuration, in kernel-config/cmdline, and
 * built in here: lines that begin with '#' are comments.
 */
__asm__(".pushsection .rodata\n"
	"guestkernel_words:\n"
	".incbin \"kernel-config/cmdline\"\n"
	".byte 0\n"
	".popsection\n");
extern const char guestkernel_words[] __attribute__((visibility("hidden")));

/* What spares a distribution's kernel the search for hardware that the VM does not have. */
#define CMDLINE_OTHER "pci=off i8042.noaux i8042.nokbd 8250.nr_uarts=0 random.trust_cpu=on"
/* Takes "quiet" back when somebody is looking for a fault: of two, the last word counts. */
#define CMDLINE_DEBUG "loglevel=7"

static int open_file(const char *path, struct err *e)
{
	struct stat st;
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0)
		return err_sys(e, errno, "%s", path);
	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, EINVAL, "%s: not a regular file", path);
	return steal_fd(&fd);
}

/* Whether path is the very file that hvrun would take by itself. */
static bool is_own(const char *path, const char *own)
{
	struct stat a, b;

	return stat(path, &a) == 0 && stat(own, &b) == 0 && a.st_dev == b.st_dev &&
		a.st_ino == b.st_ino;
}

static int choose_kernel(struct guestkernel *kernel, const struct settings *settings,
	const struct oci_config *config, const struct programs *programs, struct err *e)
{
	char own[PATH_MAX];
	const char *path = settings->kernel;
	const char *where =
		path && path == config->vm_kernel_path ? "config.json: vm.kernel.path" : "kernel";
	bool have_own = programs_find(programs, PROGRAM_KERNEL, own, NULL) == 0;

	if (!path && !have_own)
		return err_set(e, ENOENT,
			"no kernel: %s/vmlinux is not there; build it with `make kernel`, or name "
			"another with --kernel FILE (and --modules DIR if its drivers are modules)",
			programs->self_dir);
	if (snprintf(kernel->path, sizeof(kernel->path), "%s", path ? path : own) >= PATH_MAX)
		return err_sys(e, ENAMETOOLONG, "%s", where);
	kernel->fd = open_file(kernel->path, e);
	if (kernel->fd < 0)
		return err_add(e, "%s", where);
	bool ours = !path || (have_own && is_own(path, own));
	kernel->discovery = settings->discovery;
	if (!kernel->discovery)
		kernel->discovery = ours ? "cmdline" : "acpi";
	kernel->own = ours;
	return 0;
}

static int add_words(struct guestkernel *kernel, const char *words, struct err *e)
{
	size_t used = strlen(kernel->cmdline), n = strlen(words);

	if (!n)
		return 0;
	if (!used)
		used = (size_t)-1; /* no space in front of the first */
	if (used + 1 + n >= sizeof(kernel->cmdline))
		return err_set(e, E2BIG, "kernel command line: longer than %zu bytes",
			sizeof(kernel->cmdline) - 1);
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)words[i] < ' ')
			return err_set(e, EINVAL, "kernel command line: holds a control character");
	if (used != (size_t)-1)
		kernel->cmdline[used] = ' ';
	memcpy(kernel->cmdline + used + 1, words, n + 1);
	return 0;
}

static int add_own_words(struct guestkernel *kernel, struct err *e)
{
	for (const char *line = guestkernel_words; *line;) {
		char words[512];
		size_t n = strcspn(line, "\n");
		if (line[0] != '#') {
			snprintf(words, sizeof(words), "%.*s", (int)n, line);
			int ret = add_words(kernel, words, e);
			if (ret < 0)
				return ret;
		}
		line += n + (line[n] == '\n');
	}
	return 0;
}

/* Without a namespace of its own the container has the host's name, as it would have there. */
static int add_host_name(struct guestkernel *kernel, struct err *e)
{
	char name[HOST_NAME_MAX + 1] = "", word[sizeof(name) + 16];

	if (gethostname(name, sizeof(name) - 1) < 0 || !name[0] || strpbrk(name, " \"\n"))
		return 0;
	snprintf(word, sizeof(word), "hostname=%s", name);
	return add_words(kernel, word, e);
}

static int make_cmdline(struct guestkernel *kernel, const struct settings *settings,
	const struct oci_config *config, struct err *e)
{
	int ret = add_own_words(kernel, e);
	if (ret == 0 && !kernel->own)
		ret = add_words(kernel, CMDLINE_OTHER, e);
	if (ret == 0 && settings->debug)
		ret = add_words(kernel, CMDLINE_DEBUG, e);

	if (ret == 0 && !(config->namespaces & OCI_NS_UTS))
		ret = add_host_name(kernel, e);
	for (size_t i = 0; ret == 0 && i < json_array_size(config->vm_kernel_parameters); i++) {
		ret = add_words(kernel,
			json_string_value(json_array_get(config->vm_kernel_parameters, i)), e);
		if (ret < 0)
			err_add(e, "config.json: vm.kernel.parameters[%zu]", i);
	}
	if (ret == 0 && settings->cmdline)
		ret = add_words(kernel, settings->cmdline, e);
	return ret;
}

static int add_file(struct guestkernel *kernel, unsigned mode, int fd, const char *path)
{
	struct guestkernel_file *file = &kernel->files[kernel->n_files++];

	snprintf(file->path, sizeof(file->path), "%s", path);
	file->mode_perms = mode;
	file->fd = fd;
	return 0;
}

static int add_modules(struct guestkernel *kernel, const char *path, struct err *e)
{
	cleanup_close int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct modules modules;

	if (dir < 0)
		return err_sys(e, errno, "modules: %s", path);
	int ret = modules_resolve(&modules, dir, path, e);
	if (ret < 0)
		return err_add(e, "modules");
	for (unsigned i = 0; i < modules.n && ret == 0; i++) {
		const char *file = modules.files[i], *slash = strrchr(file, '/');
		char name[80];
		int fd = openat(dir, file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
		if (fd < 0) {
			ret = err_sys(e, errno, "modules: %s/%s", path, file);
			break;
		}
		snprintf(name, sizeof(name), "modules/%03u-%.48s", i, slash ? slash + 1 : file);
		ret = add_file(kernel, 0644, fd, name);
	}
	modules_fini(&modules);
	return ret;
}

static int fill(struct guestkernel *kernel, const struct settings *settings,
	const struct oci_config *config, const struct programs *programs, struct err *e)
{
	char init[PATH_MAX];

	int ret = choose_kernel(kernel, settings, config, programs, e);
	if (ret == 0)
		ret = make_cmdline(kernel, settings, config, e);
	if (ret == 0)
		ret = programs_find(programs, PROGRAM_INIT, init, e);
	if (ret < 0)
		return ret;
	int fd = open_file(init, e);
	if (fd < 0)
		return fd;
	add_file(kernel, 0755, fd, "init");
	return settings->modules ? add_modules(kernel, settings->modules, e) : 0;
}

int guestkernel_open(struct guestkernel *kernel, const struct settings *settings,
	const struct oci_config *config, const struct programs *programs, struct err *e)
{
	kernel->fd = -1;
	kernel->n_files = 0;
	kernel->cmdline[0] = kernel->path[0] = '\0';
	int ret = fill(kernel, settings, config, programs, e);
	if (ret < 0)
		guestkernel_close(kernel);
	return ret;
}

void guestkernel_close(struct guestkernel *kernel)
{
	fd_closep(&kernel->fd);
	for (unsigned i = 0; i < kernel->n_files; i++)
		fd_closep(&kernel->files[i].fd);
	kernel->n_files = 0;
}
