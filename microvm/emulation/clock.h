/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCG hands the host's time-stamp counter to the guest. A guest kernel that measures its frequency
 * against the emulated PIT gets it wrong on a busy host, declares the counter unusable, and then
 * has a clock that only ticks; so it is told the frequency.
 */
#ifndef MICROVM_EMULATION_CLOCK_H
#define MICROVM_EMULATION_CLOCK_H

/* Of this host's counter, measured in about 10 ms; 0 when it does not run evenly. */
unsigned clock_tsc_khz(void);

#endif
