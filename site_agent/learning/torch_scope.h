#pragma once

// Private to this folder: the wall that torch's exceptions do not pass.

#include <string_view>
#include <utility>

#include "absl/status/status.h"

namespace consilium::learning {

// Readies the calling thread for torch: thread count, and denormal numbers as zero while this
// lives.
class TorchThread {
 public:
  TorchThread();
  ~TorchThread();
  TorchThread(const TorchThread&) = delete;
  TorchThread& operator=(const TorchThread&) = delete;

 private:
  unsigned saved_control_;
};

// What the exception now being handled says, in words for people: kResourceExhausted when memory
// ran out, else kInternal. Call inside a catch block.
absl::Status StatusOfException(std::string_view doing);

// Runs `work` (which returns a Status or StatusOr) with torch's exceptions turned into a status.
template <class Work>
auto WithTorch(std::string_view doing, Work&& work) -> decltype(work()) {
  try {
    const TorchThread thread;
    return std::forward<Work>(work)();
  } catch (...) {
    return StatusOfException(doing);
  }
}

}  // namespace consilium::learning
