/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hvrun-vmm as an attacker: what the linker puts between its main.c, its helpers, thread.c and what
 * these call; see attack.h. A copy does what hvrun-vmm does when it gives up the host's
 * files, its privileges and its system calls; only the machine, which would be a second one with
 * the same parts, is not started in it.
 */
#include "tests/attack/attack.h"

#include <pthread.h>

#include "microvm/confine/thread.h"
#include "microvm/devices/blk.h"
#include "microvm/devices/net.h"
#include "microvm/kvm/vm.h"
#include "microvm/vmm/confine.h"
#include "microvm/vmm/machine.h"
#include "microvm/vmm/plan.h"
#include "microvm/vmm/relay_helper.h"
#include "microvm/vmm/resolver.h"

static const struct attempts *const tables[] = {&attempts_files, &attempts_mounts,
	&attempts_processes, &attempts_sockets, &attempts_memory, &attempts_kernel, NULL};

/* What the linker makes of the names that its option --wrap is given. */
void __real_plan_close_boot(struct plan *plan);
int __real_machine_start(struct machine *machine, struct err *e);
int __real_machine_launch(struct machine *machine, bool confine, struct err *e);
int __real_relay_helper_start(struct plan *plan, int *sock, struct err *e);
int __real_resolver_start(struct resolver *r, struct plan *plan, struct err *e);
int __real_filter_install(const struct filter *filter);

void __wrap_plan_close_boot(struct plan *plan);
int __wrap_machine_start(struct machine *machine, struct err *e);
int __wrap_machine_launch(struct machine *machine, bool confine, struct err *e);
int __wrap_relay_helper_start(struct plan *plan, int *sock, struct err *e);
int __wrap_resolver_start(struct resolver *r, struct plan *plan, struct err *e);
int __wrap_filter_install(const struct filter *filter);

/* The first step of the confinement. */
void __wrap_plan_close_boot(struct plan *plan)
{
	const enum attacker attackers[] = {
		plan->emulation ? ATTACKER_MAIN_EMULATION : ATTACKER_MAIN, ATTACKER_VCPU,
		ATTACKER_DISK, ATTACKER_NET, ATTACKER_FREE};

	(void)attack_all("hvrun-vmm", tables, attackers, NULL);
	__real_plan_close_boot(plan);
}

int __wrap_machine_start(struct machine *machine, struct err *e)
{
	return attack_attacker() ? 0 : __real_machine_start(machine, e);
}

static void *nothing(void *arg)
{
	return arg;
}

/* The thread attacks as soon as it has its list, in a process that has given up all it does. */
int __wrap_machine_launch(struct machine *machine, bool confine, struct err *e)
{
	struct thread_config config = {.name = "attack", .main = nothing};
	pthread_t thread;

	switch (attack_attacker()) {
	case ATTACKER_FREE:
		return __real_machine_launch(machine, confine, e);
	case ATTACKER_VCPU:
		config.filter = &vcpu_filter;
		break;
	case ATTACKER_DISK:
		config.filter = &disk_filter;
		break;
	case ATTACKER_NET:
		config.filter = &net_filter;
		break;
	default:
		return 0;
	}
	int ret = thread_start(&thread, &config);
	return ret < 0 ? err_sys(e, -ret, "thread") : 0;
}

int __wrap_relay_helper_start(struct plan *plan, int *sock, struct err *e)
{
	static const enum attacker attackers[] = {ATTACKER_RELAY, ATTACKER_FREE};

	if (!plan->n_sockets || !attack_all("relay", tables, attackers, NULL))
		return __real_relay_helper_start(plan, sock, e);
	int ret = __real_relay_helper_start(plan, sock, e);
	if (ret < 0)
		return ret;
	attack_wait();
}

int __wrap_resolver_start(struct resolver *r, struct plan *plan, struct err *e)
{
	static const enum attacker attackers[] = {ATTACKER_RESOLVER, ATTACKER_FREE};

	if (plan->resolver_fd < 0 || !attack_all("resolver", tables, attackers, NULL))
		return __real_resolver_start(r, plan, e);
	int ret = __real_resolver_start(r, plan, e);
	if (ret < 0)
		return ret;
	attack_wait();
}

int __wrap_filter_install(const struct filter *filter)
{
	int ret = __real_filter_install(filter);

	if (ret == 0)
		attack_here(filter->kind, tables);
	return ret;
}
