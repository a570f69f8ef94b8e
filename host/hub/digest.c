/* Hashes from OpenSSL's library of them, on Windows from the system. */
#include "host/hub/digest.h"

#ifdef VKFT_HAVE_HUB

#include <stdio.h>
#include <stdlib.h>

enum { MAX_BYTES = VKFT_HUB_SHA256_DIGITS / 2 };

static bool fail(vkft_err *err)
{
    return vkft_fail(err, VKFT_ERR_IO, "the system's library computes no SHA-1 and SHA-256, which downloads need");
}

#ifdef _WIN32

#include <windows.h>

#include <bcrypt.h>

struct vkft_hub_digest {
    BCRYPT_ALG_HANDLE algorithm;
    BCRYPT_HASH_HANDLE hash;
    unsigned bytes;
};

static bool begin(vkft_hub_digest *d, unsigned digits)
{
    d->bytes = digits / 2;
    return BCryptOpenAlgorithmProvider(
               &d->algorithm, digits == VKFT_HUB_SHA256_DIGITS ? BCRYPT_SHA256_ALGORITHM : BCRYPT_SHA1_ALGORITHM, NULL,
               0) == 0 &&
           BCryptCreateHash(d->algorithm, &d->hash, NULL, 0, NULL, 0, 0) == 0;
}

static bool add(vkft_hub_digest *d, const void *data, size_t size)
{
    return BCryptHashData(d->hash, (PUCHAR)(uintptr_t)data, (ULONG)size, 0) == 0;
}

static bool end(vkft_hub_digest *d, unsigned char *bytes, unsigned *count)
{
    *count = d->bytes;
    return BCryptFinishHash(d->hash, bytes, d->bytes, 0) == 0;
}

static void release(vkft_hub_digest *d)
{
    if (d->hash)
        BCryptDestroyHash(d->hash);
    if (d->algorithm)
        BCryptCloseAlgorithmProvider(d->algorithm, 0);
}

#else

#include <openssl/evp.h>

struct vkft_hub_digest {
    EVP_MD_CTX *context;
};

static bool begin(vkft_hub_digest *d, unsigned digits)
{
    d->context = EVP_MD_CTX_new();
    return d->context &&
           EVP_DigestInit_ex(d->context, digits == VKFT_HUB_SHA256_DIGITS ? EVP_sha256() : EVP_sha1(), NULL) == 1;
}

static bool add(vkft_hub_digest *d, const void *data, size_t size)
{
    return EVP_DigestUpdate(d->context, data, size) == 1;
}

static bool end(vkft_hub_digest *d, unsigned char *bytes, unsigned *count)
{
    return EVP_DigestFinal_ex(d->context, bytes, count) == 1;
}

static void release(vkft_hub_digest *d)
{
    EVP_MD_CTX_free(d->context);
}

#endif

vkft_hub_digest *vkft_hub_digest_new(unsigned digits, vkft_err *err)
{
    vkft_hub_digest *d = calloc(1, sizeof *d);
    if (!d) {
        vkft_fail_memory(err, "for a hash");
        return NULL;
    }
    if (!begin(d, digits)) {
        fail(err);
        vkft_hub_digest_free(d);
        return NULL;
    }
    return d;
}

bool vkft_hub_digest_add(vkft_hub_digest *digest, const void *data, size_t size, vkft_err *err)
{
    return size == 0 || add(digest, data, size) || fail(err);
}

bool vkft_hub_digest_end(vkft_hub_digest *digest, char text[VKFT_HUB_HASH_SIZE], vkft_err *err)
{
    unsigned char bytes[64];
    unsigned count = 0;
    if (!end(digest, bytes, &count) || count > MAX_BYTES)
        return fail(err);
    for (unsigned i = 0; i < count; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    return true;
}

void vkft_hub_digest_free(vkft_hub_digest *digest)
{
    if (digest)
        release(digest);
    free(digest);
}

#endif
