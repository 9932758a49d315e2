/* A handful of keys in a list: two generations, so that a handshake that began before a reload can
 * be signed after it. */
#include "keys/keyring.h"
#include "base/list.h"
#include <stdlib.h>
#include <string.h>

struct key {
	struct list node;
	EVP_PKEY *pkey;
	struct sign_kept kept;
	uint8_t id[KEY_ID_OCTETS];
	unsigned generation;
};
struct keyring {
	struct list keys;
	unsigned generation;
	size_t n;
};

int keyring_new(struct keyring **ret_ring)
{
	struct keyring *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	list_init(&r->keys);
	*ret_ring = r;
	return 0;
}

static void key_drop(struct keyring *r, struct key *k)
{
	list_remove(&k->node);
	sign_kept_done(&k->kept);
	EVP_PKEY_free(k->pkey); /* clears what it held */
	free(k);
	r->n--;
}

void keyring_free(struct keyring *r)
{
	if (!r)
		return;
	list_foreach_safe (it, tmp, &r->keys)
		key_drop(r, CONTAINER_OF(it, struct key, node));
	free(r);
}

void keyring_renew(struct keyring *r)
{
	list_foreach_safe (it, tmp, &r->keys) {
		struct key *k = CONTAINER_OF(it, struct key, node);
		if (k->generation != r->generation)
			key_drop(r, k);
	}
	r->generation++;
}

static struct key *find(const struct keyring *r, const uint8_t id[KEY_ID_OCTETS])
{
	list_foreach (it, &r->keys) {
		struct key *k = CONTAINER_OF(it, struct key, node);
		if (memcmp(k->id, id, KEY_ID_OCTETS) == 0)
			return k;
	}
	return NULL;
}

int keyring_add(struct keyring *r, struct span pem, const char **ret_why)
{
	struct key *k = calloc(1, sizeof(*k)), *have;

	*ret_why = "out of memory";
	if (!k)
		return -ENOMEM;
	int result = private_key_parse(pem, &k->pkey, ret_why);
	if (result == 0)
		result = key_id_of(k->pkey, k->id);
	if (result < 0) {
		EVP_PKEY_free(k->pkey);
		free(k);
		return result;
	}
	have = find(r, k->id);
	if (have) {
		have->generation = r->generation;
		EVP_PKEY_free(k->pkey);
		free(k);
		return 0;
	}
	k->generation = r->generation;
	list_push_back(&r->keys, &k->node);
	r->n++;
	return 0;
}

EVP_PKEY *keyring_find(
	const struct keyring *r, const uint8_t id[KEY_ID_OCTETS], struct sign_kept **ret_kept)
{
	struct key *k = find(r, id);

	if (!k)
		return NULL;
	if (ret_kept)
		*ret_kept = &k->kept;
	return k->pkey;
}

size_t keyring_count(const struct keyring *r)
{
	return r->n;
}
