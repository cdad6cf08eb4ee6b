/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Log lines that programs look for: each kind has a message ID and fields of its own (docs/journal.md), by which
 * journalctl(1) finds it: `journalctl MESSAGE_ID=…`, `journalctl VMMD_DOMAIN=web`. They go to journald by its native protocol
 * (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/), one datagram each; where there is no journal, or it takes none, the text alone goes to standard error,
 * as any other line (log.h).
 *
 * Never waits: a journal that is full or stopped costs the fields, not the daemon's time. One thread.
 *
 * Tested by tests/unit/test-journal.c.
 */
#pragma once

#include "vmm-core/base/log.h"

#define JOURNAL_SOCKET     "/run/systemd/journal/socket"
#define JOURNAL_MAX_RECORD 8192 /* bytes; what is more is left out */

enum journal_kind {
	JOURNAL_AUDIT,
	JOURNAL_DOMAIN_STARTED,
	JOURNAL_DOMAIN_START_FAILED,
	JOURNAL_DOMAIN_STOPPED,
	JOURNAL_DOMAIN_CRASHED,
	JOURNAL_DOMAIN_OUT_OF_MEMORY,
	JOURNAL_DOMAIN_FOUND, /* a new daemon took it over */
	JOURNAL_DOMAIN_SILENT,
	JOURNAL_NETWORK_STARTED,
	JOURNAL_NETWORK_START_FAILED,
	JOURNAL_NETWORK_STOPPED,
	JOURNAL_NETWORK_LOST_WORKER,
	JOURNAL_NETWORK_FOUND,
	JOURNAL_FAILOVER,
	JOURNAL_MEMORY_POLICY,
	JOURNAL_MEMORY_MOVED,
	JOURNAL_DEFINITION_LEFT_OUT,
	JOURNAL_DEFINITION_STUCK,
	JOURNAL_TLS_REFUSED,
	JOURNAL_KIND_X_MAX
};

/* 128 bits in hex; they are never given to another kind. */
const char *journal_message_id(enum journal_kind kind);

/* An empty or missing value is left out. */
struct journal_field {
	const char *name, *value;
};

/* 'socket_path': journald's; NULL: there is none. Called again, it begins anew. */
void journal_open(const char *socket_path);
void journal_close(void);

/* The level is the kind's; audit records go to the journal whatever log_max_level() is. */
void journal_write(enum journal_kind kind, const struct journal_field *fields, unsigned n_fields,
	const char *format, ...) _printf_(4, 5);

struct domain;
struct network;
/* With VMMD_DOMAIN and VMMD_DOMAIN_UUID, or VMMD_NETWORK and VMMD_NETWORK_UUID. */
void journal_domain(enum journal_kind kind, const struct domain *domain, const char *format, ...)
	_printf_(3, 4);
void journal_network(enum journal_kind kind, const struct network *network, const char *format, ...)
	_printf_(3, 4);
