#pragma once

// Where hostile files are read: a process that can read the descriptors it is sent, compute, and
// write to its one socket, and nothing else. The system ends it for any other call (SIGSYS).

#include <cstdint>

#include "absl/status/status.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CONSILIUM_UNDER_SANITIZER
#elif defined(__has_feature)  // clang
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CONSILIUM_UNDER_SANITIZER
#endif
#endif

namespace consilium::datasets::worker {

struct SandboxLimits {
  std::uint64_t memory_bytes = 1ull << 30;  // of address space
  std::uint64_t cpu_seconds = 600;  // of the whole process: a belt, the pool's watch is first
};

// No way back. `socket` is the only descriptor that may be written to. For a process with one
// thread. Under AddressSanitizer and ThreadSanitizer, which need more than this allows, only the
// limits on processor time, core files and descriptors hold: kSandboxed is false.
absl::Status EnterSandbox(int socket, const SandboxLimits& limits);

#ifdef CONSILIUM_UNDER_SANITIZER
inline constexpr bool kSandboxed = false;
#else
inline constexpr bool kSandboxed = true;
#endif

}  // namespace consilium::datasets::worker
