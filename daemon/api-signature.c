/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signatures of the method table: see api-signature.h. */
#include "daemon/api-signature.h"

#include <string.h>

#include "daemon/api.h"

size_t api_type_len(const char *signature)
{
	if (strncmp(signature, "aa{sv}", 6) == 0)
		return 6;
	if (strncmp(signature, "a{sv}", 5) == 0)
		return 5;
	if (strncmp(signature, "as", 2) == 0 || strncmp(signature, "ai", 2) == 0)
		return 2;
	return 1;
}

unsigned api_signature_count(const char *signature)
{
	unsigned n = 0;

	for (; *signature; signature += api_type_len(signature))
		n++;
	return n;
}

struct api_params api_in(const struct api_method *method)
{
	return (struct api_params){method->in, method->names};
}

/* The names of the results follow those of the arguments. */
struct api_params api_out(const struct api_method *method)
{
	struct api_params params = {method->out, method->names};

	for (unsigned n = api_signature_count(method->in); n; n--)
		params.names += strlen(params.names) + 1;
	return params;
}

bool api_params_next(struct api_params *params, struct api_param *ret)
{
	if (!*params->signature)
		return false;
	*ret = (struct api_param){
		params->signature, api_type_len(params->signature), params->names};
	params->signature += ret->type_len;
	params->names += strlen(params->names) + 1;
	return true;
}
