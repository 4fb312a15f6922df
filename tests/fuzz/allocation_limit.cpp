// Sees allocations through the sanitizer's allocator where there is one, else by standing in for
// operator new.

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <new>

#include "tests/fuzz/fuzz.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CONSILIUM_SANITIZED_ALLOCATOR 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CONSILIUM_SANITIZED_ALLOCATOR 1
#endif

#ifdef CONSILIUM_SANITIZED_ALLOCATOR
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void*,
                                                                           std::size_t),
                                                         void (*on_free)(const volatile void*));
#endif

namespace consilium::fuzz {
namespace {

constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();
thread_local std::size_t limit = kNone;
std::atomic<std::size_t> largest = 0;

void OnAllocation(std::size_t size) {
  if (limit == kNone) return;
  std::size_t seen = largest.load(std::memory_order_relaxed);
  while (size > seen && !largest.compare_exchange_weak(seen, size)) {
  }
  if (size <= limit) return;
  const std::size_t allowed = limit;
  limit = kNone;
  std::fprintf(stderr, "an allocation of %zu bytes; the input justifies %zu\n", size, allowed);
  std::abort();
}

void PrintLargest() { std::fprintf(stderr, "largest allocation: %zu\n", largest.load()); }

bool Watch() {
#ifdef CONSILIUM_SANITIZED_ALLOCATOR
  const auto on_malloc = [](const volatile void*, std::size_t size) { OnAllocation(size); };
  const auto on_free = [](const volatile void*) {};
  FUZZ_EXPECT(__sanitizer_install_malloc_and_free_hooks(on_malloc, on_free) != 0);
#endif
  return std::atexit(PrintLargest) == 0;
}

}  // namespace

AllocationLimit::AllocationLimit(std::size_t bytes) : outer_(limit) {
  static const bool watched = Watch();
  FUZZ_EXPECT(watched);
  limit = bytes;
}

AllocationLimit::~AllocationLimit() { limit = outer_; }

std::size_t LargestAllocation() { return largest.load(); }

}  // namespace consilium::fuzz

#ifndef CONSILIUM_SANITIZED_ALLOCATOR
void* operator new(std::size_t size) {
  consilium::fuzz::OnAllocation(size);
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
#endif
