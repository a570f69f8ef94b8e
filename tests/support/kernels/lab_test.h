/* Tests that run the doctor's checks of kernels (host/doctor/checks) at their own shapes. */
#ifndef VKFT_LAB_TEST_H
#define VKFT_LAB_TEST_H

#include "host/doctor/checks/kernels.h"

/* cmocka group setup and teardown; the device is $VKFT_DEVICE or the best one. *state: the vkft_lab. */
int vkft_lab_setup(void **state);
int vkft_lab_teardown(void **state);

/* Ends a test that this device cannot run; its verdict is good. */
void vkft_lab_skip(const char *why);

/* For each test: fails it when a check found something wrong. */
int vkft_lab_verdict(void **state);

#endif
