/* SPDX-License-Identifier: Apache-2.0 */
/* Special files, executing, ioctls, file systems as a whole. */
#include "fsexercise.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

static void exercise_fifo(void)
{
	char buf[16] = "";

	result("mkfifo", mkfifo("fifo", 0622));
	say("it is", "%s", stat_text("fifo"));
	result("write without reader", open("fifo", O_WRONLY | O_NONBLOCK));
	pid_t pid = fork();
	need(pid >= 0, "fork");
	if (!pid) {
		int w = open("fifo", O_WRONLY);
		_exit(write(w, "through", 7) != 7);
	}
	int fd = open("fifo", O_RDONLY);
	ssize_t n = read(fd, buf, sizeof(buf) - 1);
	waitpid(pid, NULL, 0);
	say("through it", "%zd %s", n, buf);
	close(fd);
}

static void exercise_socket(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "socket"};
	int a = socket(AF_UNIX, SOCK_STREAM, 0), b = socket(AF_UNIX, SOCK_STREAM, 0);
	char buf[8] = "";

	result("bind", bind(a, (void *)&addr, sizeof(addr)));
	say("it is", "%s", stat_text("socket"));
	listen(a, 1);
	result("connect", connect(b, (void *)&addr, sizeof(addr)));
	int c = accept(a, NULL, NULL);
	if (write(b, "sock", 4) == 4 && read(c, buf, 4) == 4)
		say("through it", "%s", buf);
	result("open a socket", open("socket", O_RDWR));
	result("bind again", bind(b, (void *)&addr, sizeof(addr)));
	close(a);
	close(b);
	close(c);
	unlink("socket");
	result("mknod socket", mknod("socket2", S_IFSOCK | 0600, 0));
}

static void exercise_devices(void)
{
	struct stat st;
	char byte = 'x';

	result("mknod character", mknod("null", S_IFCHR | 0666, makedev(1, 3)));
	lstat("null", &st);
	say("it is", "%o %u:%u", st.st_mode, major(st.st_rdev), minor(st.st_rdev));
	int fd = open("null", O_RDWR);
	say("open it", "%s, read %zd, write %zd", outcome(fd), read(fd, &byte, 1),
		write(fd, &byte, 1));
	close(fd);
	result("mknod block", mknod("block", S_IFBLK | 0600, makedev(259, 70000)));
	lstat("block", &st);
	say("it is", "%o %u:%u", st.st_mode, major(st.st_rdev), minor(st.st_rdev));
	result("open without driver", open("block", O_RDONLY));
	result("mknod regular", mknod("regular", S_IFREG | 0604, 0));
	say("it is", "%s", stat_text("regular"));
	result("mknod whiteout", mknod("whiteout", S_IFCHR, 0));
	result("chmod a device", chmod("null", 0600));
	result("chown a device", chown("null", USER_ID, USER_ID));
	say("it is", "%s", stat_text("null"));
	result("link a device", link("null", "null2"));
	result("rename a device", rename("null2", "null3"));
}

static int run_program(const char *path)
{
	int status = 0;
	pid_t pid = fork();

	need(pid >= 0, "fork");
	if (!pid) {
		execl(path, path, "-", NULL);
		_exit(100 + errno);
	}
	waitpid(pid, &status, 0);
	return WEXITSTATUS(status);
}

static void exercise_exec(void)
{
	char buf[65536];
	ssize_t n;
	int in = open("/proc/self/exe", O_RDONLY);
	int out = open("program", O_WRONLY | O_CREAT, 0755);

	while ((n = read(in, buf, sizeof(buf))) > 0)
		need(write(out, buf, (size_t)n) == n, "program");
	close(in);
	say("execute while open for writing", "%s",
		strerrorname_np(run_program("./program") - 100));
	close(out);
	say("execute", "exit code %d", run_program("./program"));
	chmod("program", 0644);
	say("execute without permission", "%s", strerrorname_np(run_program("./program") - 100));
}

static void exercise_ioctl(void)
{
	int flags = 0, fd = open("ioctl", O_RDWR | O_CREAT, 0644);

	result("ioctl GETFLAGS", ioctl(fd, FS_IOC_GETFLAGS, &flags));
	flags |= FS_NODUMP_FL;
	result("ioctl SETFLAGS nodump", ioctl(fd, FS_IOC_SETFLAGS, &flags));
	flags = 0;
	ioctl(fd, FS_IOC_GETFLAGS, &flags);
	say("nodump", "%d", !!(flags & FS_NODUMP_FL));
	result("unknown ioctl", ioctl(fd, _IOR('Z', 99, int), &flags));
	result("FITRIM on a file", ioctl(fd, _IO('Z', 98)));
	close(fd);
	fd = open(".", O_RDONLY | O_DIRECTORY);
	result("ioctl GETFLAGS on a directory", ioctl(fd, FS_IOC_GETFLAGS, &flags));
	result("FS_IOC_FIEMAP missing argument", ioctl(fd, _IO('Z', 97)));
	close(fd);
}

static void exercise_whole(void)
{
	struct statvfs st;
	int fd = open(".", O_RDONLY | O_DIRECTORY);

	result("statvfs", statvfs(".", &st));
	say("its figures", "names %lu, blocks %d, free %d", st.f_namemax, st.f_blocks > 0,
		st.f_bavail > 0 && st.f_bavail <= st.f_blocks);
	result("syncfs", syncfs(fd));
	result("fsync of a directory", fsync(fd));
	result("fdatasync of a directory", fdatasync(fd));
	close(fd);
	sync();
	say("sync", "done");
}

void exercise_special(void)
{
	exercise_fifo();
	exercise_socket();
	exercise_devices();
	exercise_exec();
	exercise_ioctl();
	exercise_whole();
}
