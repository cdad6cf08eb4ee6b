/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rows without a field, for the tables of domain-rules*.c and network-rules*.c. */
#pragma once

#include "config/xml-rule.h"

#define KEEP(element, reason)                                                                      \
	{                                                                                          \
		.name = (element), .kind = XML_KEEP, .flags = XML_MANY, .why = (reason)            \
	}
#define KEEP_WHEN(element, condition, reason)                                                      \
	{                                                                                          \
		.name = (element), .kind = XML_KEEP, .flags = XML_MANY, .when = (condition),       \
		.why = (reason)                                                                    \
	}
#define REFUSE(element, reason)                                                                    \
	{                                                                                          \
		.name = (element), .kind = XML_REFUSE, .flags = XML_MANY, .why = (reason)          \
	}
#define REFUSE_WHEN(element, condition, reason)                                                    \
	{                                                                                          \
		.name = (element), .kind = XML_REFUSE, .flags = XML_MANY, .when = (condition),     \
		.why = (reason)                                                                    \
	}
#define DROP(element, reason)                                                                      \
	{                                                                                          \
		.name = (element), .kind = XML_DROP, .flags = XML_MANY, .why = (reason)            \
	}
