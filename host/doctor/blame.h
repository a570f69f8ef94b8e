/* Which kernels are to blame for wrong results. A run that launches several kernels is wrong when any of them is; those
 * that took part in a right run are cleared, and of the rest the few that explain all wrong runs are named. Pure.
 * Test: test_blame */
#ifndef VKFT_BLAME_H
#define VKFT_BLAME_H

#include "host/doctor/checks/lab.h"

/* For each wrong kernel the first verdict against it; NULL: nothing is wrong with it, or it was not run. */
void vkft_blame(const vkft_verdict *verdicts, uint32_t count, const vkft_verdict *wrong[VKFT_KERNEL_COUNT]);

#endif
