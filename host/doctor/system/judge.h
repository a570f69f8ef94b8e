/* What the facts of a system mean for a person who wants to train on it, and the lines that change them. Pure.
 * Test: test_system */
#ifndef VKFT_DOCTOR_JUDGE_H
#define VKFT_DOCTOR_JUDGE_H

#include "host/doctor/line.h"
#include "host/doctor/system/facts.h"

/* Rights, and how long the system lets a GPU work before it resets it. */
void vkft_system_judge(const vkft_system_facts *facts, const vkft_doctor_listener *to);

/* How much memory the system lends to an integrated GPU of AMD. */
void vkft_system_judge_gtt(const vkft_system_facts *facts, const vkft_doctor_listener *to);

#endif
