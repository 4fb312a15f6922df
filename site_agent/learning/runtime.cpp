#include <ATen/Parallel.h>
#include <c10/util/Exception.h>
#include <sched.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <new>
#include <string>
#include <system_error>
#include <vector>

#include "common/base/allocator.h"
#include "common/base/status.h"
#include "site_agent/learning/torch_scope.h"
#include "site_agent/learning/trainer.h"

namespace consilium::learning {
namespace {

int AvailableCores() {
  cpu_set_t cores;
  return sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : 1;
}

// The program's arguments as it was started with; empty when the system does not tell.
std::vector<std::string> Arguments() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::vector<std::string> arguments;
  for (std::string argument; std::getline(file, argument, '\0');) arguments.push_back(argument);
  return arguments;
}

// OpenMP's threads wait for each other in a loop of up to 300,000 turns, several milliseconds. When
// another process wants the same cores (another agent, the coordinator on one machine), they wait
// for a thread that cannot run, and a step takes up to ten times as long. The library reads its
// settings while the program is loaded, before main: so they are set, and the program starts itself
// again. When it cannot, training is only slower.
void WaitBriefly() {
  if (std::getenv("GOMP_SPINCOUNT") != nullptr || std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  std::vector<std::string> arguments = Arguments();
  if (arguments.empty() || setenv("GOMP_SPINCOUNT", "2000", 1) != 0) return;
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  std::fflush(nullptr);
  // By its own path: started as /proc/self/exe, a process is called "exe" in every list of
  // processes.
  std::error_code missing;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", missing);
  if (!missing) execv(program.c_str(), pointers.data());
}

std::string FirstLine(std::string text) {
  text.resize(std::min(text.size(), text.find('\n')));
  return text;
}

}  // namespace

void ConfigureRuntime(int threads) {
  WaitBriefly();
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
    if (what.find("allocate memory") != std::string::npos ||
        what.find("out of memory") != std::string::npos) {
      return absl::ResourceExhaustedError(StrCat(
          doing, " ran out of memory: lower [training] batch_size or image_size (", what, ")"));
    }
    return absl::InternalError(StrCat(doing, " failed in LibTorch: ", what));
  } catch (const std::exception& error) {
    return absl::InternalError(StrCat(doing, " failed: ", FirstLine(error.what())));
  }
}

}  // namespace consilium::learning
