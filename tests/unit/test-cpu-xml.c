/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* <cpu> by itself, wherever it is found, and the document about what domains can have. */
#include "config/cpu-xml.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "config/domain-capabilities-xml.h"
#include "vmm-core/base/cleanup.h"

static struct cpu_definition *cpus;
static unsigned n;

static void parse(const char *xml)
{
	char *error = NULL;
	int r = cpu_xml_parse(xml, strlen(xml), "t", CPU_XML_VALID, &cpus, &n, &error);

	if (r < 0)
		fail_msg("%d %s", r, error);
	assert_null(error);
}

static void refused(const char *xml, uint32_t flags, int code, const char *text)
{
	char *error = NULL;
	int r = cpu_xml_parse(xml, strlen(xml), "t", flags, &cpus, &n, &error);

	if (r != code || !error || !strstr(error, text))
		fail_msg("%d '%s', expected %d '%s'", r, error ? error : "", code, text);
	free(error);
}

static void test_guest(void **state)
{
	static const char xml[] = "<cpu mode='custom' match='exact' check='full'>\n"
				  "  <model fallback='forbid'>EPYC-Rome</model>\n"
				  "  <vendor>AMD</vendor>\n"
				  "  <feature policy='require' name='x2apic'/>\n"
				  "  <feature policy='disable' name='svm'/>\n"
				  "</cpu>\n";
	char *again;

	(void)state;
	parse(xml);
	assert_int_equal(n, 1);
	assert_false(cpus[0].host);
	assert_int_equal(cpus[0].cpu.mode, VM_CPU_MODE_CUSTOM);
	assert_int_equal(cpus[0].cpu.check, 3);
	assert_int_equal(cpus[0].cpu.features[1].policy, VM_CPU_POLICY_DISABLE);
	assert_int_equal(cpu_xml_format(&cpus[0].cpu, &again), 0);
	assert_string_equal(again, xml);
	free(again);
	free(cpus);
	parse("<cpu> <model>\n Haswell </model><topology sockets='1' cores='2' "
	      "threads='1'/></cpu>");
	assert_string_equal(cpus[0].cpu.model, "Haswell");
	assert_int_equal(cpus[0].cpu.mode, VM_CPU_MODE_CUSTOM);
	free(cpus);
}

/* All the places where virsh looks, in one text. */
static void test_places(void **state)
{
	(void)state;
	parse("<?xml version='1.0'?>\n"
	      "<domain><name>n</name><cpu mode='host-passthrough' migratable='off'/></domain>"
	      "<cpu><model>Nehalem</model></cpu>\n"
	      "<capabilities><host><cpu><arch>x86_64</arch><model>EPYC</model><microcode "
	      "version='1'/><signature family='1'/><counter name='tsc'/><pages size='4'/>"
	      "<maxphysaddr mode='emulate' bits='48'/><feature "
	      "name='ht'/></cpu></host></capabilities>"
	      "<domainCapabilities><cpu><mode name='host-model' supported='yes'>"
	      "<model fallback='forbid'>IvyBridge</model><feature policy='require' name='pku'/>"
	      "</mode><mode name='custom' supported='yes'><model>x</model></mode></cpu>"
	      "</domainCapabilities>");
	assert_int_equal(n, 4);
	assert_string_equal(cpus[0].cpu.model, "Nehalem");
	assert_int_equal(cpus[0].line, 2);
	assert_int_equal(cpus[1].cpu.mode, VM_CPU_MODE_HOST_PASSTHROUGH);
	assert_int_equal(cpus[1].cpu.migratable, VM_TRISTATE_NO);
	assert_true(cpus[2].host);
	assert_string_equal(cpus[2].cpu.features[0].name, "ht");
	assert_string_equal(cpus[3].cpu.model, "IvyBridge");
	assert_int_equal(cpus[3].cpu.fallback_forbid, 1);
	free(cpus);
}

static void test_refused(void **state)
{
	char many[16384] = "";

	(void)state;
	refused("", 0, -ENOENT, "t:1: no <cpu> element");
	refused("<domain/>", 0, -ENOENT, "no <cpu> element");
	refused("<domainCapabilities><cpu><mode name='host-model' supported='no'/></cpu>"
		"</domainCapabilities>",
		0, -ENOENT, "no <cpu> element");
	refused("<cpu>", 0, -EBADMSG, "t:1: ");
	refused("</container><cpu/><container>", 0, -EBADMSG, "t:1: ");
	refused("<!DOCTYPE cpu><cpu/>", 0, -EBADMSG, "DOCTYPE");
	refused("\n<cpu mode='best'/>", 0, -EINVAL,
		"t:2: Invalid value for attribute 'mode' in element 'cpu': 'best'");
	refused("<cpu match=''/>", 0, -EINVAL, "attribute 'match'");
	refused("<cpu check='maybe'/>", 0, -EINVAL, "attribute 'check'");
	refused("<cpu><model fallback='no'>x</model></cpu>", 0, -EINVAL, "attribute 'fallback'");
	refused("<cpu><feature/></cpu>", 0, -EINVAL, "Invalid CPU feature name");
	refused("<cpu><feature name='a' policy='yes'/></cpu>", 0, -EINVAL, "attribute 'policy'");
	refused("<cpu><feature name='a'/><feature name='a'/></cpu>", 0, -EINVAL,
		"CPU feature 'a' specified more than once");
	refused("<cpu><feature name='a&#10;\xc3\xa9'/></cpu>", 0, -EINVAL,
		"'a?"
		"?"
		"?' is no name");
	refused("<cpu><model>a23456789012345678901234567890123</model></cpu>", 0, -EINVAL,
		"is too long");
	refused("<cpu><arch>x86_64</arch></cpu>", 0, -EINVAL, "Missing CPU model name");
	refused("<cpu match='exact'><arch>x86_64</arch><model>a</model></cpu>", 0, -EINVAL,
		"'arch' element cannot be used");
	refused("<cpu><frob/></cpu>", CPU_XML_VALID, -EINVAL, "element 'frob' in cpu is unknown");
	refused("<cpu frob=''/>", CPU_XML_VALID, -EINVAL, "attribute 'frob' of cpu is unknown");
	for (unsigned i = 0; i <= CPU_XML_MAX; i++)
		(void)strcat(many, "<cpu/>");
	refused(many, 0, -EINVAL, "more than 64 processors");
	(void)strcpy(many, "<cpu>");
	for (unsigned i = 0; i <= VM_MAX_CPU_FEATURES; i++)
		(void)snprintf(many + strlen(many), 32, "<feature name='f%u'/>", i);
	(void)strcat(many, "</cpu>");
	refused(many, 0, -EINVAL, "more than 256 CPU features");
}

static void test_domain_capabilities(void **state)
{
	static const char *const none[] = {NULL}, *const avx[] = {"avx", "avx2", NULL};
	static const struct domain_capabilities_model models[] = {
		{"Haswell", "Intel", avx}, {"kvm64", NULL, none}};
	const struct vm_cpu cpu = {.mode = VM_CPU_MODE_CUSTOM,
		.model = "EPYC",
		.vendor = "AMD",
		.n_features = 1,
		.features = {{"svm", VM_CPU_POLICY_DISABLE}}};
	const struct domain_capabilities caps = {.emulator = "/a&b",
		.machine = "q35",
		.max_vcpus = 7,
		.host_model = &cpu,
		.models = models,
		.n_models = 2};
	char *xml;

	(void)state;
	assert_int_equal(domain_capabilities_xml_format(&caps, &xml), 0);
	assert_non_null(strstr(xml, "<iothreads supported='yes'/>"));
	assert_non_null(strstr(xml,
		"<domainCapabilities>\n  <path>/a&amp;b</path>\n  <domain>kvm</domain>\n"
		"  <machine>q35</machine>\n  <arch>x86_64</arch>\n  <vcpu max='7'/>\n"));
	assert_non_null(strstr(xml,
		"    <mode name='host-model' supported='yes'>\n"
		"      <model fallback='forbid'>EPYC</model>\n      <vendor>AMD</vendor>\n"
		"      <feature policy='disable' name='svm'/>\n    </mode>\n"
		"    <mode name='custom' supported='yes'>\n"
		"      <model usable='no' vendor='Intel'>Haswell</model>\n"
		"      <blockers model='Haswell'>\n        <feature name='avx'/>\n"
		"        <feature name='avx2'/>\n      </blockers>\n"
		"      <model usable='yes' vendor='unknown'>kvm64</model>\n    </mode>\n"));
	assert_non_null(strstr(xml, "    <graphics supported='no'/>\n"));
	/* What virsh's tools make of it can be compared again. */
	parse(xml);
	assert_int_equal(n, 1);
	assert_string_equal(cpus[0].cpu.model, "EPYC");
	free(cpus);
	free(xml);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_guest),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_domain_capabilities),
	};

	return cmocka_run_group_tests_name("cpu-xml", tests, NULL, NULL);
}
