#pragma once

// The masks: AES-256-CTR keystreams, added to a vector (mod 2^32 for values, mod 2^64 for the sums
// beside them).
//
// A mask's keystream runs over the vector's bytes: value i takes the four bytes from 4i, sum j the
// eight bytes from 4 values + 8j, little-endian; the counter is the byte offset / 16, so that masks
// can be made from any offset.

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "common/crypto/keystream.h"
#include "common/crypto/secret.h"

namespace consilium::secagg {

struct Mask {
  crypto::Secret key;  // 32 bytes
  bool negative = false;
  Mask Negated() const;  // a copy with the other sign
};

// Adds all of a set of masks to pieces of a vector, one after another or not. Not thread-safe: one
// an thread.
class Masker {
 public:
  // `values`: d, where the sums begin.
  static absl::StatusOr<Masker> Create(std::span<const Mask> masks, std::uint64_t values);
  // piece[i] is value first + i.
  absl::Status AddToValues(std::uint64_t first, std::span<std::uint32_t> piece);
  // piece[j] is sum first + j.
  absl::Status AddToSums(std::uint64_t first, std::span<std::uint64_t> piece);

 private:
  struct Stream {
    crypto::Keystream keystream;
    bool negative;
  };
  Masker(std::vector<Stream> streams, std::uint64_t values);
  std::vector<Stream> streams_;
  std::uint64_t values_;
};

// sum[i] += piece[i] mod 2^32, 2^64.
void Add(std::span<std::uint32_t> sum, std::span<const std::uint32_t> piece);
void Add(std::span<std::uint64_t> sum, std::span<const std::uint64_t> piece);
void Subtract(std::span<std::uint32_t> sum, std::span<const std::uint32_t> piece);

}  // namespace consilium::secagg
