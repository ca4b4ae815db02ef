/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File locks that count on the host too, for sessions with SESSION_HOST_LOCKS.
 *
 * flock(2) locks belong to an open file, and the guest's open file has one here. POSIX locks
 * belong to a lock owner (the guest's process) and an inode; each pair gets an open file of its own
 * here, whose OFD locks stand for them. The record goes when the owner closes the file (FLUSH) or
 * unlocks all of it. The ranges that each has locked are known here too, because the kernel keeps
 * as many as it is asked for: beyond a number of them it is ENOLCK.
 *
 * A lock that has to be awaited is parked: no thread of the server waits in the kernel. One thread
 * tries the parked ones again whenever this session gives up a lock, and otherwise, for locks that
 * programs of the host hold, after pauses of up to RETRY_MAX_MS.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "microvm/fs/lock_ranges.h"
#include "microvm/fs/ops.h"

#if defined(__GNUC__) && !defined(__clang__)
/* gcc 12's analyzer loses track of what a table keeps, and calls it leaked. */
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif

#define OWNERS_MAX     65536u
#define RANGES_MAX     65536u /* of all owners */
#define OWNER_RANGES   1024u
#define OWNER_BUCKETS  256u
#define PARKED_MAX     256u
#define RETRY_MIN_MS   1u
#define RETRY_MAX_MS   50u
#define DEADLOCK_DEPTH 10u

struct lock_owner {
	struct lock_owner *next;
	struct node *node; /* held */
	uint64_t owner;
	int fd;
	uint64_t fh; /* and pid in the guest: of the last lock */
	uint32_t pid;
	unsigned refs;
	bool gone; /* no longer in the table */
	struct lock_ranges ranges;
};

struct parked_lock {
	struct parked_lock *next;
	struct fuse_request *r;
	struct handle *handle;	  /* referenced; for flock */
	struct lock_owner *owner; /* referenced; for POSIX locks */
	struct flock lock;
	int result;
};

struct locks {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned n_owners, n_parked, n_ranges; /* ranges: of owners that are gone but open, too */
	struct lock_owner *owners[OWNER_BUCKETS];
	struct parked_lock *parked;
	bool closed, stopping, thread_runs, retry_now;
	pthread_t thread;
};

int locks_create(struct fuse_session *s)
{
	struct locks *l = calloc(1, sizeof(*l));
	pthread_condattr_t attr;

	if (!l)
		return -ENOMEM;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	int ret = -pthread_mutex_init(&l->lock, NULL);
	if (!ret)
		ret = -pthread_cond_init(&l->changed, &attr);
	pthread_condattr_destroy(&attr);
	if (ret < 0)
		free(l);
	else
		s->locks = l;
	return ret;
}

static struct lock_owner **owner_bucket(struct locks *l, const struct node *node, uint64_t owner)
{
	uint64_t h = (owner ^ node_id(node)) * UINT64_C(0x9e3779b97f4a7c15);

	return &l->owners[h >> 56];
}

static struct lock_owner *owner_find(struct locks *l, const struct node *node, uint64_t owner)
{
	struct lock_owner *o = *owner_bucket(l, node, owner);

	while (o && (o->node != node || o->owner != owner))
		o = o->next;
	return o;
}

/* The locks' lock is not held: closing releases locks and takes the nodes' lock. */
static void owner_put(struct fuse_session *s, struct lock_owner *o)
{
	if (!o)
		return;
	pthread_mutex_lock(&s->locks->lock);
	bool last = --o->refs == 0;
	pthread_mutex_unlock(&s->locks->lock);
	if (!last)
		return;
	close(o->fd);
	pthread_mutex_lock(&s->locks->lock);
	s->locks->n_ranges -= o->ranges.n;
	pthread_mutex_unlock(&s->locks->lock);
	lock_ranges_fini(&o->ranges);
	node_unhold(&s->nodes, o->node);
	free(o);
}

/* Lock held. The table's reference becomes the caller's. */
static struct lock_owner *owner_remove(struct locks *l, struct lock_owner **link)
{
	struct lock_owner *o = *link;

	*link = o->next;
	o->gone = true;
	l->n_owners--;
	l->retry_now = true;
	pthread_cond_signal(&l->changed);
	return o;
}

/* Finds or makes the owner's record for the handle's node, referenced for the caller. */
static int owner_get(const struct op_call *c, const struct handle *h, uint64_t owner, bool make,
	struct lock_owner **out)
{
	struct locks *l = c->s->locks;
	struct fd_path path = {""};

	pthread_mutex_lock(&l->lock);
	struct lock_owner *o = owner_find(l, h->node, owner);
	bool full = l->n_owners >= OWNERS_MAX;
	if (o)
		o->refs++;
	pthread_mutex_unlock(&l->lock);
	*out = o;
	if (o || !make)
		return 0;
	if (full)
		return -ENOLCK;

	fd_path_set(&path, c->s->config.fd_prefix, h->fd);
	int fd = op_openat(c, AT_FDCWD, path.text, O_RDWR, 0);
	if (fd < 0)
		fd = op_openat(c, AT_FDCWD, path.text, O_RDONLY, 0);
	if (fd < 0)
		return fd;
	struct lock_owner *fresh = calloc(1, sizeof(*fresh));
	if (!fresh) {
		close(fd);
		return -ENOMEM;
	}
	*fresh = (struct lock_owner){.node = h->node, .owner = owner, .fd = fd, .refs = 2};
	node_hold(&c->s->nodes, h->node);
	pthread_mutex_lock(&l->lock);
	o = owner_find(l, h->node, owner);
	if (o) {
		o->refs++; /* another thread of that process was faster */
		fresh->refs = 1;
	} else {
		struct lock_owner **bucket = owner_bucket(l, h->node, owner);
		fresh->next = *bucket;
		*bucket = fresh;
		l->n_owners++;
	}
	pthread_mutex_unlock(&l->lock);
	*out = o ? o : fresh;
	if (o)
		owner_put(c->s, fresh);
	return 0;
}

static void owner_drop(struct fuse_session *s, const struct node *node, uint64_t owner)
{
	struct locks *l = s->locks;
	struct lock_owner *found = NULL;

	pthread_mutex_lock(&l->lock);
	struct lock_owner **link = owner_bucket(l, node, owner);
	while (*link && ((*link)->node != node || (*link)->owner != owner))
		link = &(*link)->next;
	if (*link)
		found = owner_remove(l, link);
	pthread_mutex_unlock(&l->lock);
	owner_put(s, found);
}

void locks_release_owner(struct fuse_session *s, const struct handle *h, uint64_t owner)
{
	owner_drop(s, h->node, owner);
}

/*
 * OFD locks of the guest have the open file as owner, and nothing is said of them when it is closed
 * but that. (Those of processes are gone by then: each close of theirs was a FLUSH.)
 */
void locks_release_handle(struct fuse_session *s, struct handle *h)
{
	struct locks *l = s->locks;
	struct lock_owner *gone = NULL;

	pthread_mutex_lock(&l->lock);
	for (unsigned i = 0; h->locked && i < OWNER_BUCKETS; i++) {
		struct lock_owner **link = &l->owners[i];
		while (*link) {
			if ((*link)->node != h->node || (*link)->fh != h->id) {
				link = &(*link)->next;
				continue;
			}
			struct lock_owner *o = owner_remove(l, link);
			o->next = gone;
			gone = o;
		}
	}
	h->locked = false;
	pthread_mutex_unlock(&l->lock);
	while (gone) {
		struct lock_owner *o = gone;
		gone = o->next;
		owner_put(s, o);
	}
}

/* Lock held, so that the owner's ranges are in step with the kernel's. */
static int owner_lock(struct locks *l, struct lock_owner *o, struct flock lock)
{
	struct lock_change change;

	lock_ranges_plan(&o->ranges, lock_range_of(&lock), &change);
	/* An unlock within a range makes two of it. */
	if (change.n_after > o->ranges.n) {
		unsigned more = change.n_after - o->ranges.n;
		if (change.n_after > OWNER_RANGES || more > RANGES_MAX - l->n_ranges)
			return -ENOLCK;
	}
	if (lock_ranges_reserve(&o->ranges, &change) < 0)
		return -ENOLCK;
	if (fcntl(o->fd, F_OFD_SETLK, &lock) < 0)
		return -errno;
	l->n_ranges += change.n_after - o->ranges.n;
	lock_ranges_commit(&o->ranges, &change);
	return 0;
}

/* One attempt: 0, -EAGAIN while somebody else holds it, or -errno. Lock held, if for an owner. */
static int lock_try(
	struct locks *l, const struct handle *h, struct lock_owner *o, struct flock lock)
{
	static const int flock_ops[] = {
		[F_RDLCK] = LOCK_SH, [F_WRLCK] = LOCK_EX, [F_UNLCK] = LOCK_UN};
	int ret;

	if (o)
		ret = owner_lock(l, o, lock);
	else
		ret = flock(h->fd, flock_ops[lock.l_type] | LOCK_NB) < 0 ? -errno : 0;
	return ret == -EACCES || ret == -EWOULDBLOCK ? -EAGAIN : ret;
}

static void parked_finish(struct fuse_session *s, struct parked_lock *p)
{
	int result = p->result;

	/* The file was closed while the lock was awaited: a lock now would stay for ever. */
	pthread_mutex_lock(&s->locks->lock);
	if (!result && p->owner && p->owner->gone)
		result = -EBADF;
	pthread_mutex_unlock(&s->locks->lock);
	if (result || request_reply(p->r, NULL, 0))
		request_reply_error(p->r, result);
	owner_put(s, p->owner);
	handle_put(&s->handles, p->handle);
	s->config.complete(p->r, s->config.arg);
	free(p);
}

/* Lock held. Tries all parked locks once; those that are done come back as a list. */
static struct parked_lock *retry_parked(struct locks *l, bool give_up)
{
	struct parked_lock *done = NULL, **link = &l->parked, **done_link = &done;

	while (*link) {
		struct parked_lock *p = *link;
		p->result = lock_try(l, p->handle, p->owner, p->lock);
		if (p->result == -EAGAIN && give_up)
			p->result = -EINTR;
		if (p->result == -EAGAIN) {
			link = &p->next;
			continue;
		}
		*link = p->next;
		l->n_parked--;
		p->next = NULL;
		*done_link = p;
		done_link = &p->next;
	}
	return done;
}

static void finish_list(struct fuse_session *s, struct parked_lock *done)
{
	while (done) {
		struct parked_lock *p = done;
		done = p->next;
		parked_finish(s, p);
	}
}

static void *retry_thread(void *arg)
{
	struct fuse_session *s = arg;
	struct locks *l = s->locks;
	unsigned pause_ms = RETRY_MIN_MS;

	pthread_mutex_lock(&l->lock);
	while (!l->stopping) {
		struct timespec until;
		if (!l->parked) {
			pthread_cond_wait(&l->changed, &l->lock);
			pause_ms = RETRY_MIN_MS;
			continue;
		}
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += (long)pause_ms * 1000000;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		while (!l->retry_now && !l->stopping &&
			pthread_cond_timedwait(&l->changed, &l->lock, &until) != ETIMEDOUT)
			;
		pause_ms = l->retry_now ? RETRY_MIN_MS : pause_ms * 2;
		if (pause_ms > RETRY_MAX_MS)
			pause_ms = RETRY_MAX_MS;
		l->retry_now = false;
		struct parked_lock *done = retry_parked(l, false);
		pthread_mutex_unlock(&l->lock);
		finish_list(s, done);
		pthread_mutex_lock(&l->lock);
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

/*
 * The guest's process that holds the lock found: the owner from whose open file nothing is in the
 * way. NULL for a program of the host. Lock held.
 */
static struct lock_owner *holder_of(
	struct locks *l, const struct node *node, const struct flock *found)
{
	for (unsigned i = 0; i < OWNER_BUCKETS; i++) {
		for (struct lock_owner *o = l->owners[i]; o; o = o->next) {
			struct flock probe = *found;
			probe.l_type = F_WRLCK;
			probe.l_pid = 0;
			if (o->node == node && !fcntl(o->fd, F_OFD_GETLK, &probe) &&
				probe.l_type == F_UNLCK)
				return o;
		}
	}
	return NULL;
}

static const struct parked_lock *parked_of(const struct locks *l, uint64_t owner)
{
	const struct parked_lock *p = l->parked;

	while (p && (!p->owner || p->owner->owner != owner))
		p = p->next;
	return p;
}

/*
 * Whether waiting for lock closes a circle of owners that wait for each other. OFD locks know no
 * deadlocks; POSIX locks promise EDEADLK. Lock held.
 */
static bool would_deadlock(struct locks *l, const struct lock_owner *o, struct flock lock)
{
	const struct lock_owner *waiting = o;

	for (unsigned depth = 0; depth < DEADLOCK_DEPTH; depth++) {
		if (fcntl(waiting->fd, F_OFD_GETLK, &lock) < 0 || lock.l_type == F_UNLCK)
			return false;
		const struct lock_owner *holder = holder_of(l, waiting->node, &lock);
		if (!holder)
			return false;
		if (holder->owner == o->owner)
			return true;
		const struct parked_lock *p = parked_of(l, holder->owner);
		if (!p)
			return false;
		waiting = p->owner;
		lock = p->lock;
	}
	return false;
}

static int park(const struct op_call *c, struct handle *h, struct lock_owner *o, struct flock lock)
{
	struct locks *l = c->s->locks;
	struct parked_lock *p = calloc(1, sizeof(*p));
	int ret = 0;

	if (!p)
		return -ENOMEM;
	*p = (struct parked_lock){.r = c->r, .owner = o, .lock = lock};
	p->handle = handle_get(&c->s->handles, h->id, h->nodeid, false);
	pthread_mutex_lock(&l->lock);
	if (l->closed || !p->handle)
		ret = -EINTR;
	else if (l->n_parked >= PARKED_MAX)
		ret = -ENOLCK;
	else if (o && would_deadlock(l, o, lock))
		ret = -EDEADLK;
	else if (!l->thread_runs) {
		ret = -pthread_create(&l->thread, NULL, retry_thread, c->s);
		l->thread_runs = !ret;
	}
	if (!ret) {
		if (o)
			o->refs++;
		struct parked_lock **tail = &l->parked; /* first come, first tried */
		while (*tail)
			tail = &(*tail)->next;
		*tail = p;
		l->n_parked++;
		pthread_cond_signal(&l->changed);
	}
	pthread_mutex_unlock(&l->lock);
	if (!ret)
		return OP_PARKED; /* cppcheck-suppress memleak ; l->parked keeps it */
	if (p->handle)
		handle_put(&c->s->handles, p->handle);
	free(p);
	return ret;
}

static int set_lock(const struct op_call *c, bool wait)
{
	const struct fuse_lk_in *in = request_take(c->r, sizeof(*in));
	cleanup_handle struct handle_use use = {0};
	struct locks *l = c->s->locks;
	struct lock_owner *o = NULL;
	struct flock lock;

	if (!(session_flags(c->s) & SESSION_HOST_LOCKS))
		return -ENOSYS;
	if (!in)
		return -EINVAL;
	int ret = lock_range_from_guest(&in->lk, &lock);
	if (!ret)
		ret = handle_use(&c->s->handles, in->fh, c->r->header.nodeid, false, &use);
	if (ret)
		return ret;
	bool whole = in->lk.type == F_UNLCK && in->lk.start == 0 && in->lk.end == INT64_MAX;
	if (!(in->lk_flags & FUSE_LK_FLOCK)) {
		ret = owner_get(c, use.handle, in->owner, in->lk.type != F_UNLCK, &o);
		if (!ret && !o)
			return request_reply(c->r, NULL, 0); /* nothing locked, nothing to unlock */
	}
	if (ret)
		return ret;
	pthread_mutex_lock(&l->lock);
	ret = lock_try(l, use.handle, o, lock);
	if (!ret && in->lk.type == F_UNLCK) {
		l->retry_now = true;
		pthread_cond_signal(&l->changed);
	} else if (!ret && o) {
		o->pid = in->lk.pid;
		o->fh = in->fh;
		use.handle->locked = true;
	}
	pthread_mutex_unlock(&l->lock);
	if (ret == -EAGAIN && wait)
		ret = park(c, use.handle, o, lock);
	owner_put(c->s, o);
	if (!ret && whole && o)
		owner_drop(c->s, use.handle->node, in->owner);
	return ret ? ret : request_reply(c->r, NULL, 0);
}

int op_setlk(const struct op_call *c)
{
	return set_lock(c, false);
}

int op_setlkw(const struct op_call *c)
{
	return set_lock(c, true);
}

int op_getlk(const struct op_call *c)
{
	const struct fuse_lk_in *in = request_take(c->r, sizeof(*in));
	cleanup_handle struct handle_use use = {0};
	struct lock_owner *o = NULL;
	struct fuse_lk_out out = {0};
	struct flock lock;

	if (!(session_flags(c->s) & SESSION_HOST_LOCKS))
		return -ENOSYS;
	if (!in || in->lk_flags & FUSE_LK_FLOCK)
		return -EINVAL;
	int ret = lock_range_from_guest(&in->lk, &lock);
	if (!ret && lock.l_type == F_UNLCK)
		ret = -EINVAL;
	if (!ret)
		ret = handle_use(&c->s->handles, in->fh, c->r->header.nodeid, false, &use);
	if (!ret)
		ret = owner_get(c, use.handle, in->owner, false, &o);
	if (ret)
		return ret;
	ret = fcntl(o ? o->fd : use.handle->fd, F_OFD_GETLK, &lock) < 0 ? -errno : 0;
	owner_put(c->s, o);
	if (ret)
		return ret;
	out.lk.type = (uint32_t)lock.l_type;
	if (lock.l_type != F_UNLCK) {
		out.lk.start = lock_range_of(&lock).start;
		out.lk.end = lock_range_of(&lock).end;
		/* 0: of a process of the host, whose pid means nothing in the guest. */
		pthread_mutex_lock(&c->s->locks->lock);
		const struct lock_owner *holder = holder_of(c->s->locks, use.handle->node, &lock);
		out.lk.pid = holder ? holder->pid : 0;
		pthread_mutex_unlock(&c->s->locks->lock);
	}
	return request_reply(c->r, &out, sizeof(out));
}

void fuse_session_park(struct fuse_session *s, bool allowed)
{
	struct locks *l = s->locks;
	struct parked_lock *done = NULL;

	pthread_mutex_lock(&l->lock);
	l->closed = !allowed;
	if (!allowed)
		done = retry_parked(l, true);
	pthread_mutex_unlock(&l->lock);
	finish_list(s, done);
}

void locks_release_all(struct fuse_session *s)
{
	struct locks *l = s->locks;

	fuse_session_park(s, false);
	for (unsigned i = 0; i < OWNER_BUCKETS; i++) {
		struct lock_owner *o;
		do {
			pthread_mutex_lock(&l->lock);
			o = l->owners[i] ? owner_remove(l, &l->owners[i]) : NULL;
			pthread_mutex_unlock(&l->lock);
			owner_put(s, o);
		} while (o);
	}
	fuse_session_park(s, true);
}

void locks_free(struct fuse_session *s)
{
	struct locks *l = s->locks;

	if (!l)
		return;
	locks_release_all(s);
	pthread_mutex_lock(&l->lock);
	l->stopping = true;
	pthread_cond_signal(&l->changed);
	pthread_mutex_unlock(&l->lock);
	if (l->thread_runs)
		pthread_join(l->thread, NULL);
	pthread_cond_destroy(&l->changed);
	pthread_mutex_destroy(&l->lock);
	free(l);
	s->locks = NULL;
}
