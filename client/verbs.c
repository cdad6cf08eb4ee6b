/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The verb table. Names, summaries and order within a group follow virsh where it has the verb. */
#include "client/verbs.h"

#include "client/verb-option.h"
#include "vmm-core/base/strutil.h"

const struct verb_option common_options[] = {
	FLAG("json", "print one JSON document instead of text"),
	FLAG("help", "print help for this command"),
	{},
};

static const struct verb_option any_domain[] = {DOMAIN_OPTION(COMPLETE_DOMAIN), {}};
static const struct verb_option active_domain[] = {DOMAIN_OPTION(COMPLETE_ACTIVE_DOMAIN), {}};

static const struct verb_option any_network[] = {NETWORK_OPTION(COMPLETE_NETWORK), {}};
static const struct verb_option active_network[] = {NETWORK_OPTION(COMPLETE_ACTIVE_NETWORK), {}};
static const struct verb_option inactive_network[] = {
	NETWORK_OPTION(COMPLETE_INACTIVE_NETWORK), {}};

const struct verb_group verb_groups[] = {
	{"domain", "Domain Management"},
	{"monitor", "Domain Monitoring"},
	{"event", "Domain Events"},
	{"network", "Networking"},
	{"host", "Host and Hypervisor"},
	{"vmctl", "vmctl itself"},
	{},
};

const struct verb verbs[] = {
	{"apply", "domain", VERB_CHANGES, "let definitions be as files say",
		"Let the definitions of domains and networks be as these XML files and directories "
		"of\n"
		"them say: all of them change in one moment, or, if one is refused, none. What is "
		"new "
		"is\n"
		"defined, not started; what is in no file is left alone, unless --prune is given. "
		"Then\n"
		"what runs is changed as far as it can be (see plan). Fails also when what runs "
		"did "
		"not\n"
		"follow; the definitions are new then.",
		apply_options, verb_apply},
	{"attach-device", "domain", VERB_CHANGES, "attach device from an XML file",
		"Attach device from an XML <file>: an interface, or memory.", device_options,
		verb_attach_device},
	{"attach-interface", "domain", VERB_CHANGES, "attach network interface",
		"Attach new network interface. The source is the network, the bridge, or for type\n"
		"direct the NIC.",
		attach_interface_options, verb_attach_interface},
	{"autostart", "domain", VERB_CHANGES, "autostart a domain",
		"Configure a domain to be automatically started at boot.", autostart_options,
		verb_autostart},
	{"check", "domain", 0, "show what vmmd makes of an XML file",
		"Show the contract report of a domain description: which elements are honoured,\n"
		"adapted, ignored, refused or unknown, and why. Nothing is defined. Fails when\n"
		"vmmd would refuse to define it.",
		check_options, verb_check},
	{"console", "domain", VERB_CHANGES, "connect to the guest console",
		"Connect the virtual serial console for the guest, or the device that --devname\n"
		"names: serial0, console1, ... ^] (or what vmctl -e says) leaves. A virtio "
		"console\n"
		"has the size of the terminal, and follows it.\n"
		"When standard input is no terminal, its bytes go to the guest as they are and "
		"the\n"
		"guest's output is copied until the domain stops, or until --timeout after the end "
		"of\n"
		"standard input.",
		console_options, verb_console},
	{"cpu-stats", "domain", 0, "show domain cpu statistics",
		"Display total statistics about the domain's CPUs. Control groups do not count by\n"
		"the host's CPUs any more.",
		cpu_stats_options, verb_cpu_stats},
	{"create", "domain", VERB_CHANGES, "create a domain from an XML file", "Create a domain.",
		create_options, verb_create},
	{"define", "domain", VERB_CHANGES, "define (but don't start) a domain from an XML file",
		"Define a domain. What vmmd adapts, ignores or does not know is noted on standard\n"
		"error; `vmctl check` tells the whole story.",
		define_options, verb_define},
	{"destroy", "domain", VERB_CHANGES, "destroy (stop) a domain",
		"Forcefully stop a given domain, but leave its resources intact.", destroy_options,
		verb_simple},
	{"detach-device", "domain", VERB_CHANGES, "detach device from an XML file",
		"Detach device from an XML <file>. An interface is found by its MAC address, its\n"
		"place on the PCI bus, or both; a memory device by its size, node, block and\n"
		"address. A running guest is asked to release it; if it has not done so after\n"
		"five seconds, the request stands until it does.",
		device_options, verb_detach_device},
	{"detach-interface", "domain", VERB_CHANGES, "detach network interface",
		"Detach network interface. A running guest is asked to release it, as with\n"
		"detach-device.",
		detach_interface_options, verb_detach_interface},
	{"domid", "domain", 0, "convert a domain name or UUID to domain id", NULL, any_domain,
		verb_domid},
	{"domname", "domain", 0, "convert a domain id or UUID to domain name", NULL, any_domain,
		verb_domname},
	{"domuuid", "domain", 0, "convert a domain name or id to domain UUID", NULL, any_domain,
		verb_domuuid},
	{"domif-setlink", "domain", VERB_CHANGES, "set link state of a virtual interface",
		"Set link state of a domain's virtual interface.", domif_setlink_options,
		verb_domif_setlink},
	{"domjobinfo", "domain", 0, "domain job information",
		"Returns information about jobs running on a domain.", any_domain, verb_domjobinfo},
	{"domiftune", "domain", 0, "get/set parameters of a virtual interface",
		"Get/set parameters of a domain's virtual interface. Rates are in 1000 bytes a\n"
		"second, bursts in KiB; 0 is no limit.",
		domiftune_options, verb_domiftune},
	{"dumpxml", "domain", 0, "domain information in XML",
		"Output the domain information as an XML dump to stdout.", dumpxml_options,
		verb_dumpxml},
	{"edit", "domain", VERB_CHANGES, "edit XML configuration for a domain",
		"Edit the XML configuration for a domain with $VISUAL, $EDITOR or vi.",
		edit_options, verb_edit},
	{"emulatorpin", "domain", 0, "control or query domain emulator affinity",
		"Pin the threads of a domain that are no vCPU's and no IOThread to host physical\n"
		"CPUs; r: all of them.",
		emulatorpin_options, verb_emulatorpin},
	{"iothreadadd", "domain", VERB_CHANGES, "add an IOThread to the guest domain",
		"Add an IOThread to the guest domain, also while it runs; there may be 32.",
		iothread_options, verb_iothread},
	{"iothreaddel", "domain", VERB_CHANGES, "delete an IOThread from the guest domain",
		"Delete an IOThread from the guest domain, which no disk uses.", iothread_options,
		verb_iothread},
	{"iothreadinfo", "domain", 0, "view domain IOThreads",
		"Returns basic information about the domain IOThreads.", iothreadinfo_options,
		verb_iothreadinfo},
	{"iothreadpin", "domain", VERB_CHANGES, "control domain IOThread affinity",
		"Pin domain IOThreads to host physical CPUs; r: all of them.", iothreadpin_options,
		verb_iothreadpin},
	{"iothreadset", "domain", VERB_CHANGES, "modifies an existing IOThread of the guest domain",
		"Modifies an existing IOThread of the guest domain, as far as there is anything "
		"to\n"
		"be set: IOThreads sleep until there is something to do, and have no pool of\n"
		"threads.",
		iothreadset_options, verb_iothreadset},
	{"memtune", "domain", 0, "Get or set memory parameters",
		"Get or set the limits of a domain's control group, and what the host's "
		"memory\npolicy leaves it.",
		memtune_options, verb_memtune},
	{"numatune", "domain", 0, "get or set NUMA parameters",
		"Get or set the nodes of the host that a domain's memory comes from.",
		numatune_options, verb_numatune},
	{"plan", "domain", 0, "show what apply would change",
		"Compare XML files, and directories of them, with what is defined and runs, and "
		"show\n"
		"each difference and when it takes effect: now, at the next boot, or that it is "
		"refused,\n"
		"and why. Nothing is changed. Fails when apply would refuse.",
		plan_options, verb_plan},
	{"reboot", "domain", VERB_CHANGES, "reboot a domain",
		"Run a reboot command in the target domain.", mode_options, verb_simple},
	{"reset", "domain", VERB_CHANGES, "reset a domain",
		"Reset the target domain as if by power button", active_domain, verb_simple},
	{"resume", "domain", VERB_CHANGES, "resume a domain",
		"Resume a previously suspended domain.", active_domain, verb_simple},
	{"schedinfo", "domain", 0, "show/set scheduler parameters",
		"Show/Set scheduler parameters. The quotas are one limit for the whole worker: of\n"
		"all vCPUs that are on, of the emulator, and of all IOThreads, together.",
		schedinfo_options, verb_schedinfo},
	{"setmaxmem", "domain", VERB_CHANGES, "change maximum memory limit",
		"Change the maximum memory allocation limit in the guest domain.",
		setmaxmem_options, verb_setmaxmem},
	{"setmem", "domain", VERB_CHANGES, "change memory allocation",
		"Change the current memory allocation in the guest domain. A running guest is "
		"asked to\n"
		"give memory up, and takes as long as it likes; dommemstat says what it has.",
		setmem_options, verb_setmem},
	{"setvcpus", "domain", VERB_CHANGES, "change number of virtual CPUs",
		"Change the number of virtual CPUs in the guest domain. A running guest is asked "
		"to\n"
		"let go of those that are too many, and may take its time or refuse.",
		setvcpus_options, verb_setvcpus},
	{"shutdown", "domain", VERB_CHANGES, "gracefully shutdown a domain",
		"Run shutdown in the target domain. The guest may take its time or refuse; --wait\n"
		"returns when it is off.",
		shutdown_options, verb_shutdown},
	{"start", "domain", VERB_CHANGES, "start a (previously defined) inactive domain",
		"Start a domain, either from the last managedsave\n"
		"state, or via a fresh boot if no managedsave state\n"
		"is present.",
		start_options, verb_start},
	{"suspend", "domain", VERB_CHANGES, "suspend a domain", "Suspend a running domain.",
		active_domain, verb_simple},
	{"undefine", "domain", VERB_CHANGES, "undefine a domain",
		"Undefine an inactive domain, or convert persistent to transient.",
		undefine_options, verb_simple},
	{"update-device", "domain", VERB_CHANGES, "update device from an XML file",
		"Update device from an XML <file>: what is requested of a memory device.",
		device_options, verb_update_device},
	{"update-memory-device", "domain", VERB_CHANGES, "update memory device of a domain",
		"Update values of a memory device of a domain: how much of it the guest is to "
		"have. A\nrunning guest is asked, and takes as long as it likes; dumpxml says how "
		"much "
		"it has.",
		update_memory_device_options, verb_update_memory_device},
	{"vcpucount", "domain", 0, "domain vcpu counts",
		"Returns the number of virtual CPUs used by the domain.", vcpucount_options,
		verb_vcpucount},
	{"vcpuinfo", "domain", 0, "detailed domain vcpu information",
		"Returns basic information about the domain virtual CPUs.", vcpuinfo_options,
		verb_vcpuinfo},
	{"vcpupin", "domain", 0, "control or query domain vcpu affinity",
		"Pin domain VCPUs to host physical CPUs; r: all of them.", vcpupin_options,
		verb_vcpupin},

	{"boot-report", "monitor", 0, "show where the start of a domain spent its time",
		"Show the stages of the last start of a running domain: how long each took, and "
		"when "
		"it ended,\n"
		"counted from the beginning. Of a domain that was started before the daemon, only "
		"the "
		"worker's\n"
		"own are known.",
		active_domain, verb_boot_report},
	{"capture", "monitor", VERB_CHANGES, "capture frames of a network interface",
		"Write the frames that an interface sends and is given into a file, or to a "
		"reader:\n"
		"vmctl capture web vnet0 tcp port 80 | wireshark -k -i -\n"
		"The kernel drops what the filter does not want. Frames are seen as the guest has\n"
		"them: not segmented yet, their checksums not filled in. Those that the switch\n"
		"refused are not seen; domifstat counts them. jobs lists it while it goes on;\n"
		"job-cancel ends it, and what it has written is whole.",
		capture_options, verb_capture},
	{"domblklist", "monitor", 0, "list all domain blocks",
		"Get the summary of block devices for a domain.", domblklist_options,
		verb_domblklist},
	{"dominfo", "monitor", 0, "domain information",
		"Returns basic information about the domain.", any_domain, verb_dominfo},
	{"domif-getlink", "monitor", 0, "get link state of a virtual interface",
		"Get link state of a domain's virtual interface.", domif_getlink_options,
		verb_domif_getlink},
	{"domifaddr", "monitor", 0, "Get network interfaces' addresses for a running domain",
		"Get network interfaces' addresses for a running domain, as the network saw the "
		"guest\n"
		"use them in ARP, neighbour discovery and DHCP. No agent is needed. Of an "
		"interface on a\n"
		"bridge or a NIC of the host's, those by which the host itself has met the guest.",
		domifaddr_options, verb_domifaddr},
	{"domiflist", "monitor", 0, "list all domain virtual interfaces",
		"Get the summary of virtual interfaces for a domain.", domiflist_options,
		verb_domiflist},
	{"domifstat", "monitor", 0, "get network interface stats for a domain",
		"Get network interface stats for a running domain.", domifstat_options,
		verb_domifstat},
	{"dommemstat", "monitor", 0, "get memory statistics for a domain",
		"Get memory statistics for a running domain. The guest is asked; what it does not\n"
		"know, or has no driver for, is left out.",
		dommemstat_options, verb_dommemstat},
	{"dommmustat", "monitor", 0, "get what KVM's MMU does for a domain",
		"Get how KVM maps a running domain's memory: pages by size, faults, flushes, by "
		"KVM's\n"
		"own names.",
		dommmustat_options, verb_dommmustat},
	{"domstate", "monitor", 0, "domain state", "Returns state about a domain.",
		domstate_options, verb_domstate},
	{"domstats", "monitor", 0, "get statistics about one or multiple domains",
		"Gets statistics about one or more (or all) domains", domstats_options,
		verb_domstats},
	{"list", "monitor", 0, "list domains", "Returns list of domains.", list_options, verb_list},
	{"top", "monitor", 0, "show what active domains use, again and again",
		"Show CPU, memory, disk and network use of the active domains, every few seconds, "
		"the "
		"busiest\n"
		"first: 100 % is one CPU of the host's, rates are per second. In a terminal the "
		"keys "
		"c, m, d,\n"
		"n and a choose what is sorted by (CPU, memory, disk, net, name), and q quits. "
		"With "
		"--batch,\n"
		"or where there is no terminal, table follows table. With --json each sample is "
		"one "
		"line, and\n"
		"there is one unless --number says otherwise.",
		top_options, verb_top},

	{"event", "event", 0, "Domain Events",
		"List event types, or wait for domain events to occur", event_options, verb_event},

	{"net-autostart", "network", VERB_CHANGES, "autostart a network",
		"Configure a network to be automatically started at boot.", net_autostart_options,
		verb_net_autostart},
	{"net-capture", "network", VERB_CHANGES, "capture frames of a network",
		"Write the frames that pass through a network's worker into a file, or to a "
		"reader, as\n"
		"capture does: each once, with the tag of its VLAN. Guests with a link of their "
		"own\n"
		"between them are not seen there. With --uplink: what one NIC sends and receives.",
		net_capture_options, verb_net_capture},
	{"net-create", "network", VERB_CHANGES, "create a network from an XML file",
		"Create a network.", net_file_options, verb_net_create},
	{"net-define", "network", VERB_CHANGES,
		"define an inactive persistent virtual network or modify an existing persistent "
		"one from an XML file",
		"Define or modify a persistent virtual network.", net_file_options,
		verb_net_define},
	{"net-destroy", "network", VERB_CHANGES, "destroy (stop) a network",
		"Forcefully stop a given network.", active_network, verb_net_simple},
	{"net-dhcp-leases", "network", 0, "print lease info for a given network",
		"Print lease info for a given network", net_dhcp_leases_options,
		verb_net_dhcp_leases},
	{"net-dumpxml", "network", 0, "network information in XML",
		"Output the network information as an XML dump to stdout.", net_dumpxml_options,
		verb_net_dumpxml},
	{"net-edit", "network", VERB_CHANGES, "edit XML configuration for a network",
		"Edit the XML configuration for a network with $VISUAL, $EDITOR or vi.",
		net_edit_options, verb_net_edit},
	{"net-event", "network", 0, "Network Events",
		"List event types, or wait for network events to occur", net_event_options,
		verb_net_event},
	{"net-forward-add", "network", VERB_CHANGES, "forward a port of the host to a guest",
		"Connections to this port of the host go on to a guest of the network, which has\n"
		"<forward mode='nat'/>. In a running network this ends what other forwards carry.",
		net_forward_add_options, verb_net_forward_add},
	{"net-forward-delete", "network", VERB_CHANGES, "forward a port of the host no longer",
		"Remove a port forward. In a running network this ends what other forwards carry.",
		net_forward_delete_options, verb_net_forward_delete},
	{"net-forward-list", "network", 0, "list port forwards", "Returns list of port forwards.",
		net_forward_list_options, verb_net_forward_list},
	{"net-info", "network", 0, "network information",
		"Returns basic information about the network", any_network, verb_net_info},
	{"net-list", "network", 0, "list networks", "Returns list of networks.", net_list_options,
		verb_net_list},
	{"net-name", "network", 0, "convert a network UUID to network name", NULL, any_network,
		verb_net_name},
	{"net-port-list", "network", 0, "list network ports", "Returns list of network ports.",
		active_network, verb_net_port_list},
	{"net-start", "network", VERB_CHANGES, "start a (previously defined) inactive network",
		"Start a network.", inactive_network, verb_net_simple},
	{"net-undefine", "network", VERB_CHANGES, "undefine a persistent network",
		"Undefine the configuration for a persistent network. If the network is active,\n"
		"make it transient.",
		any_network, verb_net_simple},
	{"net-update", "network", VERB_CHANGES,
		"update parts of an existing network's configuration",
		"Sections: ip-dhcp-host, ip-dhcp-range, forward-interface, portgroup, dns-host,\n"
		"dns-txt, dns-srv, and vmmd's own port-forward. A running network is updated when\n"
		"its programs run with it.",
		net_update_options, verb_net_update},
	{"net-uuid", "network", 0, "convert a network name to network UUID", NULL, any_network,
		verb_net_uuid},

	{"team-report", "network", 0, "what has happened to a network's uplinks",
		"Print the failovers of a network's team of NICs: when they were detected and by "
		"what,\n"
		"why, from which uplink to which, how long that took, frames lost, and addresses\n"
		"announced.",
		team_report_options, verb_team_report},
	{"team-status", "network", 0, "state of a network's uplinks",
		"Print the policy of a network's team of NICs, its uplinks with role, state, link "
		"and\n"
		"speed, why one is not used, what uses each, and LACP's partners.",
		active_network, verb_team_status},
	{"team-test", "network", VERB_CHANGES, "exercise a network's uplinks",
		"Take each active uplink of a network out of use in turn, for a moment, and print "
		"what\n"
		"carried its traffic and when. The NIC itself is not touched. Refused where it "
		"would\n"
		"cut the network off, unless --force is given.",
		team_test_options, verb_team_test},

	{"allocpages", "host", VERB_CHANGES, "manipulate pages pool size",
		"Set how many huge pages of a size the host keeps, or with --add how many more "
		"than\n"
		"now; of one NUMA node, of each of them (--all), or of the whole host. Fails when\n"
		"there are fewer than that afterwards, and says how many there are.",
		allocpages_options, verb_allocpages},
	{"capabilities", "host", 0, "capabilities", "Returns capabilities of hypervisor/driver.",
		NULL, verb_capabilities},
	{"cpu-baseline", "host", 0, "compute baseline CPU",
		"Compute baseline CPU for a set of given CPUs: of <cpu> elements, domains, host\n"
		"capabilities and domain capabilities, one after the other in one file.",
		cpu_baseline_options, verb_cpu_baseline},
	{"cpu-compare", "host", 0, "compare host CPU with a CPU described by an XML file",
		"Compare CPU with host CPU. A CPU that is incompatible makes it fail.",
		cpu_compare_options, verb_cpu_compare},
	{"cpu-models", "host", 0, "CPU models", "Get the CPU models for an arch.",
		cpu_models_options, verb_cpu_models},
	{"doctor", "host", 0, "find out what is wrong with the host",
		"Ask vmmd whether its host is fit (KVM, CPU, huge pages, control groups, firewall, "
		"clock,\n"
		"versions, space), whether images can be used and by whom else they are, and "
		"whether what\n"
		"runs answers. Warnings and problems are shown with what to do; problems make it "
		"fail.",
		doctor_options, verb_doctor},
	{"domcapabilities", "host", 0, "domain capabilities",
		"Returns what a domain can be made of on this host, and which CPU models it can "
		"have.",
		domcapabilities_options, verb_domcapabilities},
	{"freecell", "host", 0, "free memory by NUMA nodes",
		"Display available free memory for the NUMA cell.", freecell_options,
		verb_freecell},
	{"freepages", "host", 0, "free pages by NUMA nodes",
		"Display available free pages for the NUMA cell.", freepages_options,
		verb_freepages},
	{"host-info", "host", 0, "what guests get from the host",
		"Show what nodeinfo shows, and how guests' memory is translated and in pages of "
		"what\n"
		"size it is mapped, their page faults, halt polling, core scheduling, and whether "
		"the\n"
		"kernel tells of pressure.",
		NULL, verb_host_info},
	{"hostname", "host", 0, "print the hypervisor hostname", NULL, NULL, verb_hostname},
	{"hypervisor-cpu-baseline", "host", 0,
		"compute baseline CPU usable by a specific hypervisor",
		"Compute baseline CPU for a set of given CPUs, without what vmmd gives no guest.",
		hypervisor_cpu_baseline_options, verb_hypervisor_cpu_baseline},
	{"hypervisor-cpu-compare", "host", 0,
		"compare a CPU with the CPU created by a hypervisor on the host",
		"Compare CPU with what KVM can give guests here. A CPU that is incompatible makes "
		"it fail.",
		hypervisor_cpu_compare_options, verb_hypervisor_cpu_compare},
	{"job-cancel", "host", VERB_CHANGES, "end a job of vmmd's",
		"Ask a job to end. Starts and captures can be cancelled, nothing else.",
		job_options, verb_job_cancel},
	{"job-wait", "host", 0, "wait for a job of vmmd's",
		"Wait until a job is over. Fails as the job did.", job_wait_options, verb_job_wait},
	{"jobs", "host", 0, "list what vmmd is busy with",
		"List the jobs that run: what is done to which domain or network, what is waited\n"
		"for, how much is done, for how long it has run, and how long it will take at "
		"most.",
		jobs_options, verb_jobs},
	{"memory-policy", "host", 0, "what the host's memory policy does, and why",
		"Show whether the host's memory policy is on, what it sees, what it has taken "
		"from\n"
		"which domain, and its last decisions with their reasons; or switch it. While it "
		"is\n"
		"on and the host is short of memory, guests give up what they do not use, by the\n"
		"weights and floors of their XML, and get it back before they are short.",
		memory_policy_options, verb_memory_policy},
	{"nodeinfo", "host", 0, "node information", "Returns basic information about the node.",
		NULL, verb_nodeinfo},
	{"nodememstats", "host", 0, "memory statistics of the node",
		"Returns memory stats of the node, in kilobytes.", nodememstats_options,
		verb_nodememstats},
	{"uri", "host", 0, "print the hypervisor canonical URI", NULL, NULL, verb_uri},
	{"version", "host", 0, "show version", "Display the system version information.",
		version_options, verb_version},

	{"batch", "vmctl", VERB_OFFLINE, "run many commands over one connection",
		"Run the commands of a file, or of standard input, one a line: words as a shell "
		"parts\n"
		"them ('…', \"…\", \\), and # for comments. The first that fails ends it. With "
		"--json\n"
		"each command prints its document.",
		batch_options, verb_batch},
	{"help", "vmctl", VERB_OFFLINE, "print help",
		"Prints global help, command specific help, or help for a\n"
		"    group of related commands",
		help_options, verb_help},
	{},
};

const struct verb *verb_find(const char *name)
{
	for (const struct verb *v = verbs; v->name; v++)
		if (streq(v->name, name))
			return v;
	return NULL;
}

const struct verb_group *verb_group_find(const char *keyword)
{
	for (const struct verb_group *g = verb_groups; g->keyword; g++)
		if (streq(g->keyword, keyword))
			return g;
	return NULL;
}
