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

template <class Number>
void AddTo(Number* __restrict sum, const Number* __restrict piece, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) sum[i] += piece[i];
}

// Keystreams are made and added a few at once, each so short that all stay in the first-level
// cache with the piece that they are added to.
constexpr std::size_t kAtOnce = 4;
constexpr std::size_t kMaskBytes = 4096;

template <class Number>
struct Group {
  static constexpr std::size_t kNumbers = kMaskBytes / sizeof(Number);
  alignas(64) std::array<std::array<Number, kNumbers>, kAtOnce> masks;

  std::span<std::uint8_t> Bytes(std::size_t mask, std::size_t numbers) {
    return {reinterpret_cast<std::uint8_t*>(masks[mask].data()), numbers * sizeof(Number)};
  }
  ~Group() { crypto::Cleanse({reinterpret_cast<std::uint8_t*>(masks.data()), sizeof masks}); }
};

// Compiled for AVX2 too, and chosen when the program starts. ThreadSanitizer cannot have that
// choice made before it is ready itself.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_THREAD__)
#define CONSILIUM_WITH_AVX2 __attribute__((target_clones("avx2", "default")))
#else
#define CONSILIUM_WITH_AVX2
#endif

template <std::size_t kMasks, bool kNegative, class Number>
CONSILIUM_WITH_AVX2 void AddMasks(const Group<Number>& group, Number* __restrict piece,
                                  std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    Number sum = group.masks[0][i];
    for (std::size_t mask = 1; mask < kMasks; ++mask) sum += group.masks[mask][i];
    piece[i] += kNegative ? -sum : sum;
  }
}

// The first `masks` of the group, which all have the same sign.
template <class Number>
void AddMasks(const Group<Number>& group, std::size_t masks, bool negative, Number* piece,
              std::size_t n) {
  using Function = void (*)(const Group<Number>&, Number* __restrict, std::size_t);
  constexpr Function kFunctions[2][kAtOnce] = {
      {AddMasks<1, false>, AddMasks<2, false>, AddMasks<3, false>, AddMasks<4, false>},
      {AddMasks<1, true>, AddMasks<2, true>, AddMasks<3, true>, AddMasks<4, true>}};
  kFunctions[negative][masks - 1](group, piece, n);
}

// Adds the streams' numbers from byte `offset` on.
template <class Number, class Stream>
absl::Status AddStreams(std::vector<Stream>& streams, std::uint64_t offset,
                        std::span<Number> piece) {
  Group<Number> group;
  while (!piece.empty()) {
    const std::size_t n = std::min(piece.size(), group.kNumbers);
    std::size_t masks = 0;
    for (std::size_t i = 0; i < streams.size(); ++i) {
      Stream& stream = streams[i];
      RETURN_IF_ERROR(stream.keystream.Generate(offset, group.Bytes(masks++, n)));
      const bool last = i + 1 == streams.size() || streams[i + 1].negative != stream.negative;
      if (masks < kAtOnce && !last) continue;
      AddMasks(group, std::exchange(masks, 0), stream.negative, piece.data(), n);
    }
    offset += n * sizeof(Number);
    piece = piece.subspan(n);
  }
  return absl::OkStatus();
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
  std::stable_partition(streams.begin(), streams.end(),
                        [](const Stream& stream) { return !stream.negative; });
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
  std::uint32_t* __restrict to = sum.data();
  for (std::size_t i = 0; i < piece.size(); ++i) to[i] -= piece[i];
}

}  // namespace consilium::secagg
