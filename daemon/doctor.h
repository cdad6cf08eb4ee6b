/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Is this host fit for what vmmd is asked to do, and is what it runs well? One const array of checks; each looks at the host, or at
 * the daemon's state, and says what it finds: at least one finding, and for each that is not OK what to do about it.
 *
 * Checks look and change nothing. They read files below 'root' (tests: a tree of their own), and open the images of
 * domains that do not run, as a start would, for a moment. Nothing waits for a worker; a filesystem that hangs would keep a start
 * waiting too.
 *
 * Threads: the daemon's one. Tested by tests/unit/test-doctor.c.
 */
#pragma once

#include <json-c/json.h>

#include "daemon/manager.h"

#define DOCTOR_MAX_IMAGES   256  /* that are opened */
#define DOCTOR_MAX_FINDINGS 1024 /* more are counted only */
#define DOCTOR_TEXT_MAX     1024

enum doctor_verdict { DOCTOR_OK, DOCTOR_WARNING, DOCTOR_PROBLEM, DOCTOR_VERDICT_X_MAX };

struct doctor {
	const struct manager *manager;
	const char *root; /* before each path of the host's: "" */
	/* What is found: an array of {check, verdict, subject, text, remedy}. */
	struct json_object *findings;
	const char *check; /* the one that runs */
	unsigned n_images, n_left_out;
};

struct doctor_check {
	const char *name;
	void (*run)(struct doctor *doctor);
};

extern const struct doctor_check doctor_checks[];
extern const size_t n_doctor_checks;

/* All checks, in the table's order. The caller frees the array. */
struct json_object *doctor_run(const struct manager *manager, const char *root);

/* "ok", "warning", "problem" */
const char *doctor_verdict_name(enum doctor_verdict verdict);

/* For checks. 'subject': which domain, network, file …; "": the host. 'remedy': a sentence; "" only with OK. */
void doctor_say(struct doctor *doctor, enum doctor_verdict verdict, const char *subject,
	const char *remedy, const char *format, ...) _printf_(5, 6);
/* The file below root, or NULL; the caller frees it. */
char *doctor_read(const struct doctor *doctor, const char *path);
bool doctor_exists(const struct doctor *doctor, const char *path);

/* doctor-state.c: of what vmmd has and runs. */
void doctor_check_images(struct doctor *doctor);
void doctor_check_workers(struct doctor *doctor);
void doctor_check_networks(struct doctor *doctor);
void doctor_check_space(struct doctor *doctor);
/* doctor-store.c */
void doctor_check_definitions(struct doctor *doctor);
void doctor_check_tls(struct doctor *doctor);
void doctor_check_memory(struct doctor *doctor);
