#pragma once

// Errors travel as absl::Status and absl::StatusOr. A message says what was wrong, which value, and what
// to do next; it never holds a patient's data, a UID or a file path of a patient's image.

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/text.h"

#define CONSILIUM_CONCAT_INNER(a, b) a##b
#define CONSILIUM_CONCAT(a, b) CONSILIUM_CONCAT_INNER(a, b)

// Returns from the enclosing function when `expression` (a Status) is not OK.
#define RETURN_IF_ERROR(expression)                                     \
  do {                                                                  \
    if (absl::Status status_ = (expression); !status_.ok()) return status_; \
  } while (false)

// ASSIGN_OR_RETURN(auto x, Compute()): assigns the value, or returns the error.
#define ASSIGN_OR_RETURN(target, expression) \
  ASSIGN_OR_RETURN_INNER(CONSILIUM_CONCAT(status_or_, __LINE__), target, expression)
#define ASSIGN_OR_RETURN_INNER(temporary, target, expression) \
  auto temporary = (expression);                              \
  if (!temporary.ok()) return std::move(temporary).status();  \
  target = std::move(temporary).value()

// A check for a bug of ours, never for bad input. Stays on in release builds.
#define CONSILIUM_CHECK(condition)                                                            \
  do {                                                                                        \
    if (!(condition)) {                                                                       \
      std::fprintf(stderr, "%s:%d: a bug in consilium: %s does not hold\n", __FILE__, __LINE__, \
                   #condition);                                                               \
      std::abort();                                                                           \
    }                                                                                         \
  } while (false)

namespace consilium {

// The same status code with "context: " before the message.
absl::Status WithContext(const absl::Status& status, std::string_view context);

// What a program exits with: 0 done; 1 failed; 2 the caller's input is wrong; 3 something it needs cannot be
// reached; 4 refused (permission, policy); 130 interrupted.
int ExitCodeFor(const absl::Status& status);

// Prints "error: <message>" to standard error and returns ExitCodeFor(status); prints nothing when OK.
int ReportAndExitCode(const absl::Status& status);

}  // namespace consilium
