/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals to the monitor. In a foreground run, those that would end this program end the VM in good
 * order; those of a detached container are for the container, whose process the monitor is as far
 * as the host can see. A change of the controlling terminal's size comes as a signal, too.
 */
#ifndef MICROVM_VMM_SIGNALS_H
#define MICROVM_VMM_SIGNALS_H

#include <stdbool.h>

#include "base/err.h"
#include "base/loop.h"

struct signals {
	struct loop *loop;
	struct loop_source source;
	void (*received)(void *arg, int signal);
	void *arg;
};

/*
 * From now on received is called, from the loop, with SIGTERM, SIGINT, SIGHUP and SIGQUIT unless
 * hvrun has set them to be ignored; with forward, every signal that a process may be sent for its
 * own purposes; with resize, SIGWINCH. Those that would only disturb are ignored.
 */
int signals_init(struct signals *signals, struct loop *loop, bool forward, bool resize,
	void (*received)(void *arg, int signal), void *arg, struct err *e) must_check;
void signals_fini(struct signals *signals); /* fine without init when source.fd is -1 */

#endif
