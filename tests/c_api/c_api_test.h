// What the parts of the C program share.
#ifndef OMNINORM_TESTS_C_API_TEST_H
#define OMNINORM_TESTS_C_API_TEST_H

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "omninorm/c.h"

extern int failures;

#define EXPECT(condition)                                            \
  do {                                                               \
    if (!(condition)) {                                              \
      printf("%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      printf("  the last error is '%s'\n", omninorm_last_error());   \
      ++failures;                                                    \
    }                                                                \
  } while (0)

#define EXPECT_OK(call) EXPECT((call) == OMNINORM_OK && strcmp(omninorm_last_error(), "") == 0)

// `call` is refused with a message that says `text`.
#define EXPECT_REFUSED(call, text) \
  EXPECT((call) == OMNINORM_INVALID_ARGUMENT && strcmp(omninorm_last_error(), text) == 0)

void test_ops(void);
void test_batch_norm_in_parts(void);
void test_errors(void);

#endif
