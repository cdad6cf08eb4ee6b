/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whose a domain is: <vmmd:owner user='…'/> in its metadata, a name or a uid. An owner may do with the domain what the method table
 * lets owners do (api.h).
 *
 * A name is looked up when the XML is read (define, create, start of the daemon), and never while somebody calls: that may
 * take long. A name that the host does not know may still be one that a certificate stands for.
 *
 * Tested by tests/unit/test-owner.c.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "config/domain-config.h"

struct domain_owner {
	char user[DOMAIN_OWNER_MAX]; /* as in the XML; "": nobody's */
	bool uid_known;
	uid_t uid;
};

/* 'user' is what config/ has checked. */
void owner_set(struct domain_owner *owner, const char *user);

/* The name by which a certificate is known (tls-roles.h), which owns nothing by itself. */
#define CERTIFICATE_NAME_MAX 256

/* Somebody: his uid, his name as a transport vouches for it, or both. */
struct user {
	bool uid_known;
	uid_t uid;
	char name[DOMAIN_OWNER_MAX]; /* "": not known */
};
bool owner_is(const struct domain_owner *owner, const struct user *user);
