/* What a fuzz target defines: one call an input, no state kept, never fails but by crashing. The
 * name is libFuzzer's. */
#ifndef CARILLON_TESTS_FUZZ_H
#define CARILLON_TESTS_FUZZ_H

#include "base/prelude.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#endif
