/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The client's side of vmmd's methods: connecting, calling, and answers as JSON.
 *
 * Where to (struct ctl.connect): by D-Bus "system" or vmmd:///system, "session" or vmmd:///session, the address of a
 * bus ("unix:path=/run/test/bus"), or "p2p:" and an address at which vmmd itself speaks D-Bus without a bus
 * between ("p2p:unix:path=…", "p2p:unixexec:path=ssh,argv1=…"); by JSON-RPC "unix:/run/vmmd/rpc.sock", or
 * "ssh://[USER@]HOST[:PORT]", or "tls://HOST[:PORT]". What the ways have in common is in remote-backend.h.
 *
 * Functions return 0 or -errno; on failure ctl->error_code and error_message say what happened, nothing is
 * printed. No call waits forever: each has a timeout, and a vmmd that goes away ends it at once.
 *
 * One thread.
 */
#pragma once

#include "client/ctl.h"

/* Connect, and make sure that vmmd is there. */
int remote_connect(struct ctl *ctl);

/* "vmmd:///system", "vmmd:///session", or the address as it was given. */
const char *remote_uri(const struct ctl *ctl);

/* Call 'method' with arguments of the signature 'types'. '*ret_reply' (NULL: not wanted) is a JSON array of
 * what it answered. An argument "as" is two here: the strings, and how many there are (size_t). */
int remote_call(struct ctl *ctl, const char *method, uint64_t timeout_usec,
	struct json_object **ret_reply, const char *types, ...);

#define REMOTE_LIST_ACTIVE   1U
#define REMOTE_LIST_INACTIVE 2U

/* An array of objects; 'flags' 0: all domains. */
int remote_list_domains(struct ctl *ctl, uint32_t flags, struct json_object **ret_list);
/* The same with name, uuid and id alone, which costs everybody much less. */
int remote_list_domain_names(struct ctl *ctl, uint32_t flags, struct json_object **ret_list);
int remote_get_domain(struct ctl *ctl, const char *domain, struct json_object **ret_domain);

/* The statistics of the n_domains named ones (0: all), of these groups (0: all; bits as in the API): an array
 * of {name, uuid, stats}. */
int remote_get_stats(struct ctl *ctl, const char *const *domains, size_t n_domains, uint32_t groups,
	struct json_object **ret_stats);

/* The same with an array of one value for each of 'types' (s u t b as); texts in 'as' are valid UTF-8. */
int remote_call_args(struct ctl *ctl, const char *method, uint64_t timeout_usec,
	struct json_object **ret_reply, const char *types, struct json_object *args);

/* The first answer of a method that answers one thing. */
int remote_call_one(struct ctl *ctl, const char *method, struct json_object **ret_value,
	const char *types, ...);

/* A stream to the console. The caller gives '*ret_fd' back with remote_close(). */
int remote_open_console(
	struct ctl *ctl, const char *domain, const char *device, uint32_t flags, int *ret_fd);

/* Packets of frames (vmm-core/base/capture-record.h): 'method' is OpenCapture of a domain's interface, or OpenNetworkCapture of a
 * network's uplink ("": none). The caller gives '*ret_fd' back with remote_close(). '*ret_job' is the number of its job, 0: vmmd is of a
 * time that had none for it. */
int remote_open_capture(struct ctl *ctl, const char *method, const char *subject, const char *part,
	uint32_t direction, uint32_t snaplen, int *ret_fd, uint64_t *ret_job);

/* What must run in a session with such a descriptor (pump.h), or NULL. */
struct pump *remote_pump(const struct ctl *ctl);
/* When the CLOCK_MONOTONIC of the host that packets of such a descriptor come from began, in ns since 1970; 0: it is this host. */
uint64_t remote_epoch_ns(const struct ctl *ctl);
/* The session is over. 0, or -errno: it ended because what carries it was lost or failed. */
int remote_close(struct ctl *ctl, int fd);

/* Tell the size of the terminal at that console. No answer is waited for, and none is missed: a guest that does not
 * learn the size works as before. */
void remote_resize_console(
	struct ctl *ctl, const char *domain, const char *device, unsigned cols, unsigned rows);

/* The arguments of a message as a JSON array. -EBADMSG: a type that has no JSON form. */
int message_to_json(sd_bus_message *m, struct json_object **ret_array);
