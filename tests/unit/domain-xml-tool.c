/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads domain XML files and prints what domain_xml_parse() makes of them: see xml-tool.h. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "config/domain-xml.h"
#include "config/xml-extra.h"
#include "tests/unit/xml-tool.h"

static struct domain_config *config;

/* Into one that was used before, with something in every byte: nothing of it may be seen. */
static int parse(const char *name, const char *text, size_t len, struct contract_report **report,
	char **error)
{
	config = domain_config_new();
	if (!config)
		return -ENOMEM;
	memset(config, 0x5a, sizeof(*config));
	config->extra = xml_extra_new();
	return domain_xml_parse_into(text, len, name, 0, NULL, config, report, error);
}

/* Of memory that cannot be written: formatting only reads. */
static int format_readonly(char **xml)
{
	struct domain_config *copy = mmap(
		NULL, sizeof(*copy), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int r;

	if (copy == MAP_FAILED)
		return -errno;
	memcpy(copy, config, sizeof(*copy));
	r = mprotect(copy, sizeof(*copy), PROT_READ) < 0 ? -errno
							 : domain_xml_format(copy, NULL, xml);
	(void)munmap(copy, sizeof(*copy));
	return r;
}

static int format(bool is_live, char **xml)
{
	static const uint8_t port_id[16] = {0x12, 0x34, 0x56, 0x78, [6] = 0x40, [8] = 0x80};
	const struct domain_live live = {.id = 4,
		.serial_paths = {"/dev/pts/3", "/dev/pts/4", "/dev/pts/5", "/dev/pts/6"},
		.console_paths = {NULL, "/dev/pts/7", "/dev/pts/8", "/dev/pts/9"},
		.nics = {{"vnet5", "virbr0", port_id}, {"vnet6", NULL, NULL}},
		.memories = {{0, 4096}, {3, 0}}};

	return is_live ? domain_xml_format(config, &live, xml) : format_readonly(xml);
}

int main(int argc, char **argv)
{
	int r = xml_tool_main(argc, argv, parse, format);

	domain_config_free(config);
	return r;
}
