#include "datasets/worker/out_of_memory.h"

#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <new>

#include "datasets/worker/protocol.h"
#include "datasets/worker/sandbox.h"

namespace consilium::datasets::worker {
namespace {

bool ending = false;

[[noreturn]] void End() { _exit(kOutOfMemoryExit); }

}  // namespace

void EndWhenOutOfMemory() {
  ending = true;
  std::set_new_handler(End);
}

}  // namespace consilium::datasets::worker

// The C library's allocator under its own names, which all libraries of this process then call.
#if defined(__GLIBC__) && !defined(CONSILIUM_UNDER_SANITIZER)

extern "C" {

void* __libc_malloc(size_t bytes);
void* __libc_calloc(size_t count, size_t bytes);
void* __libc_realloc(void* old, size_t bytes);
void* __libc_memalign(size_t alignment, size_t bytes);

static void* OrEnd(void* memory, size_t bytes) {
  using namespace consilium::datasets::worker;
  if (memory == nullptr && bytes != 0 && ending) End();
  return memory;
}

void* malloc(size_t bytes) noexcept { return OrEnd(__libc_malloc(bytes), bytes); }

void* calloc(size_t count, size_t bytes) noexcept {
  return OrEnd(__libc_calloc(count, bytes), count == 0 ? 0 : bytes);
}

void* realloc(void* old, size_t bytes) noexcept { return OrEnd(__libc_realloc(old, bytes), bytes); }

void* memalign(size_t alignment, size_t bytes) noexcept {
  return OrEnd(__libc_memalign(alignment, bytes), bytes);
}

void* aligned_alloc(size_t alignment, size_t bytes) noexcept { return memalign(alignment, bytes); }

int posix_memalign(void** memory, size_t alignment, size_t bytes) noexcept {
  *memory = memalign(alignment, bytes);
  return *memory == nullptr && bytes != 0 ? ENOMEM : 0;
}
}

#endif
