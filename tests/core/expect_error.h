// EXPECT_ERROR(call, "[rms_norm] expected ..., got ..."): the whole message, word for word.
#pragma once

#include <gtest/gtest.h>

#include "omninorm/error.h"

#define EXPECT_ERROR(call, message)                             \
  do {                                                          \
    try {                                                       \
      call;                                                     \
      ADD_FAILURE() << "no error; expected " << (message);      \
    } catch (const omninorm::Error& error) {                    \
      EXPECT_STREQ(error.what(), std::string(message).c_str()); \
    }                                                           \
  } while (false)
