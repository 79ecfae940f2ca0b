/* Digests: the vectors of RFC 1321 and FIPS 180, names, sizes, long data. */
#include "base/prelude.h"

#include "base/digest.h"
#include "tests/unit/base/suite.h"

static const struct {
    enum digest_alg alg;
    const char *name;
    size_t size;
    const char *empty, *abc;
} cases[] = {
    {DIGEST_MD5, "MD5", 16, "d41d8cd98f00b204e9800998ecf8427e", "900150983cd24fb0d6963f7d28e17f72"},
    {DIGEST_SHA1, "SHA-1", 20, "da39a3ee5e6b4b0d3255bfef95601890afd80709",
     "a9993e364706816aba3e25717850c26c9cd0d89d"},
    {DIGEST_SHA256, "SHA-256", 32,
     "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
     "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {DIGEST_SHA384, "SHA-384", 48,
     "38b060a751ac96384cd9327eb1b1e36a21fdb71114be07434c0cc7bf63f6e1da274edebfe76f65fbd51ad2f14898b"
     "9"
     "5b",
     "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c82"
     "5"
     "a7"},
    {DIGEST_SHA512, "SHA-512", 64,
     "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877ee"
     "c"
     "2f63b931bd47417a81a538327af927da3e",
     "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3fee"
     "b"
     "bd454d4423643ce80e2a9ac94fa54ca49f"},
};

static void check(enum digest_alg alg, struct str data, const char *want)
{
    uint8_t out[DIGEST_SIZE_MAX + 1];
    char hex[2 * DIGEST_SIZE_MAX];
    memset(out, 0x5a, sizeof(out));
    ck_assert_int_eq(digest_of(alg, data, out), ERR_OK);
    ck_assert_uint_eq(out[digest_size(alg)], 0x5a); /* not a byte more */
    hex_encode(out, digest_size(alg), hex);
    ck_assert(str_eqc((struct str){hex, 2 * digest_size(alg)}, want));
}

START_TEST(vectors)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        ck_assert_uint_eq(digest_size(cases[i].alg), cases[i].size);
        check(cases[i].alg, STR_NONE, cases[i].empty);
        check(cases[i].alg, STR("abc"), cases[i].abc);
    }
}
END_TEST

START_TEST(names)
{
    enum digest_alg alg = DIGEST_MD5;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        ck_assert(digest_by_name(str_of(cases[i].name), &alg));
        ck_assert_int_eq(alg, cases[i].alg);
    }
    static const char *const others[] = {"", "md5", "SHA1", "SHA-2", "SHA-2566", "SHA256"};
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        ck_assert(!digest_by_name(str_of(others[i]), &alg));
    }
}
END_TEST

START_TEST(a_million_times_a)
{
    char *p = malloc(1000000);
    ck_assert_ptr_nonnull(p);
    memset(p, 'a', 1000000);
    check(DIGEST_SHA256, (struct str){p, 1000000},
          "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(p);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {vectors, names, a_million_times_a, NULL};
    return suite_run("base.digest", tests);
}
