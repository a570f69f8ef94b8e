/* What the doctor said, as a JSON file to attach to a report of a fault: versions, capabilities, findings, times. Names
 * of the machine, of its user and of directories in the home are left out. docs/troubleshooting.md has the format.
 * Test: test_doctor_report */
#ifndef VKFT_DOCTOR_REPORT_H
#define VKFT_DOCTOR_REPORT_H

#include "host/doctor/line.h"

typedef struct vkft_doctor_report vkft_doctor_report;

/* NULL: out of memory. */
vkft_doctor_report *vkft_doctor_report_new(const char *version, const char *commit);
void vkft_doctor_report_free(vkft_doctor_report *report);
void vkft_doctor_report_add(vkft_doctor_report *report, const vkft_doctor_line *line);
bool vkft_doctor_report_write(vkft_doctor_report *report, const char *path, vkft_err *err);

/* What must not be in a report; an empty or very short text leaves nothing out. */
typedef struct vkft_private_names {
    char home[512], user[128], host[128];
} vkft_private_names;
/* The text without them: "~", "<user>", "<host>". malloc'ed; NULL: out of memory. */
char *vkft_report_scrub(const char *text, const vkft_private_names *names);

#endif
