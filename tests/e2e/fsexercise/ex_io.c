/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and writing: offsets, holes, direct I/O, mappings, unlinked files, times. */
#include "fsexercise.h"

#include <linux/falloc.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

static uint32_t checksum(int fd, off_t size)
{
	static unsigned char buf[1 << 16];
	uint32_t sum = 1;

	for (off_t at = 0; at < size;) {
		ssize_t n = pread(fd, buf, sizeof(buf), at);
		if (n <= 0)
			return 0;
		for (ssize_t i = 0; i < n; i++)
			sum = sum * 31 + buf[i];
		at += n;
	}
	return sum;
}

static void exercise_append(void)
{
	int a = open("append", O_WRONLY | O_APPEND | O_CREAT, 0644);
	int b = open("append", O_WRONLY | O_APPEND);
	int c = open("append", O_RDWR);

	for (int i = 0; i < 3; i++)
		need(write(a, "a", 1) == 1 && write(b, "b", 1) == 1, "append");
	say("two appenders", "%s", get_file("append"));
	result("pwrite with O_APPEND", pwrite(a, "P", 1, 0));
	say("where it went", "%s", get_file("append"));
	result("pwrite without", pwrite(c, "W", 1, 0));
	say("where it went", "%s", get_file("append"));
	need(fcntl(c, F_SETFL, O_APPEND) == 0, "F_SETFL");
	result("O_APPEND switched on", write(c, "S", 1));
	say("where it went", "%s", get_file("append"));
	result("ftruncate", ftruncate(c, 2));
	result("append behind the new end", write(a, "e", 1));
	say("content", "%s", get_file("append"));
	close(a);
	close(b);
	close(c);
}

static void exercise_direct(void)
{
	char *buf = aligned_alloc(4096, 16384);
	int fd = open("direct", O_RDWR | O_CREAT | O_DIRECT, 0644), plain;

	need(buf != NULL, "aligned_alloc");
	if (fd < 0) {
		result("open O_DIRECT", fd);
		free(buf);
		return;
	}
	memset(buf, 'd', 16384);
	result("O_DIRECT write", pwrite(fd, buf, 8192, 0));
	memset(buf, 0, 16384);
	result("O_DIRECT read", pread(fd, buf, 8192, 0));
	say("read back", "%c%c", buf[0], buf[8191]);
	plain = open("direct", O_RDWR);
	result("buffered write", pwrite(plain, "buffered", 8, 4096));
	result("O_DIRECT read of it", pread(fd, buf, 8192, 0));
	say("coherent", "%.8s", buf + 4096);
	memset(buf, 'D', 4096);
	result("O_DIRECT over it", pwrite(fd, buf, 4096, 4096));
	memset(buf, 0, 16);
	result("buffered read of it", pread(plain, buf, 8, 4096));
	say("coherent", "%.8s", buf);
	result("unaligned length", pwrite(fd, buf, 100, 0));
	result("unaligned offset", pwrite(fd, buf, 4096, 100));
	result("unaligned memory", pread(fd, buf + 1, 4096, 0));
	result("short file, long read", pread(fd, buf, 16384, 4096));
	result("at the end", pread(fd, buf, 4096, 8192));
	need(fcntl(plain, F_SETFL, O_DIRECT) == 0, "F_SETFL");
	result("O_DIRECT switched on, unaligned", pwrite(plain, buf, 100, 0));
	need(fcntl(plain, F_SETFL, 0) == 0, "F_SETFL");
	result("and off again", pwrite(plain, buf, 100, 0));
	close(fd);
	close(plain);
	free(buf);
}

static void exercise_copies(void)
{
	int in = open("copy.in", O_RDWR | O_CREAT, 0644),
	    out = open("copy.out", O_RDWR | O_CREAT, 0644);
	off_t from = 100, to = 5000;
	int pipefd[2];

	for (int i = 0; i < 1000; i++)
		need(write(in, "0123456789", 10) == 10, "copy.in");
	result("copy_file_range", copy_file_range(in, &from, out, &to, 3000, 0));
	say("offsets after", "%lld %lld", (long long)from, (long long)to);
	say("sum", "%08x of %s", checksum(out, 8000), stat_text("copy.out"));
	from = 9990;
	result("beyond the end", copy_file_range(in, &from, out, NULL, 100, 0));
	from = 0;
	to = 50;
	result("overlapping in one file", copy_file_range(in, &from, in, &to, 100, 0));
	to = 20000;
	result("apart in one file", copy_file_range(in, &from, in, &to, 100, 0));
	from = 0;
	result("sendfile", sendfile(out, in, &from, 777));
	need(pipe(pipefd) == 0, "pipe");
	from = 10;
	result("splice into a pipe", splice(in, &from, pipefd[1], NULL, 500, 0));
	to = 0;
	result("splice out of it", splice(pipefd[0], NULL, out, &to, 500, 0));
	say("sum", "%08x of %s", checksum(out, 8000), stat_text("copy.out"));
	close(in);
	close(out);
	close(pipefd[0]);
	close(pipefd[1]);
}

static void exercise_big(void)
{
	enum { CHUNK = 1 << 20, CHUNKS = 24 };
	char *buf = malloc(CHUNK + 1);
	int fd = open("big", O_RDWR | O_CREAT, 0644);

	need(buf != NULL, "malloc");
	for (int i = 0; i < CHUNKS; i++) {
		for (int k = 0; k < CHUNK; k++)
			buf[k] = (char)(k * 7 + i * 13 + (k >> 9));
		need(write(fd, buf, CHUNK) == CHUNK, "big");
	}
	say("24 MiB", "sum %08x", checksum(fd, (off_t)CHUNKS * CHUNK));
	for (unsigned i = 1, at = 12345; i < 500; i++, at = at * 1103515245u + 12345u)
		need(pwrite(fd, &i, 4, at % (CHUNKS * CHUNK - 4)) == 4, "big");
	say("after 500 scattered writes", "sum %08x", checksum(fd, (off_t)CHUNKS * CHUNK));
	result("fsync", fsync(fd));
	result("fdatasync", fdatasync(fd));
	result("sync_file_range", sync_file_range(fd, 0, 4096, SYNC_FILE_RANGE_WRITE));
	close(fd);
	fd = open("big", O_RDONLY);
	say("opened again", "sum %08x", checksum(fd, (off_t)CHUNKS * CHUNK));
	result("readahead", readahead(fd, 0, 1 << 20));
	result("fadvise", posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	say("after dropping", "sum %08x", checksum(fd, (off_t)CHUNKS * CHUNK));
	close(fd);
	unlink("big");
	free(buf);
}

void exercise_io(void)
{
	char buf[64] = "";
	int fd = open("plain", O_RDWR | O_CREAT, 0644);
	struct iovec iov[3] = {{"one ", 4}, {"two ", 4}, {"three", 5}};

	result("write", write(fd, "hello world", 11));
	result("pread", pread(fd, buf, 5, 6));
	say("it read", "%s", buf);
	result("read at the end", read(fd, buf, 10));
	result("pread behind the end", pread(fd, buf, 10, 1000));
	result("writev", pwritev(fd, iov, 3, 0));
	say("content", "%s", get_file("plain"));
	result("lseek END", lseek(fd, -3, SEEK_END));
	result("read negative offset", pread(fd, buf, 1, -1));
	result("lseek before the start", lseek(fd, -1, SEEK_SET));
	result("write of nothing", write(fd, "", 0));
	close(fd);
	fd = open("plain", O_RDONLY);
	result("write to a reader", write(fd, "x", 1));
	result("ftruncate of a reader", ftruncate(fd, 0));
	close(fd);
	fd = open("plain", O_WRONLY);
	result("read from a writer", read(fd, buf, 1));
	result("write by a writer", pwrite(fd, "W", 1, 2));
	close(fd);
	say("content", "%s", get_file("plain"));
	fd = open("plain", O_RDWR | O_TRUNC);
	say("O_TRUNC", "%s", stat_text("plain"));
	close(fd);
	fd = open("plain", O_RDWR | O_SYNC);
	result("O_SYNC write", write(fd, "synced", 6));
	close(fd);
	fd = open("plain", O_RDWR | O_DSYNC | O_NOATIME);
	result("O_DSYNC write", write(fd, "dsync", 5));
	close(fd);
	fd = open("plain", O_PATH);
	result("read an O_PATH file", read(fd, buf, 1));
	snprintf(buf, sizeof(buf), "/proc/self/fd/%d", fd);
	int again = open(buf, O_RDONLY);
	memset(buf, 0, sizeof(buf));
	say("reopened by O_PATH", "%s, read %zd %s", outcome(again), read(again, buf, 6), buf);
	close(fd);
	close(again);
	exercise_append();
	exercise_direct();
	exercise_copies();
	exercise_big();
}

/* Data and holes as a list of offsets. */
static const char *extents(int fd)
{
	static char text[512];
	size_t len = 0;
	off_t at = 0, end = lseek(fd, 0, SEEK_END);

	text[0] = '\0';
	while (at < end && len < sizeof(text) - 64) {
		off_t data = lseek(fd, at, SEEK_DATA);
		if (data < 0) {
			len += (size_t)snprintf(text + len, 32, "%s", outcome(-1));
			break;
		}
		at = lseek(fd, data, SEEK_HOLE);
		len += (size_t)snprintf(
			text + len, 60, "[%lld %lld) ", (long long)data, (long long)at);
	}
	return text;
}

void exercise_space(void)
{
	char buf[8192];
	struct stat st;
	int fd = open("sparse", O_RDWR | O_CREAT, 0644);

	memset(buf, 's', sizeof(buf));
	result("write at 5 GiB", pwrite(fd, buf, 4096, 5ll << 30));
	result("write at 4 TiB", pwrite(fd, buf, 4096, 4ll << 40));
	result("write at 64 KiB", pwrite(fd, buf, 8192, 65536));
	need(fsync(fd) == 0, "fsync");
	fstat(fd, &st);
	say("sparse", "size %lld, blocks few %d", (long long)st.st_size, st.st_blocks < 200);
	say("data", "%s", extents(fd));
	result("SEEK_DATA behind the end", lseek(fd, 5ll << 40, SEEK_DATA));
	result("SEEK_HOLE at 0", lseek(fd, 0, SEEK_HOLE));
	result("pread in a hole", pread(fd, buf, 16, 1 << 20));
	say("zeros", "%d", buf[0] | buf[15]);
	result("ftruncate to 1 MiB", ftruncate(fd, 1 << 20));
	result("ftruncate to 3 GiB", ftruncate(fd, 3ll << 30));
	fstat(fd, &st);
	say("size", "%lld", (long long)st.st_size);
	result("truncate by name", truncate("sparse", 100000));
	say("data", "%s", extents(fd));
	result("ftruncate negative", ftruncate(fd, -1));
	close(fd);

	fd = open("alloc", O_RDWR | O_CREAT, 0644);
	result("fallocate", fallocate(fd, 0, 0, 1 << 20));
	fstat(fd, &st);
	say("allocated", "size %lld, blocks %d", (long long)st.st_size, st.st_blocks >= 2048);
	result("KEEP_SIZE", fallocate(fd, FALLOC_FL_KEEP_SIZE, 1 << 20, 1 << 20));
	fstat(fd, &st);
	say("allocated", "size %lld, blocks %d", (long long)st.st_size, st.st_blocks >= 4096);
	memset(buf, 'f', sizeof(buf));
	for (int i = 0; i < 8; i++)
		need(pwrite(fd, buf, 8192, i * 8192) == 8192, "alloc");
	result("PUNCH_HOLE",
		fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8192, 16384));
	need(pread(fd, buf, 8192, 8192) == 8192, "pread");
	say("punched", "%d %d", buf[0], buf[8191]);
	result("ZERO_RANGE", fallocate(fd, FALLOC_FL_ZERO_RANGE, 32768 + 100, 1000));
	need(pread(fd, buf, 8192, 32768) == 8192, "pread");
	say("zeroed", "%c %d %d %c", buf[99], buf[100], buf[1099], buf[1100]);
	result("ZERO_RANGE beyond the end", fallocate(fd, FALLOC_FL_ZERO_RANGE, 1 << 20, 4096));
	say("size", "%s", stat_text("alloc"));
	result("PUNCH_HOLE without KEEP_SIZE", fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 4096));
	result("length 0", fallocate(fd, 0, 0, 0));
	result("negative offset", fallocate(fd, 0, -1, 10));
	close(fd);
	fd = open("alloc", O_RDONLY);
	result("fallocate of a reader", fallocate(fd, 0, 0, 4096));
	close(fd);
	result("posix_fallocate too much",
		(fd = open("alloc", O_RDWR), fallocate(fd, 0, 0, 1ll << 50)));
	close(fd);
}

static sigjmp_buf bus;

static void on_bus(int sig)
{
	(void)sig;
	siglongjmp(bus, 1);
}

void exercise_mmap(void)
{
	int fd = open("map", O_RDWR | O_CREAT, 0644);
	char buf[32] = "";

	need(ftruncate(fd, 12288) == 0, "ftruncate");
	need(pwrite(fd, "file", 4, 0) == 4, "pwrite");
	char *shared = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	char *private = mmap(NULL, 12288, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	say("shared mapping", "%s", outcome(shared == MAP_FAILED ? -1 : 0));
	say("private mapping", "%s", outcome(private == MAP_FAILED ? -1 : 0));
	if (shared == MAP_FAILED || private == MAP_FAILED)
		return;
	say("read through it", "%.4s", shared);
	memcpy(shared + 5000, "mapped", 6);
	need(pread(fd, buf, 6, 5000) == 6, "pread");
	say("write by mapping, read by call", "%s", buf);
	need(pwrite(fd, "called", 6, 5000) == 6, "pwrite");
	say("write by call, read by mapping", "%.6s", shared + 5000);
	memcpy(private, "mine", 4);
	say("private copy", "%.4s, file %s", private, get_file("map"));
	result("msync", msync(shared, 12288, MS_SYNC));
	pid_t pid = fork();
	if (!pid) {
		int other = open("map", O_RDWR);
		char *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, other, 0);
		if (m == MAP_FAILED)
			_exit(1);
		memcpy(m + 100, "child", 5);
		_exit(pwrite(other, "childcall", 9, 200) != 9);
	}
	waitpid(pid, NULL, 0);
	say("what another process mapped and wrote", "%.5s %.9s", shared + 100, shared + 200);
	signal(SIGBUS, on_bus);
	if (!sigsetjmp(bus, 1))
		say("behind the end of the file", "%d", *(volatile char *)(shared + 12288));
	else
		say("behind the end of the file", "SIGBUS");
	need(ftruncate(fd, 4096) == 0, "ftruncate");
	if (!sigsetjmp(bus, 1))
		say("after truncation", "%d", *(volatile char *)(shared + 8192));
	else
		say("after truncation", "SIGBUS");
	need(ftruncate(fd, 12288) == 0, "ftruncate");
	say("grown again", "%d", *(volatile char *)(shared + 5000));
	signal(SIGBUS, SIG_DFL);
	memcpy(shared + 8000, "unmapped", 8);
	munmap(shared, 16384);
	munmap(private, 12288);
	need(pread(fd, buf, 8, 8000) == 8, "pread");
	say("after unmapping", "%.8s", buf);
	close(fd);
	fd = open("map", O_RDONLY);
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	say("shared and writable on a reader", "%s", outcome(shared == MAP_FAILED ? -1 : 0));
	char *exec = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	say("executable mapping", "%s", outcome(exec == MAP_FAILED ? -1 : 0));
	close(fd);
	say("after close", "%.5s", exec == MAP_FAILED ? "" : exec + 100);
	need(pread(open("map", O_RDONLY), buf, 8, 8000) == 8, "pread");
	say("opened again", "%.8s", buf);
}

void exercise_unlinked(void)
{
	char buf[64] = "", path[64];
	struct stat st;
	int fd = open("gone", O_RDWR | O_CREAT, 0644);

	result("unlink an open file", unlink("gone"));
	result("write", write(fd, "still here", 10));
	result("read", pread(fd, buf, 10, 0));
	result("fstat", fstat(fd, &st));
	say("it says", "%s, links %lu, size %lld", buf, (unsigned long)st.st_nlink,
		(long long)st.st_size);
	result("ftruncate", ftruncate(fd, 5));
	result("fchmod", fchmod(fd, 0600));
	result("futimens", futimens(fd, NULL));
	fstat(fd, &st);
	say("then", "%o size %lld", st.st_mode, (long long)st.st_size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int again = open(path, O_RDONLY);
	memset(buf, 0, sizeof(buf));
	say("reopened", "%s, %zd %s", outcome(again), read(again, buf, 60), buf);
	result("link it back", linkat(AT_FDCWD, path, AT_FDCWD, "back", AT_SYMLINK_FOLLOW));
	result("fsync", fsync(fd));
	close(fd);
	close(again);

	fd = open(".", O_TMPFILE | O_RDWR, 0640);
	say("O_TMPFILE", "%s", outcome(fd));
	if (fd >= 0) {
		result("write", write(fd, "temporary", 9));
		fstat(fd, &st);
		say("it is", "%o links %lu", st.st_mode, (unsigned long)st.st_nlink);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		result("give it a name",
			linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
		say("content", "%s, %s", get_file("named"), stat_text("named"));
		close(fd);
		fd = open(".", O_TMPFILE | O_RDWR | O_EXCL, 0640);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		result("O_EXCL forbids it",
			linkat(AT_FDCWD, path, AT_FDCWD, "named2", AT_SYMLINK_FOLLOW));
		close(fd);
	}
	result("O_TMPFILE read-only", open(".", O_TMPFILE | O_RDONLY, 0600));
	mkdir("cwd", 0755);
	need(chdir("cwd") == 0, "cwd");
	result("rmdir of the current directory", rmdir("../cwd"));
	result("stat of it", stat(".", &st));
	result("create in it", open("x", O_CREAT | O_WRONLY, 0644));
	say("getcwd", "%s", getcwd(buf, sizeof(buf)) ? "a path" : outcome(-1));
	say("dotdot of it", "%s", outcome(chdir("..")));
	int many[200];
	for (int i = 0; i < 200; i++) {
		snprintf(path, sizeof(path), "many%d", i);
		many[i] = open(path, O_RDWR | O_CREAT, 0644);
		need(many[i] >= 0 && write(many[i], &i, sizeof(i)) == sizeof(i), path);
		unlink(path);
	}
	int right = 0, value;
	for (int i = 0; i < 200; i++) {
		right += pread(many[i], &value, sizeof(value), 0) == sizeof(value) && value == i;
		close(many[i]);
	}
	say("200 unlinked and open", "%d right", right);
}

static bool later(struct timespec a, struct timespec b)
{
	return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}

static void pause_ms(long ms)
{
	struct timespec t = {0, ms * 1000000};

	nanosleep(&t, NULL);
}

void exercise_times(void)
{
	struct timespec set[2] = {{1234567890, 123456789}, {987654321, 987654321}};
	struct timespec old[2] = {{-1000, 0}, {4102444800, 5}};
	struct stat a, b;
	struct statx x;

	put_file("t", "x");
	result("utimensat", utimensat(AT_FDCWD, "t", set, 0));
	stat("t", &a);
	say("times", "%lld.%09ld %lld.%09ld", (long long)a.st_atim.tv_sec, a.st_atim.tv_nsec,
		(long long)a.st_mtim.tv_sec, a.st_mtim.tv_nsec);
	result("before 1970 and in 2100", utimensat(AT_FDCWD, "t", old, 0));
	stat("t", &a);
	say("times", "%lld %lld.%09ld", (long long)a.st_atim.tv_sec, (long long)a.st_mtim.tv_sec,
		a.st_mtim.tv_nsec);
	set[0].tv_nsec = UTIME_OMIT;
	set[1].tv_nsec = UTIME_NOW;
	result("omit and now", utimensat(AT_FDCWD, "t", set, 0));
	int kept = stat("t", &b) == 0 && a.st_atim.tv_sec == b.st_atim.tv_sec;
	put_file("now", "");
	stat("now", &a); /* not by the clock: a guest's may differ */
	say("atime kept", "%d, mtime now %d", kept,
		llabs((long long)b.st_mtim.tv_sec - (long long)a.st_mtim.tv_sec) < 5);
	set[1].tv_nsec = 2000000000;
	result("nonsense", utimensat(AT_FDCWD, "t", set, 0));
	symlink("t", "s");
	set[0] = (struct timespec){1, 0};
	set[1] = (struct timespec){2, 0};
	result("of a symlink", utimensat(AT_FDCWD, "s", set, AT_SYMLINK_NOFOLLOW));
	lstat("s", &a);
	say("times", "%lld %lld", (long long)a.st_atim.tv_sec, (long long)a.st_mtim.tv_sec);
	stat("t", &a);
	pause_ms(20);
	chmod("t", 0600);
	stat("t", &b);
	say("chmod", "ctime %d, mtime %d", later(b.st_ctim, a.st_ctim),
		later(b.st_mtim, a.st_mtim));
	pause_ms(20);
	link("t", "t2");
	stat("t", &a);
	say("link", "ctime %d", later(a.st_ctim, b.st_ctim));
	pause_ms(20);
	int fd = open("t", O_WRONLY);
	need(write(fd, "y", 1) == 1, "write");
	fstat(fd, &b);
	say("write", "mtime %d, ctime %d", later(b.st_mtim, a.st_mtim),
		later(b.st_ctim, a.st_ctim));
	pause_ms(20);
	need(ftruncate(fd, 1) == 0, "ftruncate");
	fstat(fd, &a);
	say("ftruncate to the same size", "mtime %d", later(a.st_mtim, b.st_mtim));
	close(fd);
	stat(".", &a);
	pause_ms(20);
	put_file("new", "");
	stat(".", &b);
	say("directory after create", "mtime %d", later(b.st_mtim, a.st_mtim));
	pause_ms(20);
	rename("new", "newer");
	stat(".", &a);
	say("directory after rename", "mtime %d", later(a.st_mtim, b.st_mtim));
	pause_ms(20);
	unlink("newer");
	stat(".", &b);
	say("directory after unlink", "mtime %d", later(b.st_mtim, a.st_mtim));
	result("statx", statx(AT_FDCWD, "t", 0, STATX_BASIC_STATS | STATX_BTIME, &x));
	say("birth time", "%s", x.stx_mask & STATX_BTIME ? "known" : "unknown");
}
