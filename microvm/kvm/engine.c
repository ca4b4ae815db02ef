/* SPDX-License-Identifier: Apache-2.0 */
/* The KVM engine's side of the engine contract; see vmm/engine.h and vm.h. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "microvm/confine/thread.h"
#include "microvm/kvm/probe.h"
#include "microvm/kvm/vm.h"

static const struct call loop_calls[] = {
	/* the kick, and the threads' end */
	CALL_IF_OWN(tgkill, 0),
	CALL(getpid),
	CALL(rt_sigprocmask),
	CALL_IF_EQUAL(ioctl, 1, KVM_KVMCLOCK_CTRL),
	/* the random number device, which QEMU has of its own */
	CALL(getrandom),
};
static const struct calls engine_calls = CALLS(loop_calls);

void vm_end(struct engine *engine, enum engine_end how, const char *fmt, ...)
{
	uint64_t one = 1;
	va_list ap;

	pthread_mutex_lock(&engine->lock);
	if (!engine->has_ended) {
		engine->has_ended = true;
		engine->how = how;
		va_start(ap, fmt);
		vsnprintf(engine->message, sizeof(engine->message), fmt, ap);
		va_end(ap);
		ssize_t ignored = write(engine->ended_fd, &one, sizeof(one));
		(void)ignored; /* the first write to a fresh eventfd can't fail */
	}
	pthread_mutex_unlock(&engine->lock);
}

static void engine_ended(struct loop_source *source, uint32_t events)
{
	struct engine *engine =
		(struct engine *)(void *)((char *)source - offsetof(struct engine, ended));

	(void)events;
	loop_del(engine->config.loop, source);
	/* The vCPU that wrote the words has let go of the lock: they are whole, and won't change.
	 */
	pthread_mutex_lock(&engine->lock);
	pthread_mutex_unlock(&engine->lock);
	engine->config.ended(engine->config.arg, engine->how, engine->message);
}

/* Gives the order, and gets vCPUs out of the guest to hear it. */
static void give_order(struct engine *engine, enum vm_order order)
{
	pthread_mutex_lock(&engine->order_lock);
	atomic_store(&engine->order, order);
	pthread_cond_broadcast(&engine->order_changed);
	pthread_mutex_unlock(&engine->order_lock);
	for (unsigned i = 0; order != VM_RUN && i < engine->config.vcpus; i++) {
		struct vcpu *vcpu = &engine->vcpus[i];

		if (!vcpu->thread_made)
			continue;
		/* Whether the signal comes before or after KVM_RUN is entered, it is left. */
		__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
		pthread_kill(vcpu->thread, vm_kick_signal());
	}
}

static int engine_kvm_pause(struct engine *engine, struct err *e)
{
	(void)e;
	give_order(engine, VM_PAUSE);
	pthread_mutex_lock(&engine->order_lock);
	while (engine->n_still < engine->config.vcpus)
		pthread_cond_wait(&engine->order_changed, &engine->order_lock);
	pthread_mutex_unlock(&engine->order_lock);
	return 0;
}

static int engine_kvm_resume(struct engine *engine, struct err *e)
{
	(void)e;
	for (unsigned i = 0; i < engine->config.vcpus; i++) {
		struct vcpu *vcpu = &engine->vcpus[i];

		__atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
		/* Keeps the guest's watchdog quiet; a guest without this clock has none to tell. */
		arch_vcpu_resume(vcpu);
	}
	give_order(engine, VM_RUN);
	return 0;
}

static void engine_kvm_stop(struct engine *engine)
{
	uint64_t exits[VM_EXIT_KINDS] = {0};

	loop_del(engine->config.loop, &engine->ended);
	if (!engine->vcpus || atomic_load(&engine->order) == VM_STOP)
		return;
	give_order(engine, VM_STOP);
	for (unsigned i = 0; i < engine->config.vcpus; i++) {
		struct vcpu *vcpu = &engine->vcpus[i];

		if (!vcpu->thread_made)
			continue;
		pthread_join(vcpu->thread, NULL);
		vcpu->thread_made = false;
		for (unsigned kind = 0; kind < VM_EXIT_KINDS; kind++)
			exits[kind] += vcpu->exits[kind];
	}
	for (unsigned i = 0; i < engine->n_mmio; i++)
		virtio_mmio_reset(&engine->mmio[i]);
	log_debug("exits: %llu serial, %llu other ports, %llu device reads, %llu device writes, "
		  "%llu interrupt controller, %llu other MMIO, %llu signals",
		(unsigned long long)exits[VM_EXIT_SERIAL], (unsigned long long)exits[VM_EXIT_PORT],
		(unsigned long long)exits[VM_EXIT_DEVICE_READ],
		(unsigned long long)exits[VM_EXIT_DEVICE_WRITE],
		(unsigned long long)exits[VM_EXIT_IRQCHIP],
		(unsigned long long)exits[VM_EXIT_MMIO_UNKNOWN],
		(unsigned long long)exits[VM_EXIT_SIGNAL]);
}

static void engine_kvm_free(struct engine *engine)
{
	if (!engine)
		return;
	engine_kvm_stop(engine);
	vm_destroy(engine);
	fd_closep(&engine->ended_fd);
	pthread_cond_destroy(&engine->order_changed);
	pthread_mutex_destroy(&engine->order_lock);
	pthread_mutex_destroy(&engine->lock);
	free(engine);
}

static void kick_ignored(int number)
{
	(void)number; /* its only purpose is to interrupt a system call */
}

static int engine_init(struct engine *engine, const struct vm_config *config, struct err *e)
{
	struct sigaction kick = {.sa_handler = kick_ignored};

	engine->config = *config;
	engine->kvm_fd = engine->vm_fd = engine->ack_fd = -1;
	engine->ended.fd = -1;
	engine->ended.ready = engine_ended;
	atomic_init(&engine->order, VM_PAUSE); /* until `run` */
	int ret = -pthread_mutex_init(&engine->lock, NULL);
	if (!ret)
		ret = -pthread_mutex_init(&engine->order_lock, NULL);
	if (!ret)
		ret = -pthread_cond_init(&engine->order_changed, NULL);
	if (ret < 0)
		return err_sys(e, -ret, "KVM engine");
	engine->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (engine->ended_fd < 0 || sigaction(vm_kick_signal(), &kick, NULL) < 0)
		return err_sys(e, errno, "KVM engine");
	ret = loop_add(config->loop, &engine->ended, engine->ended_fd, EPOLLIN);
	return ret < 0 ? err_sys(e, -ret, "KVM engine") : 0;
}

static int engine_kvm_create(const struct vm_config *config, struct engine **out, struct err *e)
{
	struct engine *engine;

	if (!config->vcpus || config->vcpus > VM_VCPUS_MAX)
		return err_set(
			e, EINVAL, "%u vCPUs: a VM has 1 to %d", config->vcpus, VM_VCPUS_MAX);
	if (config->n_devices > VM_DEVICES_MAX)
		return err_set(e, E2BIG, "%u devices: a VM has at most %d", config->n_devices,
			VM_DEVICES_MAX);
	int ret = kvm_probe_if_doubtful(e);
	if (ret < 0)
		return ret;
	engine = calloc(1, sizeof(*engine));
	if (!engine)
		return err_sys(e, ENOMEM, "KVM engine");
	ret = engine_init(engine, config, e);
	if (ret == 0)
		ret = vm_create(engine, e);
	if (ret == 0)
		ret = vm_attach_devices(engine, e);
	if (ret < 0) {
		engine_kvm_free(engine);
		return ret;
	}
	*out = engine;
	return 0;
}

/* vCPU threads take no signal but the kick: all others are for the loop's thread. */
static int vcpu_thread_make(struct vcpu *vcpu)
{
	char name[16];
	const struct thread_config config = {
		.name = name,
		.main = vcpu_run,
		.arg = vcpu,
		.signal = vm_kick_signal(),
		.filter = vcpu->engine->config.confine ? &vcpu_filter : NULL,
	};

	snprintf(name, sizeof(name), "vcpu-%u", vcpu->index);
	int ret = thread_start(&vcpu->thread, &config);
	vcpu->thread_made = ret == 0;
	return ret;
}

/* The threads find the order to wait. */
static int engine_kvm_start(struct engine *engine, struct err *e)
{
	int ret = 0;

	for (unsigned i = 0; ret == 0 && i < engine->config.vcpus; i++)
		ret = vcpu_thread_make(&engine->vcpus[i]);
	fd_closep(&engine->kvm_fd); /* it has made all that it is needed for */
	if (ret == 0)
		return 0;
	engine_kvm_stop(engine);
	return err_sys(e, -ret, "can't make a thread for a vCPU");
}

static void engine_kvm_run(struct engine *engine)
{
	give_order(engine, VM_RUN);
}

const struct engine_ops engine_kvm_ops = {
	.name = "kvm",
	.create = engine_kvm_create,
	.calls = &engine_calls,
	.start = engine_kvm_start,
	.run = engine_kvm_run,
	.pause = engine_kvm_pause,
	.resume = engine_kvm_resume,
	.stop = engine_kvm_stop,
	.free = engine_kvm_free,
};
