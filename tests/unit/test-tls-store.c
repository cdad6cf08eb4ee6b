/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The files of TLS: whose they are, what is wrong with each, and that a change is seen. Whose certificate is believed, and what
 * its names say, is in test-rpc-tls.c. */
#include "tls-fixture.h"

#include <sys/resource.h>

#include <errno.h>

#include "daemon/tls-store.h"
#include "vmm-core/base/strutil.h"

static struct pki pki;
static char top[64];

static int setup(void **state)
{
	char dir[96];

	(void)state;
	strcpy(top, "/tmp/test-tls-XXXXXX");
	assert_non_null(mkdtemp(top));
	snprintf(dir, sizeof(dir), "%s/tls", top);
	pki_open(&pki, dir);
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	pki_done(&pki);
	snprintf(command, sizeof(command), "rm -rf %s", top);
	return system(command);
}

static void mode(const char *name, mode_t bits)
{
	char path[192];

	snprintf(path, sizeof(path), "%s/%s", pki.dir, name);
	assert_int_equal(chmod(path, bits), 0);
}

static void take_away(const char *name)
{
	char path[192];

	snprintf(path, sizeof(path), "%s/%s", pki.dir, name);
	assert_int_equal(unlink(path), 0);
}

static void expect(const char *text)
{
	_cleanup_(tls_creds_unrefp) struct tls_creds *creds = NULL;
	char why[TLS_WHY_MAX] = "";
	int r = tls_creds_load(pki.dir, &creds, why);

	if (!text && r < 0)
		fail_msg("%s", why);
	if (text) {
		if (r >= 0)
			fail_msg("taken, and not '%s'", text);
		assert_null(creds);
		if (strncmp(why, text, strlen(text)) != 0)
			fail_msg("'%s', not '%s'", why, text);
	} else {
		assert_true(creds->expires_s > time(NULL) + 29 * PKI_DAY);
	}
}

static void test_modes(void **state)
{
	(void)state;
	expect(NULL);
	mode("server-key.pem", 0640);
	expect("server-key.pem can be read by others: chmod 600 it");
	mode("server-key.pem", 0604);
	expect("server-key.pem can be read by others: chmod 600 it");
	mode("server-key.pem", 0400);
	expect(NULL);
	mode("roles", 0664);
	expect("roles can be written by others: chmod go-w it");
	mode("roles", 0646);
	expect("roles can be written by others: chmod go-w it");
	mode("roles", 0600);
	mode("ca.pem", 0666);
	expect("ca.pem can be written by others: chmod go-w it");
	mode("ca.pem", 0644);
	mode("", 0777);
	expect("the folder can be written by others: chmod go-w it");
	mode("", 0750);
	expect(NULL);
}

static void test_owner(void **state)
{
	char path[192];

	(void)state;
	if (geteuid() != 0)
		skip();
	snprintf(path, sizeof(path), "%s/roles", pki.dir);
	assert_int_equal(chown(path, 12345, 0), 0);
	expect("roles belongs to uid 12345: it must belong to root");
}

static void test_content(void **state)
{
	static char large[TLS_ROLES_BYTES + 1];
	char path[192];

	(void)state;
	pki_write_text(&pki, "roles", 0600, "cn:a = reader\ncn:b\n");
	expect("roles: line 2: it is not NAME = ROLE [USER]");
	memset(large, '\n', sizeof(large));
	pki_write(&pki, "roles", 0600, large, sizeof(large));
	expect("roles is larger than 524288 bytes");
	take_away("roles");
	expect("roles: No such file or directory");
	snprintf(path, sizeof(path), "%s/roles", pki.dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	expect("roles is no file");
	take_away("roles");
	pki_write_text(&pki, "roles", 0600, "");
	expect(NULL);
	pki_write_text(&pki, "crl.pem", 0600, "nothing");
	expect("crl.pem: ");
	pki_write_crl(&pki, NULL, 30);
	expect(NULL);
	/* Another CA's list would be of no effect. */
	pki_write_crt(&pki, "ca.pem", pki.other.crt);
	expect("crl.pem is not of a CA in ca.pem");
	pki_write_text(&pki, "ca.pem", 0600, "");
	expect("ca.pem: ");
	pki_write_crt(&pki, "ca.pem", pki.ca.crt);
	pki_write_key(&pki, "server-key.pem", pki.other.key);
	expect("server-key.pem is not the key of server.pem");
	pki_write_text(&pki, "server-key.pem", 0600, "-----BEGIN PRIVATE KEY-----\n");
	expect("server.pem with server-key.pem: ");
	take_away("server.pem");
	expect("server.pem: No such file or directory");
}

static void test_no_folder(void **state)
{
	struct tls_creds *creds = NULL;
	char why[TLS_WHY_MAX];

	(void)state;
	assert_int_equal(tls_creds_load("/nonexistent", &creds, why), -ENOENT);
	assert_string_equal(why, "the folder: No such file or directory");
}

/* Read when they have changed; what is wrong is told once, and lets nobody in. */
static void test_changes(void **state)
{
	_cleanup_(tls_store_freep) struct tls_store *store = NULL;
	_cleanup_(tls_creds_unrefp) struct tls_creds *a = NULL, *b = NULL, *c = NULL, *d = NULL;
	char why[TLS_WHY_MAX];

	(void)state;
	assert_int_equal(tls_store_new(pki.dir, &store), 0);
	assert_int_equal(tls_store_get(store, &a, why), 1);
	assert_int_equal(tls_store_get(store, &b, why), 0);
	assert_ptr_equal(a, b);
	pki_write_text(&pki, "roles", 0600, "cn:a = reader\n");
	assert_int_equal(tls_store_get(store, &c, why), 1);
	assert_ptr_not_equal(a, c);
	assert_non_null(tls_roles_find(c->roles, "cn:a"));
	assert_null(tls_roles_find(a->roles, "cn:a"));
	mode("server-key.pem", 0644);
	assert_int_equal(tls_store_get(store, &d, why), -EPERM);
	assert_int_equal(tls_store_get(store, &d, why), -ESTALE);
	assert_string_equal(why, "server-key.pem can be read by others: chmod 600 it");
	assert_null(d);
	mode("server-key.pem", 0600);
	assert_int_equal(tls_store_get(store, &d, why), 1);
}

/* No file descriptor is left, for a moment: the next time all is well, though no file has changed. */
static void test_no_fds(void **state)
{
	_cleanup_(tls_store_freep) struct tls_store *store = NULL;
	struct rlimit all, few;
	char why[TLS_WHY_MAX];
	int next;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
	/* The folder's, and more or less of the others. */
	for (rlim_t left = 0; left < 3; left++) {
		_cleanup_(tls_creds_unrefp) struct tls_creds *creds = NULL;

		assert_int_equal(tls_store_new(pki.dir, &store), 0);
		next = open("/dev/null", O_RDONLY | O_CLOEXEC);
		close(next);
		few = (struct rlimit){.rlim_cur = (rlim_t)next + left, .rlim_max = all.rlim_max};
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		assert_int_equal(tls_store_get(store, &creds, why), -EMFILE);
		assert_int_equal(tls_store_get(store, &creds, why), -EMFILE);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
		assert_int_equal(tls_store_get(store, &creds, why), 1);
		/* What was read is good without any. */
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		(void)tls_creds_unref(creds);
		creds = NULL;
		assert_int_equal(tls_store_get(store, &creds, why), left ? 0 : -EMFILE);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
		(void)tls_creds_unref(creds);
		creds = NULL;
		assert_int_equal(tls_store_get(store, &creds, why), 0);
		store = tls_store_free(store);
	}
}

/* Only what a CA has signed has a name: weak algorithms, signers that are no CAs and what could not be looked at have none. */
static void test_vouches(void **state)
{
	static const struct {
		unsigned status;
		bool vouches;
	} rows[] = {
		{0, true},
		{GNUTLS_CERT_INVALID | GNUTLS_CERT_REVOKED, true},
		{GNUTLS_CERT_INVALID | GNUTLS_CERT_EXPIRED, true},
		{GNUTLS_CERT_INVALID | GNUTLS_CERT_PURPOSE_MISMATCH, true},
		{GNUTLS_CERT_REVOCATION_DATA_SUPERSEDED, true},
		{GNUTLS_CERT_INVALID, false},
		{GNUTLS_CERT_INVALID | GNUTLS_CERT_SIGNER_NOT_FOUND, false},
		{GNUTLS_CERT_INVALID | GNUTLS_CERT_SIGNER_NOT_CA, false},
		{GNUTLS_CERT_INVALID | GNUTLS_CERT_SIGNATURE_FAILURE | GNUTLS_CERT_EXPIRED, false},
		{GNUTLS_CERT_INVALID | GNUTLS_CERT_INSECURE_ALGORITHM, false},
		{GNUTLS_CERT_INVALID | GNUTLS_CERT_SIGNER_CONSTRAINTS_FAILURE, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (tls_status_vouches(rows[i].status) != rows[i].vouches)
			fail_msg("status %#x", rows[i].status);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_modes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_owner, setup, teardown),
		cmocka_unit_test_setup_teardown(test_content, setup, teardown),
		cmocka_unit_test(test_no_folder),
		cmocka_unit_test_setup_teardown(test_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_fds, setup, teardown),
		cmocka_unit_test(test_vouches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
