#include <ATen/Parallel.h>
#include <c10/util/Exception.h>
#include <malloc.h>
#include <sched.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <cstdlib>
#include <exception>
#include <new>
#include <string>

#include "common/base/status.h"
#include "site_agent/learning/torch_scope.h"
#include "site_agent/learning/trainer.h"

namespace consilium::learning {
namespace {

int AvailableCores() {
  cpu_set_t cores;
  return sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : 1;
}

// A step of training takes and gives back the same few hundred megabytes. malloc's defaults hand
// them back to the system each time, and the page faults of getting them again cost a third of a
// step.
void KeepFreedMemory() {
  constexpr int kLargestThreshold = 32 << 20;  // what older C libraries accept
  constexpr int kGibibyte = 1 << 30;
  if (mallopt(M_MMAP_THRESHOLD, kGibibyte) == 0) mallopt(M_MMAP_THRESHOLD, kLargestThreshold);
  mallopt(M_TRIM_THRESHOLD, 2 * (kGibibyte - 1));
  mallopt(M_TOP_PAD, 64 << 20);
  // Other threads' arenas are heaps of 64 MiB that are unmapped when empty; the main one only
  // grows.
  mallopt(M_ARENA_MAX, 1);
}

std::string FirstLine(std::string text) {
  text.resize(std::min(text.size(), text.find('\n')));
  return text;
}

}  // namespace

void ConfigureRuntime(int threads) {
  KeepFreedMemory();
  at::set_num_threads(threads > 0 ? threads : AvailableCores());
}

TorchThread::TorchThread() : saved_control_(0) {
  at::init_num_threads();
#if defined(__x86_64__)
  saved_control_ = _mm_getcsr();
  constexpr unsigned kFlushToZero = 0x8000, kDenormalsAreZero = 0x0040;
  _mm_setcsr(saved_control_ | kFlushToZero | kDenormalsAreZero);
#endif
}

TorchThread::~TorchThread() {
#if defined(__x86_64__)
  _mm_setcsr(saved_control_);
#endif
}

absl::Status StatusOfException(std::string_view doing) {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(
        StrCat(doing, " ran out of memory: lower [training] batch_size or image_size"));
  } catch (const c10::Error& error) {
    const std::string what = FirstLine(error.what_without_backtrace());
    if (what.find("allocate memory") != std::string::npos) {
      return absl::ResourceExhaustedError(StrCat(
          doing, " ran out of memory: lower [training] batch_size or image_size (", what, ")"));
    }
    return absl::InternalError(StrCat(doing, " failed in LibTorch: ", what));
  } catch (const std::exception& error) {
    return absl::InternalError(StrCat(doing, " failed: ", FirstLine(error.what())));
  }
}

}  // namespace consilium::learning
