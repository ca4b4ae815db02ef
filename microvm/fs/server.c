/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio-fs device; see server.h.
 *
 * One lock, the device's, guards queues, job list and counters. It is held only around them, never
 * while a request is served: the loop's thread lets go of it within its kick, which is sound since
 * nobody else starts, kicks or stops the device.
 */
#include "microvm/fs/server.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

#define QUEUES		9 /* high priority and 8 for requests */
#define JOBS_MAX	512
#define JOBS_KEPT	32
#define BATCH		8  /* taken at once, to see what there is to choose from */
#define INLINE_MAX	4  /* of a batch; more than that is worth waking somebody */
#define BATCHES_MAX	32 /* per kick, then the loop's other sources have their turn */
#define SLOW_NS		1000000
#define SLOW_REQUESTS	16 /* so many of a kind go to workers after a slow one */
#define WORKER_STACK	(256u << 10)
#define NODES_MIN	65536u
#define GUEST_INODE_MIN 1024u /* bytes of memory that a guest spends on an inode at least */

struct fs_job {
	struct fuse_request r; /* first */
	struct fs_job *next;
	unsigned iov_cap;
	uint16_t head;
	uint8_t queue;
	uint8_t weight;
	uint32_t opcode;
};

struct fs_server {
	struct virtio_device dev; /* first */
	struct fuse_session *session;
	struct fuse_thread *inline_thread;
	struct loop_source again; /* eventfd: there may be more in the queues */
	struct virtq_chain chain;

	/* Under dev.lock. */
	struct fs_job *todo_head, **todo_tail;
	struct fs_job *kept; /* free ones */
	unsigned n_todo, n_jobs, n_kept, n_workers, n_idle, workers_max;
	bool stalled; /* JOBS_MAX reached: a completion must ring again */
	bool quitting;
	pthread_cond_t work, drained;
	pthread_t workers[FS_WORKERS_MAX];
	uint8_t slow[FS_OPCODE_MAX]; /* requests of a kind that still go to workers */
};

static struct fs_server *server_of(struct virtio_device *dev)
{
	return (struct fs_server *)(void *)dev;
}

static void ring_again(struct fs_server *s)
{
	uint64_t one = 1;
	ssize_t ignored = write(s->again.fd, &one, sizeof(one));

	(void)ignored;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* A job for the chain in s->chain; NULL without memory. */
static struct fs_job *job_new(struct fs_server *s, unsigned queue)
{
	const struct virtq_chain *chain = &s->chain;
	unsigned n = chain->n_readable + chain->n_writable;
	struct fs_job *job = s->kept;

	if (job) {
		s->kept = job->next;
		s->n_kept--;
	} else {
		job = calloc(1, sizeof(*job));
		if (!job)
			return NULL;
	}
	if (n > job->iov_cap || !job->r.iov) {
		unsigned cap = n < 40 ? 40 : n;
		struct iovec *iov = realloc(job->r.iov, cap * sizeof(*iov));
		if (!iov) {
			free(job->r.iov);
			free(job);
			return NULL;
		}
		job->r.iov = iov;
		job->iov_cap = cap;
	}
	memcpy(job->r.iov, chain->iov, n * sizeof(*chain->iov));
	job->r.n_readable = chain->n_readable;
	job->r.n_writable = chain->n_writable;
	job->r.readable_bytes = chain->readable_bytes;
	job->r.writable_bytes = chain->writable_bytes;
	job->head = chain->head;
	job->queue = (uint8_t)queue;
	job->weight = (uint8_t)fuse_request_weight(&job->r, &job->opcode);
	job->next = NULL;
	s->n_jobs++;
	return job;
}

static void job_free(struct fs_job *job)
{
	request_fini(&job->r);
	free(job->r.iov);
	free(job);
}

/* Lock held: gives the chain back. */
static void job_done(struct fs_server *s, struct fs_job *job)
{
	struct virtq *vq = &s->dev.queues[job->queue];

	if (vq->running && !s->dev.broken) {
		virtq_push(vq, job->head, job->r.reply_bytes);
		virtio_device_interrupt(&s->dev, job->queue);
	}
	request_fini(&job->r);
	if (s->n_kept < JOBS_KEPT && job->iov_cap <= 64) {
		job->next = s->kept;
		s->kept = job;
		s->n_kept++;
	} else {
		job_free(job);
	}
	s->n_jobs--;
	if (!s->n_jobs)
		pthread_cond_broadcast(&s->drained);
	if (s->stalled) {
		s->stalled = false;
		ring_again(s);
	}
}

/* A parked request has its reply. */
static void server_complete(struct fuse_request *r, void *arg)
{
	struct fs_server *s = arg;

	pthread_mutex_lock(&s->dev.lock);
	job_done(s, (struct fs_job *)(void *)r);
	pthread_mutex_unlock(&s->dev.lock);
}

static void *worker_main(void *arg)
{
	struct fs_server *s = arg;
	struct fuse_thread *thread = fuse_thread_new();
	int ret = thread ? fuse_thread_init(thread, s->session) : -ENOMEM;

	if (ret < 0)
		log_error("worker thread: %s", strerror(-ret));
	pthread_mutex_lock(&s->dev.lock);
	for (;;) {
		while (!s->todo_head && !s->quitting) {
			s->n_idle++;
			pthread_cond_wait(&s->work, &s->dev.lock);
			s->n_idle--;
		}
		struct fs_job *job = s->todo_head;
		if (!job)
			break;
		s->todo_head = job->next;
		if (!s->todo_head)
			s->todo_tail = &s->todo_head;
		s->n_todo--;
		pthread_mutex_unlock(&s->dev.lock);
		enum fuse_result result = FUSE_DONE;
		if (ret < 0)
			job->r.reply_bytes = 0;
		else
			result = fuse_session_handle(s->session, thread, &job->r);
		pthread_mutex_lock(&s->dev.lock);
		if (result != FUSE_PARKED)
			job_done(s, job);
	}
	pthread_mutex_unlock(&s->dev.lock);
	free(thread);
	return NULL;
}

/* Lock held. One more thread if all are busy; whether there is any. */
static bool worker_start(struct fs_server *s)
{
	pthread_attr_t attr;

	if (s->n_workers == s->workers_max)
		return true;
	if (pthread_attr_init(&attr))
		return s->n_workers;
	pthread_attr_setstacksize(&attr, WORKER_STACK);
	int ret = pthread_create(&s->workers[s->n_workers], &attr, worker_main, s);
	pthread_attr_destroy(&attr);
	if (ret)
		log_warn("can't start a thread (%s): %u serve", strerror(ret), s->n_workers);
	else
		s->n_workers++;
	return s->n_workers;
}

/* Lock held. False when there is nobody to take it. */
static bool job_submit(struct fs_server *s, struct fs_job *job)
{
	if (s->n_todo >= s->n_idle && !worker_start(s))
		return false;
	job->next = NULL;
	*s->todo_tail = job;
	s->todo_tail = &job->next;
	s->n_todo++;
	pthread_cond_signal(&s->work);
	return true;
}

/* Lock held, let go of meanwhile. may_pass: somebody else can do it if it has to wait. */
static void job_run_inline(struct fs_server *s, struct fs_job *job, bool may_pass)
{
	pthread_mutex_unlock(&s->dev.lock);
	uint64_t start = now_ns();
	s->inline_thread->nowait = may_pass && job->weight == WEIGHT_DATA;
	uint32_t opcode = job->opcode; /* once it is parked the job may be gone */
	enum fuse_result result = fuse_session_handle(s->session, s->inline_thread, &job->r);
	bool slow = now_ns() - start > SLOW_NS;
	pthread_mutex_lock(&s->dev.lock);

	if (result == FUSE_AGAIN) {
		if (!job_submit(s, job))
			job_run_inline(s, job, false);
		return;
	}
	if (slow)
		s->slow[opcode] = SLOW_REQUESTS;
	if (result == FUSE_DONE)
		job_done(s, job);
}

static bool job_is_inline(
	struct fs_server *s, const struct fs_job *job, unsigned n_batch, unsigned n_inline)
{
	if (job->weight == WEIGHT_WAIT)
		return false;
	if (s->slow[job->opcode]) {
		s->slow[job->opcode]--;
		return false;
	}
	if (job->weight == WEIGHT_DATA)
		return n_batch == 1;
	return n_inline < INLINE_MAX;
}

/* Lock held. Pops up to BATCH chains; the number taken. */
static unsigned pop_batch(struct fs_server *s, unsigned queue, struct fs_job **batch)
{
	struct virtq *vq = &s->dev.queues[queue];
	unsigned n = 0;

	while (n < BATCH) {
		if (s->n_jobs >= JOBS_MAX) {
			s->stalled = true;
			break;
		}
		int ret = virtq_pop(vq, &s->chain);
		if (ret < 0) {
			virtio_device_break(&s->dev, "the guest broke a request queue");
			break;
		}
		if (!ret)
			break;
		struct fs_job *job = job_new(s, queue);
		if (job)
			batch[n++] = job;
		else
			virtq_push(vq, s->chain.head, 0);
	}
	return n;
}

/* Lock held. False when there was nothing to do. */
static bool serve_batch(struct fs_server *s, unsigned queue)
{
	struct fs_job *batch[BATCH], *mine[BATCH];
	unsigned n_mine = 0;
	unsigned n = pop_batch(s, queue, batch);

	for (unsigned i = 0; i < n; i++)
		if (job_is_inline(s, batch[i], n, n_mine) || !job_submit(s, batch[i]))
			mine[n_mine++] = batch[i];
	for (unsigned i = 0; i < n_mine; i++)
		job_run_inline(s, mine[i], true);
	return n > 0;
}

static void server_kick(struct virtio_device *dev, unsigned queue)
{
	struct fs_server *s = server_of(dev);
	struct virtq *vq = &dev->queues[queue];
	unsigned batches = 0;

	do {
		virtq_kicks_off(vq);
		while (serve_batch(s, queue))
			if (++batches == BATCHES_MAX) {
				/* Whatever the guest does, the loop's other sources are served. */
				ring_again(s);
				return;
			}
	} while (!dev->broken && !s->stalled && virtq_kicks_on(vq));
}

static void again_ready(struct loop_source *source, uint32_t events)
{
	struct fs_server *s =
		(struct fs_server *)(void *)((char *)source - offsetof(struct fs_server, again));
	uint64_t count;

	(void)events;
	if (read(source->fd, &count, sizeof(count)) != sizeof(count))
		return;
	pthread_mutex_lock(&s->dev.lock);
	for (unsigned i = 0; i < s->dev.n_queues; i++)
		virtio_device_kick(&s->dev, i);
	pthread_mutex_unlock(&s->dev.lock);
}

static int server_start(struct virtio_device *dev)
{
	struct fs_server *s = server_of(dev);
	uint64_t bytes = 0;

	/* No guest can remember more inodes than it has memory for. */
	for (unsigned i = 0; i < dev->memory->n_regions; i++)
		bytes += dev->memory->regions[i].len_bytes;
	uint64_t nodes_max = bytes / GUEST_INODE_MIN;
	if (nodes_max < NODES_MIN)
		nodes_max = NODES_MIN;
	fuse_session_set_nodes_max(
		s->session, nodes_max < UINT32_MAX ? (uint32_t)nodes_max : UINT32_MAX);
	fuse_session_park(s->session, true);
	s->stalled = false;
	return 0;
}

/* What was taken from the queues is finished, not dropped: a paused guest waits for it. */
static void server_stop(struct virtio_device *dev)
{
	struct fs_server *s = server_of(dev);

	pthread_mutex_unlock(&dev->lock);
	fuse_session_park(s->session, false);
	pthread_mutex_lock(&dev->lock);
	while (s->n_jobs)
		pthread_cond_wait(&s->drained, &dev->lock);
}

static const struct virtio_device_ops server_ops = {
	.start = server_start,
	.kick = server_kick,
	.stop = server_stop,
};

static int server_init_again(struct fs_server *s, struct loop *loop)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd < 0)
		return -errno;
	s->again.ready = again_ready;
	int ret = loop_add(loop, &s->again, fd, EPOLLIN);
	if (ret < 0)
		close(fd);
	return ret;
}

int fs_server_create(struct fs_server **out, struct loop *loop,
	const struct fuse_session_config *session_config, unsigned workers, struct err *e)
{
	struct fuse_session_config config = *session_config;
	struct fs_server *s = calloc(1, sizeof(*s));

	if (!s)
		return err_sys(e, ENOMEM, "file server");
	s->again.fd = -1;
	int ret = virtio_device_init(&s->dev);
	if (ret < 0) {
		free(s);
		return err_sys(e, -ret, "file server");
	}
	s->dev.ops = &server_ops;
	s->dev.name = "fs";
	s->dev.id = VIRTIO_ID_FS;
	s->dev.offered = UINT64_C(1) << VIRTIO_F_VERSION_1 |
		UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC | UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX;
	s->dev.n_queues = QUEUES;
	s->dev.queue_size_max = VIRTQ_SIZE_MAX;
	s->dev.loop = loop;
	s->todo_tail = &s->todo_head;
	s->workers_max = workers < 1 ? 1 : workers;
	if (s->workers_max > FS_WORKERS_MAX)
		s->workers_max = FS_WORKERS_MAX;
	pthread_cond_init(&s->work, NULL);
	pthread_cond_init(&s->drained, NULL);
	config.complete = server_complete;
	config.arg = s;
	ret = fuse_session_create(&s->session, &config, e);
	if (!ret) {
		s->inline_thread = fuse_thread_new();
		ret = s->inline_thread ? fuse_thread_init(s->inline_thread, s->session) : -ENOMEM;
		if (!ret)
			ret = server_init_again(s, loop);
		if (ret < 0)
			err_sys(e, -ret, "file server");
	}
	if (ret < 0) {
		fs_server_free(s);
		return ret;
	}
	*out = s;
	return 0;
}

void fs_server_free(struct fs_server *server)
{
	if (!server)
		return;
	pthread_mutex_lock(&server->dev.lock);
	server->quitting = true;
	pthread_cond_broadcast(&server->work);
	pthread_mutex_unlock(&server->dev.lock);
	for (unsigned i = 0; i < server->n_workers; i++)
		pthread_join(server->workers[i], NULL);
	int again = server->again.fd;
	if (again >= 0) {
		loop_del(server->dev.loop, &server->again);
		close(again);
	}
	fuse_session_free(server->session);
	while (server->kept) {
		struct fs_job *job = server->kept;
		server->kept = job->next;
		job_free(job);
	}
	free(server->inline_thread);
	pthread_cond_destroy(&server->work);
	pthread_cond_destroy(&server->drained);
	virtio_device_fini(&server->dev);
	free(server);
}

struct virtio_device *fs_server_device(struct fs_server *server)
{
	return &server->dev;
}
