/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names, paths and limits that more than one program relies on. Everything that a user, a guest or a
 * peer can make grow has its limit here or at the top of its module's header.
 */
#pragma once

/* The bus. */
#define VMMD_BUS_NAME      "org.vmmd1"
#define VMMD_BUS_PATH      "/org/vmmd1"
#define VMMD_BUS_INTERFACE "org.vmmd1.Manager"
#define VMMD_DOMAIN_PATH   "/org/vmmd1/domain"
#define VMMD_DOMAIN_IFACE  "org.vmmd1.Domain"
#define VMMD_ERROR_PREFIX  "org.vmmd1.Error."

/* XML extensions live in these namespaces, so that libvirt's own tools keep them. */
#define VMMD_XML_NS_DOMAIN  "urn:vmmd:domain:1"
#define VMMD_XML_NS_NETWORK "urn:vmmd:network:1"

/* Folders of the system instance; a session instance is told its own. */
#define VMMD_STATE_DIR   "/var/lib/vmmd"
#define VMMD_RUNTIME_DIR "/run/vmmd"
#define VMMD_CONFIG_DIR  "/etc/vmmd"
#define VMMD_TLS_DIR     VMMD_CONFIG_DIR "/tls"

/* JSON-RPC of the system instance. */
#define VMMD_RPC_SOCKET VMMD_RUNTIME_DIR "/rpc.sock"
/* D-Bus without a bus between, for administrators. */
#define VMMD_DBUS_NAME   "dbus.sock"
#define VMMD_DBUS_SOCKET VMMD_RUNTIME_DIR "/" VMMD_DBUS_NAME
/* Bridges to it bind their sockets to abstract names that begin so, and are passed no descriptors. */
#define VMMD_BRIDGE_NAME "vmmd-stdio-bridge/"

/* Limits. */
#define VMMD_MAX_DOMAINS      16384
#define VMMD_MAX_XML_BYTES    (1024 * 1024)
#define VMMD_MAX_XML_DEPTH    64
#define VMMD_MAX_XML_NODES    20000
#define VMMD_SCROLLBACK_BYTES (64 * 1024)
