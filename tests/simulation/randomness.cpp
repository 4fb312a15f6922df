#include "tests/simulation/randomness.h"

#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/rand.h>

#include <utility>

#include "common/base/status.h"

namespace consilium {
namespace {

thread_local SeededRandom* current = nullptr;

int FillForOpenSsl(unsigned char* out, int size) {
  CONSILIUM_CHECK(current != nullptr && size >= 0);
  current->Fill({out, static_cast<std::size_t>(size)});
  return 1;
}
int Seed(const void*, int) { return 1; }
int Add(const void*, int, double) { return 1; }
int Status() { return 1; }

}  // namespace

void SystemRandom::Fill(std::span<std::uint8_t> out) {
  CONSILIUM_CHECK(current != nullptr);
  current->Fill(out);
}

namespace simulation {

UseRandomness::UseRandomness(std::uint64_t seed)
    : random_(seed, "system random"), before_(std::exchange(current, &random_)) {
  static const RAND_METHOD method = {Seed, FillForOpenSsl, nullptr, Add, FillForOpenSsl, Status};
  static const bool installed = RAND_set_rand_method(&method) == 1;
  CONSILIUM_CHECK(installed);
}

UseRandomness::~UseRandomness() { current = before_; }

}  // namespace simulation
}  // namespace consilium
