#pragma once

// A sealed envelope to an X25519 key, in segments, so that it can be made, sent, resumed and opened
// piece by piece with constant memory. After HPKE's (RFC 9180) base mode in spirit and the STREAM
// construction (Hoang, Reyhanitabar, Rogaway, Vizar 2015) for the segments:
//
//   envelope := ephemeral public key (32)  segment*
//   key      := HKDF-SHA256(X25519(ephemeral, recipient), salt = SHA-256(context),
//                           info = "consilium envelope" | ephemeral | recipient), 32 bytes
//   segment  := AES-256-GCM(key, nonce, plaintext) | tag (16); no associated data
//   nonce    := 0^7 | segment's index from 0 (u32 big-endian) | last (u8: 1 for the last, else 0)
//   plaintext: 1 to kSegmentBytes bytes
//
// All segments but the last hold exactly kSegmentBytes; there are at most 2^32 - 1. The context
// (who, which attempt, which base model, what size) is bound to every segment through the key: an
// envelope made for another context does not open.
//
// Claim: without the recipient's private key an envelope reveals nothing but its size; a changed,
// reordered, dropped, repeated or truncated segment is refused. The opener takes segments in any
// order, so that the caller answers for having opened each index of SegmentCount(plaintext) and for
// the size, which the context names. The sender is not proved (mutual TLS does that).

#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/crypto/keys.h"

namespace consilium::crypto {

inline constexpr std::size_t kSegmentBytes = 256 * 1024;
inline constexpr std::size_t kTagBytes = 16;
inline constexpr std::size_t kEnvelopeHeaderBytes = 32;
inline constexpr std::uint32_t kMaxSegments = 0xffffffffu;
inline constexpr std::uint64_t kMaxPlaintextBytes = std::uint64_t{kMaxSegments} * kSegmentBytes;

// Size of the envelope of `plaintext` bytes, and the segments it has. Another size than 1 to
// kMaxPlaintextBytes is a bug of the caller's and ends the process: check what a peer claims first.
std::uint64_t EnvelopeSize(std::uint64_t plaintext);
std::uint32_t SegmentCount(std::uint64_t plaintext);
// Where segment `index` begins in the envelope.
std::uint64_t SegmentOffset(std::uint32_t index);

// Seals with a fresh ephemeral key. Not thread-safe.
class EnvelopeSealer {
 public:
  static absl::StatusOr<EnvelopeSealer> Create(const X25519PublicKey& recipient, ByteView context);
  // For known answers. A second envelope with the same ephemeral key, recipient and context breaks
  // the secrecy of both.
  static absl::StatusOr<EnvelopeSealer> CreateWithEphemeralForTest(const X25519KeyPair& ephemeral,
                                                                   const X25519PublicKey& recipient,
                                                                   ByteView context);
  EnvelopeSealer(EnvelopeSealer&&) noexcept;
  EnvelopeSealer& operator=(EnvelopeSealer&&) noexcept;
  ~EnvelopeSealer();
  const X25519PublicKey& header() const;
  // Seals the next segment; `out` has plaintext.size() + kTagBytes and may begin where `plaintext`
  // does, but not overlap it otherwise. `last` exactly once, at the end. kInvalidArgument for a
  // wrong size (nothing is used up); kFailedPrecondition after the last segment or an OpenSSL
  // failure.
  absl::Status SealNext(ByteView plaintext, bool last, std::span<std::uint8_t> out);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  explicit EnvelopeSealer(std::unique_ptr<Impl> impl);
};

// Opens segments in any order. Not thread-safe.
class EnvelopeOpener {
 public:
  // kInvalidArgument when `header` is a key of low order.
  static absl::StatusOr<EnvelopeOpener> Create(const X25519KeyPair& recipient,
                                               const X25519PublicKey& header, ByteView context);
  EnvelopeOpener(EnvelopeOpener&&) noexcept;
  EnvelopeOpener& operator=(EnvelopeOpener&&) noexcept;
  ~EnvelopeOpener();
  // `out` has sealed.size() - kTagBytes. kUnauthenticated when the segment was changed or is
  // another one.
  absl::Status Open(std::uint32_t index, bool last, ByteView sealed, std::span<std::uint8_t> out);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  explicit EnvelopeOpener(std::unique_ptr<Impl> impl);
};

}  // namespace consilium::crypto
