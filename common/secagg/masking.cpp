#include "common/secagg/masking.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "common/base/status.h"

namespace consilium::secagg {
namespace {

static_assert(std::endian::native == std::endian::little,
              "masks are little-endian numbers, used as they lie in memory");

// Keystream that is made and added at once: it stays in the first-level cache.
constexpr std::size_t kBufferBytes = 16 * 1024;

template <class Number>
void AddTo(Number* __restrict sum, const Number* __restrict piece, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) sum[i] += piece[i];
}

template <class Number>
void SubtractFrom(Number* __restrict sum, const Number* __restrict piece, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) sum[i] -= piece[i];
}

// Adds the streams' numbers from byte `offset` on.
template <class Number, class Streams>
absl::Status AddStreams(Streams& streams, std::uint64_t offset, std::span<Number> piece) {
  alignas(64) std::array<Number, kBufferBytes / sizeof(Number)> mask;
  const std::span<std::uint8_t> bytes(reinterpret_cast<std::uint8_t*>(mask.data()), kBufferBytes);
  absl::Status status;
  while (status.ok() && !piece.empty()) {
    const std::size_t n = std::min(piece.size(), mask.size());
    for (auto& [keystream, negative] : streams) {
      status = keystream.Generate(offset, bytes.first(n * sizeof(Number)));
      if (!status.ok()) break;
      negative ? SubtractFrom(piece.data(), mask.data(), n) : AddTo(piece.data(), mask.data(), n);
    }
    offset += n * sizeof(Number);
    piece = piece.subspan(n);
  }
  crypto::Cleanse(bytes);
  return status;
}

}  // namespace

Mask Mask::Negated() const { return {crypto::Secret::CopyOf(key.Reveal()), !negative}; }

Masker::Masker(std::vector<Stream> streams, std::uint64_t values)
    : streams_(std::move(streams)), values_(values) {}

absl::StatusOr<Masker> Masker::Create(std::span<const Mask> masks, std::uint64_t values) {
  std::vector<Stream> streams;
  streams.reserve(masks.size());
  for (const Mask& mask : masks) {
    ASSIGN_OR_RETURN(crypto::Keystream keystream, crypto::Keystream::Create(mask.key));
    streams.push_back({std::move(keystream), mask.negative});
  }
  return Masker(std::move(streams), values);
}

absl::Status Masker::AddToValues(std::uint64_t first, std::span<std::uint32_t> piece) {
  CONSILIUM_CHECK(first <= values_ && piece.size() <= values_ - first);
  return AddStreams(streams_, first * sizeof(std::uint32_t), piece);
}

absl::Status Masker::AddToSums(std::uint64_t first, std::span<std::uint64_t> piece) {
  return AddStreams(streams_, values_ * sizeof(std::uint32_t) + first * sizeof(std::uint64_t),
                    piece);
}

void Add(std::span<std::uint32_t> sum, std::span<const std::uint32_t> piece) {
  CONSILIUM_CHECK(sum.size() == piece.size());
  AddTo(sum.data(), piece.data(), piece.size());
}

void Add(std::span<std::uint64_t> sum, std::span<const std::uint64_t> piece) {
  CONSILIUM_CHECK(sum.size() == piece.size());
  AddTo(sum.data(), piece.data(), piece.size());
}

void Subtract(std::span<std::uint32_t> sum, std::span<const std::uint32_t> piece) {
  CONSILIUM_CHECK(sum.size() == piece.size());
  SubtractFrom(sum.data(), piece.data(), piece.size());
}

}  // namespace consilium::secagg
