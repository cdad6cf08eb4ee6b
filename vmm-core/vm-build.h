/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Between vm-build.c and the parts of vm_build() that have files of their own. Each is one step of it, in the order of
 * vm-build.c's table: it finds what the steps before it made, and what it makes itself belongs to the vm at once, so that
 * vm_free() takes away what a step that fails leaves.
 *
 * All answer 0 or -errno, and then 'reason' (of PROTO_REASON_MAX bytes) says what failed.
 *
 * Tested by tests/guest/test-guests.c.
 */
#pragma once

#include "vmm-core/vm.h"

/* 'what' and the error's text become the reason. Answers 'error', which is negative. */
int vm_build_failed(char *reason, int error, const char *what);

/* Memory, its slots, room for memory devices; and then the interrupt chip, before which there must be no vCPU. */
int vm_build_memory(struct vm *vm, char *reason);
/* The vCPUs of the configuration, without threads, with their CPUID. */
int vm_build_vcpus(struct vm *vm, char *reason);
/* All devices of the configuration (vm-board.c), and what they do once all are there. */
int vm_build_devices(struct vm *vm, char *reason);
