/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Definitions at rest: all that the XML says comes back, the short facts are right, and it is small. */
#include "daemon/definition.h"

#include <glob.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <fcntl.h>

#include "vmm-core/base/fdio.h"
#include "vmm-core/base/names.h"

static struct domain_config *parse(const char *xml)
{
	_cleanup_(freep) char *text = NULL;
	struct domain_config *config = NULL;

	if (domain_xml_parse(xml, strlen(xml), "t.xml", 0, &config, NULL, &text) < 0)
		fail_msg("%s", text);
	return config;
}

static void check_facts(const struct definition *d, const struct domain_config *config)
{
	assert_string_equal(d->title, config->title);
	assert_int_equal(d->vcpus, config->vm.vcpus);
	assert_int_equal(d->vcpus_max, config->vm.vcpus_max);
	assert_int_equal(d->memory_kib, vm_config_total_kib(&config->vm));
	assert_int_equal(d->current_memory_kib, config->vm.current_memory_kib);
	assert_int_equal(d->n_nics, config->vm.n_nics);
	for (unsigned i = 0; i < d->n_nics; i++)
		assert_true(definition_has_mac(d, config->vm.nics[i].port.mac));
	assert_false(definition_has_mac(d, (const uint8_t[NET_MAC_LEN]){2, 2, 2, 2, 2, 2}));
	assert_false(definition_has_mac(NULL, (const uint8_t[NET_MAC_LEN]){0}));
	assert_int_equal(d->n_disks, config->vm.n_disks);
	for (unsigned i = 0; i < d->n_disks; i++) {
		assert_string_equal(d->disks[i].target, config->vm.disks[i].target);
		assert_string_equal(d->disks[i].path, config->disks[i].path);
		assert_int_equal(d->disks[i].is_block, config->disks[i].type == DOMAIN_DISK_BLOCK);
		assert_int_equal(
			d->disks[i].is_cdrom, config->vm.disks[i].device == VM_DISK_DEVICE_CDROM);
	}
}

/* Every golden definition, to rest and back. */
static void test_there_and_back(void **state)
{
	glob_t files;

	(void)state;
	assert_int_equal(glob(TESTS_DATA_DIR "/xml/*.out", 0, NULL, &files), 0);
	for (size_t i = 0; i < files.gl_pathc; i++) {
		_cleanup_(domain_config_freep) struct domain_config *config = NULL, *back = NULL;
		_cleanup_(definition_freep) struct definition *d = NULL, *again = NULL;
		_cleanup_(freep) char *xml = NULL;

		assert_int_equal(read_file(AT_FDCWD, files.gl_pathv[i], 1 << 20, &xml, NULL), 0);
		config = parse(xml);
		assert_int_equal(definition_new(config, &d), 0);
		check_facts(d, config);
		assert_int_equal(definition_parse(d, &back), 0);
		assert_memory_equal(&back->vm, &config->vm, sizeof(back->vm));
		assert_int_equal(definition_new(back, &again), 0);
		assert_string_equal(again->xml, d->xml);
		assert_true(malloc_usable_size(d) < strlen(d->xml) + 8192);
	}
	globfree(&files);
}

#define HEAD "<domain type='kvm'><name>big</name><memory>65536</memory><os><type>hvm</type></os>"
#define TAIL "</domain>"

/* What could not be read back is not kept: the canonical form may be longer than what it was made from. */
static void test_too_long(void **state)
{
	_cleanup_(domain_config_freep) struct domain_config *config = NULL;
	_cleanup_(definition_freep) struct definition *d = NULL;
	_cleanup_(freep) char *xml = calloc(1, VMMD_MAX_XML_BYTES);
	char *end = xml;

	(void)state;
	end += sprintf(end, "%s<metadata><a:b xmlns:a='urn:a'>", HEAD);
	while (end < xml + VMMD_MAX_XML_BYTES / 2)
		*end++ = '>';
	sprintf(end, "</a:b></metadata>%s", TAIL);
	config = parse(xml);
	assert_int_equal(definition_new(config, &d), -EFBIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
