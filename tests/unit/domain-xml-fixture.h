/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the tests of domain XML share: the beginnings of documents, and how they are read. The shortest domain is DOMAIN(""),
 * and DEVICES(…) is one with these devices. wrong(), refused() and malformed() expect an error of the kind that they are
 * named after, with a part of its text.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/domain-xml.h"
#include "config/xml-read.h"
#include "vmm-core/base/macro.h"
#include "vmm-core/base/strutil.h"
#include "xml-fixture.h"

#define HEAD       "<domain type='kvm'><name>n</name><memory>65536</memory>"
#define OS         "<os><type>hvm</type><kernel>/k</kernel></os>"
#define DOMAIN(x)  HEAD OS x "</domain>"
#define DEVICES(x) DOMAIN("<devices>" x "</devices>")
#define DISK(x)    "<disk type='file'><source file='/a'/>" x "</disk>"
#define VDA        DISK("<target dev='vda'/>")
#define NIC(x)     "<interface type='network'><source network='n'/>" x "</interface>"

static inline struct domain_config *parse_ok(const char *xml)
{
	struct domain_config *config = NULL;
	char *error = NULL;
	int r = domain_xml_parse(xml, strlen(xml), "f", 0, &config, NULL, &error);

	if (r < 0)
		fail_msg("%s: %d %s", xml, r, error ? error : "");
	assert_null(error);
	assert_int_equal(vm_config_validate(&config->vm, NULL, 0), 0);
	return config;
}

static inline void expect_error(
	const char *xml, size_t len, unsigned flags, int expected, const char *part)
{
	struct domain_config *config = NULL;
	struct contract_report *report = NULL;
	char *error = NULL;
	int r = domain_xml_parse(xml, len, "f", flags, &config, &report, &error);

	assert_null(config);
	xml_expect_error(xml, r, report, error, expected, part);
}

static inline void wrong(const char *xml, const char *part)
{
	expect_error(xml, strlen(xml), 0, -EINVAL, part);
}

static inline void refused(const char *xml, const char *part)
{
	expect_error(xml, strlen(xml), 0, -EOPNOTSUPP, part);
}

static inline void malformed(const char *xml, const char *part)
{
	expect_error(xml, strlen(xml), 0, -EBADMSG, part);
}

static inline struct domain_config *parse_stored(const char *xml)
{
	struct domain_config *config = NULL;
	char *error = NULL;

	if (domain_xml_parse(xml, strlen(xml), "f", XML_STORED, &config, NULL, &error) < 0)
		fail_msg("%s", error);
	return config;
}
