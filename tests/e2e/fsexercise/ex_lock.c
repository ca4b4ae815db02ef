/* SPDX-License-Identifier: Apache-2.0 */
/* Locks between processes, and many threads and processes at work in one place. */
#include "fsexercise.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <sys/file.h>

static int posix_lock(int fd, int cmd, short type, off_t start, off_t len)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};

	return fcntl(fd, cmd, &lock);
}

/* A child that runs fn, which may call step() to wait for the parent's step(). */
struct other {
	pid_t pid;
	int to, from;
};

static int child_in, child_out;

static void step(void)
{
	char byte = 'x';

	need(write(child_out, &byte, 1) == 1 && read(child_in, &byte, 1) == 1, "step");
}

static struct other start(void (*fn)(void))
{
	int down[2], up[2];
	struct other o;

	need(pipe(down) == 0 && pipe(up) == 0, "pipe");
	fflush(stdout);
	o.pid = fork();
	need(o.pid >= 0, "fork");
	if (!o.pid) {
		child_in = down[0];
		child_out = up[1];
		close(down[1]);
		close(up[0]);
		fn();
		_exit(0);
	}
	close(down[0]);
	close(up[1]);
	o.to = down[1];
	o.from = up[0];
	return o;
}

static void await(struct other *o)
{
	char byte;

	need(read(o->from, &byte, 1) == 1, "await");
}

static void go(struct other *o)
{
	need(write(o->to, "x", 1) == 1, "go");
}

static void finish(struct other *o)
{
	waitpid(o->pid, NULL, 0);
	close(o->to);
	close(o->from);
}

static void hold_posix(void)
{
	int fd = open("lock", O_RDWR);

	need(posix_lock(fd, F_SETLK, F_WRLCK, 10, 10) == 0, "F_SETLK");
	step();
	need(posix_lock(fd, F_SETLK, F_UNLCK, 12, 2) == 0, "F_SETLK");
	step();
	int other = open("lock", O_RDONLY);
	close(other); /* closing any descriptor of the file drops the process's locks */
	step();
	need(posix_lock(fd, F_SETLK, F_RDLCK, 0, 0) == 0, "F_SETLK");
	step();
	usleep(100000);
}

static void exercise_posix(void)
{
	int fd = open("lock", O_RDWR | O_CREAT, 0644);
	struct flock get = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	struct other o = start(hold_posix);

	await(&o);
	result("POSIX conflict", posix_lock(fd, F_SETLK, F_RDLCK, 15, 1));
	result("POSIX beside it", posix_lock(fd, F_SETLK, F_WRLCK, 20, 5));
	need(fcntl(fd, F_GETLK, &get) == 0, "F_GETLK");
	say("GETLK", "type %d, %lld+%lld, pid of the holder %d", get.l_type, (long long)get.l_start,
		(long long)get.l_len, get.l_pid == o.pid);
	go(&o);
	await(&o);
	result("POSIX in the gap", posix_lock(fd, F_SETLK, F_WRLCK, 12, 2));
	result("POSIX around the gap", posix_lock(fd, F_SETLK, F_WRLCK, 11, 2));
	go(&o);
	await(&o);
	result("POSIX after a close", posix_lock(fd, F_SETLK, F_WRLCK, 10, 10));
	posix_lock(fd, F_SETLK, F_UNLCK, 0, 0);
	go(&o);
	await(&o);
	result("POSIX shared", posix_lock(fd, F_SETLK, F_RDLCK, 0, 0));
	result("POSIX upgrade", posix_lock(fd, F_SETLK, F_WRLCK, 0, 0));
	go(&o);
	result("POSIX waiting", posix_lock(fd, F_SETLKW, F_WRLCK, 0, 0));
	finish(&o);
	close(fd);
	fd = open("lock", O_RDONLY);
	result("write lock on a reader", posix_lock(fd, F_SETLK, F_WRLCK, 0, 1));
	close(fd);
}

static void take_second(void)
{
	int fd = open("lock", O_RDWR);

	need(posix_lock(fd, F_SETLK, F_WRLCK, 1, 1) == 0, "F_SETLK");
	step();
	(void)posix_lock(fd, F_SETLKW, F_WRLCK, 0, 1);
}

static void exercise_deadlock(void)
{
	int fd = open("lock", O_RDWR);
	struct other o = start(take_second);

	need(posix_lock(fd, F_SETLK, F_WRLCK, 0, 1) == 0, "F_SETLK");
	await(&o);
	go(&o);
	usleep(200000);
	result("POSIX deadlock", posix_lock(fd, F_SETLKW, F_WRLCK, 1, 1));
	close(fd);
	finish(&o);
}

static void hold_flock(void)
{
	int fd = open("flock", O_RDWR);

	need(flock(fd, LOCK_EX) == 0, "flock");
	step();
	need(flock(fd, LOCK_SH) == 0, "flock");
	step();
	usleep(100000);
}

static void exercise_flock(void)
{
	int fd = open("flock", O_RDWR | O_CREAT, 0644), second = open("flock", O_RDONLY);
	struct other o = start(hold_flock);

	await(&o);
	result("flock conflict", flock(fd, LOCK_SH | LOCK_NB));
	go(&o);
	await(&o);
	result("flock shared", flock(fd, LOCK_SH | LOCK_NB));
	result("flock upgrade", flock(fd, LOCK_EX | LOCK_NB));
	go(&o);
	result("flock waiting", flock(fd, LOCK_EX));
	finish(&o);
	result("flock of another open file", flock(second, LOCK_SH | LOCK_NB));
	int copy = dup(fd);
	result("flock of a duplicate", flock(copy, LOCK_EX | LOCK_NB));
	close(fd);
	result("flock while the duplicate lives", flock(second, LOCK_SH | LOCK_NB));
	close(copy);
	result("flock afterwards", flock(second, LOCK_EX | LOCK_NB));
	close(second);
}

static void exercise_ofd(void)
{
	int a = open("ofd", O_RDWR | O_CREAT, 0644), b = open("ofd", O_RDWR);

	result("OFD lock", posix_lock(a, F_OFD_SETLK, F_WRLCK, 0, 10));
	result("OFD conflict in one process", posix_lock(b, F_OFD_SETLK, F_WRLCK, 5, 1));
	result("POSIX against OFD", posix_lock(b, F_SETLK, F_RDLCK, 5, 1));
	close(open("ofd", O_RDONLY));
	result("OFD survives another close", posix_lock(b, F_OFD_SETLK, F_WRLCK, 5, 1));
	close(a);
	result("OFD gone with its file", posix_lock(b, F_OFD_SETLK, F_WRLCK, 5, 1));
	close(b);
}

void exercise_locks(void)
{
	exercise_posix();
	exercise_deadlock();
	exercise_flock();
	exercise_ofd();
}

#define THREADS 6

static void *make_and_remove(void *arg)
{
	long id = (long)arg, bad = 0;
	char name[64], other[64];

	for (int i = 0; i < 120; i++) {
		snprintf(name, sizeof(name), "t%ld.%d", id, i);
		snprintf(other, sizeof(other), "moved/t%ld.%d", id, i);
		int fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0644);
		bad += fd < 0 || write(fd, name, strlen(name)) != (ssize_t)strlen(name);
		close(fd);
		bad += rename(name, other) < 0;
		if (i % 2)
			bad += unlink(other) < 0;
	}
	return (void *)bad;
}

static int winners;

static void *race(void *arg)
{
	char name[32];

	(void)arg;
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "race%d", i);
		int fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0644);
		if (fd >= 0)
			__atomic_add_fetch(&winners, 1, __ATOMIC_RELAXED);
		close(fd);
		snprintf(name, sizeof(name), "racedir%d", i);
		if (!mkdir(name, 0755))
			__atomic_add_fetch(&winners, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void *append_lines(void *arg)
{
	char line[32];
	int fd = open("lines", O_WRONLY | O_APPEND);

	for (int i = 0; i < 200; i++) {
		int n = snprintf(line, sizeof(line), "line %ld %06d end\n", (long)arg, i);
		if (write(fd, line, (size_t)n) != n)
			break;
	}
	close(fd);
	return NULL;
}

static void *own_blocks(void *arg)
{
	long id = (long)arg, bad = 0;
	char block[4096], back[4096];
	int fd = open("blocks", O_RDWR);

	for (int i = 0; i < 60; i++) {
		off_t at = (off_t)(i * THREADS + id) * 4096;
		memset(block, (int)('A' + id), sizeof(block));
		bad += pwrite(fd, block, sizeof(block), at) != sizeof(block);
		bad += pread(fd, back, sizeof(back), at) != sizeof(back);
		bad += memcmp(block, back, sizeof(back)) != 0;
	}
	close(fd);
	return (void *)bad;
}

static long together(void *(*fn)(void *))
{
	pthread_t threads[THREADS];
	long bad = 0;
	void *ret;

	for (long i = 0; i < THREADS; i++)
		need(pthread_create(&threads[i], NULL, fn, (void *)i) == 0, "thread");
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &ret);
		bad += (long)ret;
	}
	return bad;
}

static int count_names(const char *path)
{
	DIR *dir = opendir(path);
	int n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

static void *read_names(void *arg)
{
	long bad = 0;

	if ((long)arg % 2)
		return make_and_remove((void *)((long)arg + 100));
	for (int i = 0; i < 20; i++) {
		DIR *dir = opendir("stable");
		struct dirent *d;
		int n = 0;
		while (dir && (d = readdir(dir)))
			n += !strncmp(d->d_name, "s", 1);
		bad += n != 150;
		if (dir)
			closedir(dir);
	}
	return (void *)bad;
}

void exercise_threads(void)
{
	char line[64], name[32];
	int good = 0;

	mkdir("moved", 0755);
	long bad = together(make_and_remove);
	say("creating, renaming, unlinking", "%ld failures, %d names left", bad,
		count_names("moved"));
	together(race);
	say("exclusive creation", "%d winners of 200", winners);
	put_file("lines", "");
	together(append_lines);
	FILE *f = fopen("lines", "r");
	while (f && fgets(line, sizeof(line), f))
		good += strlen(line) == 18 && !strcmp(line + 14, "end\n");
	if (f)
		fclose(f);
	say("appending lines", "%d whole, %s", good, stat_text("lines"));
	put_file("blocks", "");
	bad = together(own_blocks);
	say("blocks of one file", "%ld failures, %s", bad, stat_text("blocks"));
	mkdir("stable", 0755);
	for (int i = 0; i < 150; i++) {
		snprintf(name, sizeof(name), "stable/s%d", i);
		put_file(name, "");
	}
	say("reading while others change", "%ld failures", together(read_names));
	for (int round = 0; round < 4; round++)
		if (!fork()) {
			append_lines((void *)(long)(10 + round));
			_exit(0);
		}
	while (wait(NULL) > 0)
		;
	say("appending processes", "%s", stat_text("lines"));
}
