/* SPDX-License-Identifier: Apache-2.0 */
/* hvrun spec: writes a config.json to begin with. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "runtime/commands.h"

struct spec_options {
	const char *bundle;
	bool rootless;
};

static const struct option_spec spec_specs[] = {
	{.name = "bundle",
		.letter = 'b',
		.kind = OPTION_TEXT,
		.offset = offsetof(struct spec_options, bundle),
		.value_name = "DIR",
		.help = "where to write it (default: the current directory)"},
	{.name = "rootless",
		.kind = OPTION_FLAG,
		.offset = offsetof(struct spec_options, rootless),
		.help = "for an ordinary user: root in the container is whoever calls hvrun"},
	{0},
};

/*
 * What `runc spec` writes, in hvrun's words; the holes are for terminal, args, the group of
 * terminals, limits, the user namespace and its mappings.
 */
static const char spec_text[] =
	"{\n"
	"\t\"ociVersion\": \"1.3.0\",\n"
	"\t\"process\": {\n"
	"\t\t\"terminal\": %s,\n"
	"\t\t\"user\": {\"uid\": 0, \"gid\": 0},\n"
	"\t\t\"args\": %s,\n"
	"\t\t\"env\": [\n"
	"\t\t\t\"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\",\n"
	"\t\t\t\"TERM=xterm\"\n"
	"\t\t],\n"
	"\t\t\"cwd\": \"/\",\n"
	"\t\t\"capabilities\": {\n"
	"\t\t\t\"bounding\": [\"CAP_AUDIT_WRITE\", \"CAP_KILL\", \"CAP_NET_BIND_SERVICE\"],\n"
	"\t\t\t\"effective\": [\"CAP_AUDIT_WRITE\", \"CAP_KILL\", \"CAP_NET_BIND_SERVICE\"],\n"
	"\t\t\t\"permitted\": [\"CAP_AUDIT_WRITE\", \"CAP_KILL\", \"CAP_NET_BIND_SERVICE\"]\n"
	"\t\t},\n"
	"\t\t\"rlimits\": [{\"type\": \"RLIMIT_NOFILE\", \"hard\": 1024, \"soft\": 1024}],\n"
	"\t\t\"noNewPrivileges\": true\n"
	"\t},\n"
	"\t\"root\": {\"path\": \"rootfs\", \"readonly\": true},\n"
	"\t\"hostname\": \"hvrun\",\n"
	"\t\"mounts\": [\n"
	"\t\t{\"destination\": \"/proc\", \"type\": \"proc\", \"source\": \"proc\"},\n"
	"\t\t{\"destination\": \"/dev\", \"type\": \"tmpfs\", \"source\": \"tmpfs\",\n"
	"\t\t\t\"options\": [\"nosuid\", \"strictatime\", \"mode=755\", \"size=65536k\"]},\n"
	"\t\t{\"destination\": \"/dev/pts\", \"type\": \"devpts\", \"source\": \"devpts\",\n"
	"\t\t\t\"options\": [\"nosuid\", \"noexec\", \"newinstance\", \"ptmxmode=0666\",\n"
	"\t\t\t\t\"mode=0620\"%s]},\n"
	"\t\t{\"destination\": \"/dev/shm\", \"type\": \"tmpfs\", \"source\": \"shm\",\n"
	"\t\t\t\"options\": [\"nosuid\", \"noexec\", \"nodev\", \"mode=1777\", \"size=65536k\"]},\n"
	"\t\t{\"destination\": \"/dev/mqueue\", \"type\": \"mqueue\", \"source\": \"mqueue\",\n"
	"\t\t\t\"options\": [\"nosuid\", \"noexec\", \"nodev\"]},\n"
	"\t\t{\"destination\": \"/sys\", \"type\": \"sysfs\", \"source\": \"sysfs\",\n"
	"\t\t\t\"options\": [\"nosuid\", \"noexec\", \"nodev\", \"ro\"]},\n"
	"\t\t{\"destination\": \"/sys/fs/cgroup\", \"type\": \"cgroup\", \"source\": \"cgroup\",\n"
	"\t\t\t\"options\": [\"nosuid\", \"noexec\", \"nodev\", \"relatime\", \"ro\"]}\n"
	"\t],\n"
	"\t\"linux\": {\n"
	"%s"
	"\t\t\"namespaces\": [\n"
	"\t\t\t{\"type\": \"pid\"},\n"
	"\t\t\t{\"type\": \"network\"},\n"
	"\t\t\t{\"type\": \"ipc\"},\n"
	"\t\t\t{\"type\": \"uts\"},\n"
	"\t\t\t{\"type\": \"mount\"},\n"
	"\t\t\t{\"type\": \"cgroup\"}%s\n"
	"\t\t],\n"
	"%s"
	"\t\t\"maskedPaths\": [\n"
	"\t\t\t\"/proc/acpi\", \"/proc/asound\", \"/proc/kcore\", \"/proc/keys\",\n"
	"\t\t\t\"/proc/latency_stats\", \"/proc/timer_list\", \"/proc/timer_stats\",\n"
	"\t\t\t\"/proc/sched_debug\", \"/sys/firmware\", \"/proc/scsi\"\n"
	"\t\t],\n"
	"\t\t\"readonlyPaths\": [\n"
	"\t\t\t\"/proc/bus\", \"/proc/fs\", \"/proc/irq\", \"/proc/sys\", \"/proc/sysrq-trigger\"\n"
	"\t\t]\n"
	"\t}\n"
	"}\n";

static const char spec_resources[] =
	"\t\t\"resources\": {\"devices\": [{\"allow\": false, \"access\": \"rwm\"}]},\n";

/* The words as a JSON array, the caller's to free; NULL with e when they can't be. */
static char *spec_args(int n, char **words, struct err *e)
{
	cleanup_json json_t *list = json_array();

	if (!n)
		json_array_append_new(list, json_string("sh"));
	for (int i = 0; i < n; i++) {
		if (json_array_append_new(list, json_string(words[i])) < 0) {
			err_set(e, EINVAL, "spec: %s: is not valid UTF-8", words[i]);
			return NULL;
		}
	}
	char *text = json_dumps(list, 0);
	if (!text)
		err_sys(e, ENOMEM, "spec");
	return text;
}

/*
 * The whole text, the caller's to free; NULL without memory. Rootless it is as with runc, but for
 * what has no reason in a virtual machine: there is a network namespace, for the host's network
 * can't be shared anyway, and /sys is the guest's own.
 */
static char *spec_compose(const char *args, bool rootless)
{
	cleanup_free char *mappings = NULL;
	char *text;

	if (rootless &&
		asprintf(&mappings,
			"\t\t\"uidMappings\": [{\"containerID\": 0, \"hostID\": %u, \"size\": "
			"1}],\n"
			"\t\t\"gidMappings\": [{\"containerID\": 0, \"hostID\": %u, \"size\": "
			"1}],\n",
			geteuid(), getegid()) < 0)
		return NULL;
	/* In a terminal the shell is to talk to the user; in a script it is to read the script. */
	if (asprintf(&text, spec_text, isatty(STDIN_FILENO) ? "true" : "false", args,
		    rootless ? "" : ", \"gid=5\"", rootless ? "" : spec_resources,
		    rootless ? ",\n\t\t\t{\"type\": \"user\"}" : "", mappings ? mappings : "") < 0)
		return NULL;
	return text;
}

static int spec_write(const char *dir, const char *text, struct err *e)
{
	cleanup_close int bundle = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (bundle < 0)
		return err_sys(e, errno, "--bundle: %s", dir);
	cleanup_close int fd =
		openat(bundle, "config.json", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0 && errno == EEXIST)
		return err_set(e, EEXIST, "File config.json exists. Remove it first");
	if (fd < 0)
		return err_sys(e, errno, "%s/config.json", dir);
	int ret = fd_write_all(fd, text, strlen(text));
	if (ret < 0) {
		unlinkat(bundle, "config.json", 0);
		return err_sys(e, -ret, "%s/config.json", dir);
	}
	return 0;
}

static int command_spec_run(struct context *context, int argc, char **argv)
{
	struct spec_options options = {0};
	struct err e;
	int first;

	int ret = options_parse(spec_specs, &options, argc, argv, &first, &e);
	cleanup_free char *args = ret < 0 ? NULL : spec_args(argc - first, argv + first, &e);
	cleanup_free char *text = args ? spec_compose(args, options.rootless) : NULL;
	if (text)
		ret = spec_write(options.bundle ? options.bundle : ".", text, &e);
	else if (args)
		ret = err_sys(&e, ENOMEM, "spec");
	else
		ret = -EINVAL;
	return ret < 0 ? command_fail(context, &e) : 0;
}

const struct command command_spec = {
	.name = "spec",
	.usage = "[OPTION...] [--] [ARGUMENT...]",
	.summary = "write a config.json to begin with",
	.text = "Writes a config.json that runs the arguments (default: sh) in the root file\n"
		"system `rootfs` beside it, with its own namespaces and no network but the\n"
		"loopback device. process.terminal is true if hvrun's standard input is a\n"
		"terminal. An existing file is left alone.\n"
		"With --rootless, for hvrun without root: a user namespace in which root is the\n"
		"calling user and group, and no limits.\n",
	.options = spec_specs,
	.run = command_spec_run,
};
