/* SPDX-License-Identifier: Apache-2.0 */
/* Threads and their filters; see thread.h. */
#include "microvm/confine/thread.h"

#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/prctl.h>

#define STACK_BYTES (256u << 10) /* address space: what is not used is not there */

static const struct call common_calls[] = {
	CALL(futex), CALL(exit), CALL(rt_sigprocmask), /* of pthread_exit */
	CALL(madvise),				       /* likewise: the stack's pages */
};
const struct calls thread_calls = CALLS(common_calls);

/* Lives on the stack of whoever starts the thread, until `ready`. */
struct start {
	const struct thread_config *config;
	sem_t ready;
	int ret;
};

static void *begin(void *arg)
{
	struct start *start = arg;
	struct thread_config config = *start->config;

	prctl(PR_SET_NAME, config.name);
	int ret = config.filter ? filter_install(config.filter) : 0;
	start->ret = ret;
	sem_post(&start->ready);
	return ret < 0 ? NULL : config.main(config.arg);
}

int thread_start(pthread_t *thread, const struct thread_config *config)
{
	struct start start = {.config = config};
	sigset_t blocked, before;
	pthread_attr_t attr;
	int ret = -pthread_attr_init(&attr);

	if (ret < 0)
		return ret;
	sem_init(&start.ready, 0, 0); /* can't fail */
	sigfillset(&blocked);
	sigdelset(&blocked, SIGSYS); /* for violation.h */
	if (config->signal)
		sigdelset(&blocked, config->signal);
	pthread_sigmask(SIG_SETMASK, &blocked, &before);
	ret = -pthread_attr_setstacksize(&attr, STACK_BYTES);
	if (ret == 0)
		ret = -pthread_create(thread, &attr, begin, &start);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (ret == 0) {
		while (sem_wait(&start.ready) < 0)
			;
		ret = start.ret;
		if (ret < 0)
			pthread_join(*thread, NULL);
	}
	sem_destroy(&start.ready);
	return ret;
}
