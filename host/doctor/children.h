/* The two ends between the doctor and the children that it starts. */
#ifndef VKFT_DOCTOR_CHILDREN_H
#define VKFT_DOCTOR_CHILDREN_H

#include <stdint.h>

#include "host/doctor/line.h"

#define VKFT_CHILD_WHY 700

/* Starts a child with these arguments (the list ends with NULL) and passes its lines on. False: it could not be
 * started, crashed, or said nothing for so long, and *why tells what it did last. */
bool vkft_child_run(const char *const *arguments, const char *const *environment, uint32_t timeout_s,
                    const vkft_doctor_listener *to, char why[VKFT_CHILD_WHY]);

/* The program was started by the doctor, with these arguments: does what is asked and prints lines on standard output,
 * each at once. *code: the exit code. False: these are arguments of a person. */
bool vkft_doctor_is_child(int argc, char **argv, int *code);

#endif
