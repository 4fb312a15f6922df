#pragma once

// What fuzz targets share. A target is one file NAME_fuzz.cpp with LLVMFuzzerTestOneInput:
// libFuzzer links one each, fuzz_replay_test all of them (README.md). A broken property ends the
// process, so that libFuzzer keeps the input.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/bytes.h"
#include "common/base/file.h"
#include "common/base/text.h"

namespace consilium::fuzz {

// What a parser may ask for at once for an input of this size, unless its target states another
// bound: objects are larger than their text, by a factor, and never by a length field's word.
constexpr std::size_t JustifiedBy(std::size_t input_bytes) { return 16 * input_bytes + (64 << 10); }

// While it lives, an allocation on its thread above `bytes` ends the process. Under a sanitizer
// every malloc counts, else operator new. An inner one replaces the outer while it lives.
class AllocationLimit {
 public:
  explicit AllocationLimit(std::size_t bytes);
  ~AllocationLimit();
  AllocationLimit(const AllocationLimit&) = delete;
  AllocationLimit& operator=(const AllocationLimit&) = delete;

 private:
  const std::size_t outer_;
};
// The largest so far under any limit; printed as "largest allocation: N" when the process exits.
std::size_t LargestAllocation();

[[noreturn]] void Broken(const char* file, int line, const char* property);

// Takes an input apart, for targets that need more than one piece. Past the end all is zero or
// empty.
class Cursor {
 public:
  explicit Cursor(ByteView rest) : rest_(rest) {}
  std::uint8_t Byte();
  std::uint32_t Number32();  // little-endian
  std::uint64_t Number64();
  ByteView Take(std::size_t count);  // or what is left
  ByteView Rest() { return Take(rest_.size()); }
  bool AtEnd() const { return rest_.empty(); }

 private:
  std::uint64_t Number(int bytes);
  ByteView rest_;
};

inline bool Contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

inline ByteView Input(const std::uint8_t* data, std::size_t size) { return {data, size}; }

// A folder in memory where there is one, for parsers that take a path; gone when the process exits.
const fs::path& ScratchFolder();
// Writes a file of it (0600), without syncing.
fs::path Scratch(std::string_view name, ByteView content);

// Keys that are the same in every run: SHA-256 of the name is the private key.
Bytes PrivateKeyOf(std::string_view name);

}  // namespace consilium::fuzz

// What must hold whatever the input.
#define FUZZ_EXPECT(property) \
  ((property) ? void() : consilium::fuzz::Broken(__FILE__, __LINE__, #property))
