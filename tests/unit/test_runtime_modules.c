/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel modules of a guest: names, order by dependency, built-ins, and a modules.dep gone wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/modules.h"

static void put(int dir, const char *name, const char *text)
{
	cleanup_close int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
}

static int resolve(struct modules *modules, const char *dep, const char *builtin, struct err *e)
{
	char path[] = "/tmp/modules.XXXXXX";

	assert_non_null(mkdtemp(path));
	cleanup_close int dir = open(path, O_RDONLY | O_DIRECTORY);
	if (dep)
		put(dir, "modules.dep", dep);
	if (builtin)
		put(dir, "modules.builtin", builtin);
	int ret = modules_resolve(modules, dir, "DIR", e);
	unlinkat(dir, "modules.dep", 0);
	unlinkat(dir, "modules.builtin", 0);
	rmdir(path);
	return ret;
}

static int place(const struct modules *modules, const char *file)
{
	for (unsigned i = 0; i < modules->n; i++)
		if (strcmp(modules->files[i], file) == 0)
			return (int)i;
	return -1;
}

static void test_names(void **state)
{
	(void)state;
	assert_true(modules_same_name("kernel/fs/fuse/virtiofs.ko", "virtiofs"));
	assert_true(modules_same_name("kernel/a/virtio-rng.ko.xz", "virtio_rng"));
	assert_true(modules_same_name("virtio_rng.ko.zst", "virtio-rng"));
	assert_false(modules_same_name("virtio_rng2.ko", "virtio_rng"));
	assert_false(modules_same_name("virtio.ko", "virtio_rng"));
	assert_false(modules_same_name("virtio_rng", "virtio_rng"));
}

static void test_order(void **state)
{
	struct modules m;
	struct err e;

	(void)state;
	if (resolve(&m,
		    "k/vm-mmio.ko:\n"
		    "k/virtio_mmio.ko: k/virtio_ring.ko k/virtio.ko\n"
		    "k/virtio.ko:\n"
		    "k/virtio_ring.ko:\n"
		    "k/virtiofs.ko.xz: k/fuse.ko k/virtio_ring.ko k/virtio.ko\n"
		    "k/fuse.ko:\n"
		    "k/vmw_vsock_virtio_transport.ko: k/common.ko\n"
		    "k/common.ko: k/vsock.ko\n"
		    "k/vsock.ko:\n"
		    "k/virtio_net.ko: k/net_failover.ko k/failover.ko\n"
		    "k/net_failover.ko: k/failover.ko\n"
		    "k/failover.ko:\n"
		    "k/unrelated.ko:\n",
		    "kernel/drivers/char/virtio_console.ko\n", &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(m.n, 11);
	assert_true(place(&m, "k/net_failover.ko") < place(&m, "k/virtio_net.ko"));
	assert_true(place(&m, "k/virtio_ring.ko") < place(&m, "k/virtio_mmio.ko"));
	assert_true(place(&m, "k/virtio.ko") < place(&m, "k/virtio_mmio.ko"));
	assert_true(place(&m, "k/fuse.ko") < place(&m, "k/virtiofs.ko.xz"));
	assert_true(place(&m, "k/vsock.ko") < place(&m, "k/common.ko"));
	assert_true(place(&m, "k/common.ko") < place(&m, "k/vmw_vsock_virtio_transport.ko"));
	assert_int_equal(place(&m, "k/unrelated.ko"), -1);
	modules_fini(&m);
}

static void test_faults(void **state)
{
	struct modules m;
	struct err e;

	(void)state;
	assert_int_equal(resolve(&m, NULL, NULL, &e), -ENOENT);
	assert_non_null(strstr(e.text, "DIR: modules.dep"));
	assert_int_equal(resolve(&m, "", "", &e), -ENOENT);
	assert_non_null(strstr(e.text, "virtio_mmio is neither a module nor built in"));
	assert_int_equal(resolve(&m, "k/virtio_mmio.ko: k/gone.ko\n", NULL, &e), -EINVAL);
	assert_non_null(strstr(e.text, "k/gone.ko"));
	/* A circle ends, and so does a chain that never would. */
	assert_int_equal(
		resolve(&m, "virtio_mmio.ko: a.ko\na.ko: virtio_mmio.ko\n", NULL, &e), -ELOOP);
	assert_int_equal(m.n, 0);
	assert_true(resolve(&m, "\n\n:\n: :\nvirtio_mmio.ko\n", "\n", &e) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
