#pragma once

// Calls of OpenSSL that fail when a test wants it. The linker's --wrap (see CMakeLists.txt) puts
// the functions that CONSILIUM_WRAP defines between our code and OpenSSL's.

#include <openssl/err.h>

#include <functional>
#include <type_traits>
#include <utility>

#include "common/base/status.h"
#include "tests/catch.h"

namespace consilium::crypto {

struct Injection {
  int calls = 0;    // so far
  int failing = 0;  // which call fails; 0: none
  int result = 0;   // what a failing function that returns a number returns
};
inline Injection injection;

inline bool FailsNow() { return ++injection.calls == injection.failing; }

template <class Result>
Result Failure() {
  if constexpr (std::is_pointer_v<Result>) {
    return nullptr;
  } else {
    return injection.result;
  }
}

// Makes the first, second, ... call of OpenSSL fail until all of them go well. Returns how many
// there are.
inline int FailEachCall(const std::function<absl::Status()>& run) {
  int calls = 0;
  for (const int result : {0, -1}) {
    for (int failing = 1;; ++failing) {
      injection = {.failing = failing, .result = result};
      const absl::Status status = run();
      const bool failed = injection.calls >= failing;
      injection = {};
      if (!failed) {
        INFO(status.ToString());
        CHECK(status.ok());
        calls = failing - 1;
        break;
      }
      INFO("call " << failing << " returned " << result);
      CHECK_FALSE(status.ok());
      CHECK(ERR_peek_error() == 0);  // nothing is left for others to trip over
    }
  }
  return calls;
}

}  // namespace consilium::crypto

#define CONSILIUM_WRAP(Result, name, parameters, arguments)                     \
  extern "C" Result __real_##name parameters;                                   \
  extern "C" Result __wrap_##name parameters;                                   \
  Result __wrap_##name parameters {                                             \
    return consilium::crypto::FailsNow() ? consilium::crypto::Failure<Result>() \
                                         : __real_##name arguments;             \
  }
