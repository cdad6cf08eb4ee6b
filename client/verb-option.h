/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rows of a verb's options, as the verbs-*.c have them above their functions. Contract: verb.h, struct verb_option. */
#pragma once

#include "client/verb.h"

#define DOMAIN_OPTION(complete)                                                                    \
	{                                                                                          \
		.name = "domain", .type = OPTION_DATA, .completion = (complete), .required = true, \
		.help = "domain name, id or uuid"                                                  \
	}
#define FLAG(n, h)                                                                                 \
	{                                                                                          \
		.name = (n), .type = OPTION_FLAG, .help = (h)                                      \
	}
#define NUMBER(n, h)                                                                               \
	{                                                                                          \
		.name = (n), .type = OPTION_NUMBER, .named_only = true, .help = (h)                \
	}
#define STRING(n, h)                                                                               \
	{                                                                                          \
		.name = (n), .type = OPTION_STRING, .help = (h)                                    \
	}
#define NAMED_STRING(n, h)                                                                         \
	{                                                                                          \
		.name = (n), .type = OPTION_STRING, .named_only = true, .help = (h)                \
	}
#define NETWORK_OPTION(complete)                                                                   \
	{                                                                                          \
		.name = "network", .type = OPTION_DATA, .completion = (complete),                  \
		.required = true, .help = "network name or uuid"                                   \
	}
#define INTERFACE_OPTION                                                                           \
	{                                                                                          \
		.name = "interface", .type = OPTION_DATA, .required = true,                        \
		.help = "interface device (MAC Address or target)"                                 \
	}
#define WORD(n, h)                                                                                 \
	{                                                                                          \
		.name = (n), .type = OPTION_DATA, .required = true, .help = (h)                    \
	}
#define NAMED(n, c, h)                                                                             \
	{                                                                                          \
		.name = (n), .type = OPTION_STRING, .completion = (c), .named_only = true,         \
		.help = (h)                                                                        \
	}
