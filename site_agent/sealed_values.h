#pragma once

// Values on the site's own disk that nobody else may read: what a training gave (trained_update.h),
// what its optimizer remembers (optimizer_memory.h).
//
//   file    := salt (32)  segment*
//   key     := HKDF-SHA256(the site's state key, salt, the file's purpose), 32 bytes
//   segment := AES-256-GCM(key, nonce, plaintext) | tag (16); associated data: the file's binding
//   nonce   := 0^7 | segment's index from 0 (u32 big-endian) | last (u8: 1 for the last, else 0)
//   plaintext: float32 little-endian, crypto::kSegmentBytes a segment
//
// Claim: without the state key the file shows nothing but its size; a changed, cut or exchanged one
// does not open.

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/file.h"
#include "common/base/random.h"
#include "common/crypto/secret.h"

namespace consilium::site_agent {

struct ValuesSeal {
  const crypto::Secret& state_key;
  std::string_view purpose;  // names the format and its version
  Bytes binding;             // what the values are of: the reader must say the same
};

// Fills a piece of the values, `first` being the index of its first one.
using FillValues = std::function<absl::Status(std::size_t first, std::span<float> piece)>;

// Writes `count` values, durably, over what was there; in pieces, so that no copy of all of them is
// made. An error of `fill` is returned. On every error no new file is left.
absl::Status WriteSealedValues(const fs::path& path, const ValuesSeal& seal, std::size_t count,
                               const FillValues& fill, RandomSource& random);

// How many values such a file has by its size; kNotFound: there is none; kDataLoss: no file of this
// format has that size.
absl::StatusOr<std::size_t> CountSealedValues(const fs::path& path);

// All of them. kNotFound: the file is gone; kDataLoss: it is not what was written, or not `count`
// values, before memory of that size is asked for.
absl::StatusOr<std::vector<float>> ReadSealedValues(const fs::path& path, const ValuesSeal& seal,
                                                    std::size_t count);

}  // namespace consilium::site_agent
