/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One device as XML of its own, for a domain that exists: attached to it, found in it, detached from it. It is read by
 * the rules of <devices> and together with the rest of the domain, so that all that must fit together is checked.
 *
 * Interfaces and memory devices are served: another element is refused, and the error says so.
 *
 * The domain is given, where its whole matters, by its canonical XML (domain_xml_format()'s, inactive): so what is kept
 * for the round trip stays in its place.
 */
#pragma once

#include "config/domain-xml.h"

enum domain_device_kind { DOMAIN_DEVICE_INTERFACE, DOMAIN_DEVICE_MEMORY, DOMAIN_DEVICE_X_MAX };

/* Which kind xml[len] is. Negative: as domain_device_attach(). */
int domain_device_kind(const char *xml, size_t len, const char *source, char **ret_error);

/* What the device gets when its XML does not say. */
struct domain_device_defaults {
	uint8_t mac[NET_MAC_LEN]; /* of an interface */
	struct vm_pci_addr pci;   /* only if it is free in the domain */
};

/* Read xml[len] (named 'source' in errors) as the last of its kind in 'domain'. '*ret_config' is the domain with it, whole
 * and validated; '*ret_report' (may be NULL) is about the device only. Returns 0; -EBADMSG, -EINVAL, -EOPNOTSUPP or -ENOMEM
 * as domain_xml_parse() does, with '*ret_error' one line, in which paths begin at the device. The caller frees all
 * three. */
int domain_device_attach(const char *domain, const char *xml, size_t len, const char *source,
	const struct domain_device_defaults *defaults, struct domain_config **ret_config,
	struct contract_report **ret_report, char **ret_error);

/* Which interface of 'vm' xml[len] means: by its <mac>, its <address type='pci'>, or both; by neither if there is only
 * one. Returns 0 with its index; -ENODEV: none; -ENOTUNIQ: several; or as above. '*ret_error' is set with each. */
int domain_device_find(const struct vm_config *vm, const char *xml, size_t len, const char *source,
	unsigned *ret_index, char **ret_error);

/* The same with memory devices, by all that its XML says of <size>, <node>, <block> and <address type='pci'>. '*ret' is what it says. */
int domain_device_find_memory(const struct vm_config *vm, const char *xml, size_t len,
	const char *source, unsigned *ret_index, struct vm_memory *ret, char **ret_error);

/* 'domain' without number 'index' of this kind. Returns 0, -ENODEV when there is none, or as domain_xml_parse(). */
int domain_device_detach(const char *domain, enum domain_device_kind kind, unsigned index,
	struct domain_config **ret_config);
