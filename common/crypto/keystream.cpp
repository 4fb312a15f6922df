#include "common/crypto/keystream.h"

#include <algorithm>
#include <array>
#include <limits>

#include "common/base/status.h"
#include "common/crypto/openssl.h"

namespace consilium::crypto {
namespace {

constexpr std::size_t kKeyBytes = 32;
constexpr std::size_t kBlockBytes = 16;

// What is encrypted: CTR mode adds its keystream to the plaintext (XOR), so that zeros show it.
// Small enough to stay in the first-level cache.
constexpr std::array<std::uint8_t, 16 * 1024> kZeros{};

using Block = std::array<std::uint8_t, kBlockBytes>;

Block CounterBlock(std::uint64_t index) {
  Block block{};
  for (std::size_t i = 0; i < sizeof index; ++i) {
    block[kBlockBytes - 1 - i] = static_cast<std::uint8_t>(index >> (8 * i));
  }
  return block;
}

}  // namespace

struct Keystream::Impl {
  OwnedCipherContext cipher;
  std::uint64_t position = 0;  // the offset of the next byte that the context gives
  bool positioned = false;     // not after a failure

  bool Seek(std::uint64_t offset) {
    if (EVP_EncryptInit_ex(cipher.get(), nullptr, nullptr, nullptr,
                           CounterBlock(offset / kBlockBytes).data()) != 1) {
      return false;
    }
    Block before;
    return Next(std::span(before).first(offset % kBlockBytes));
  }

  bool Next(std::span<std::uint8_t> out) {
    while (!out.empty()) {
      const std::size_t count = std::min(out.size(), kZeros.size());
      int written = 0;
      if (EVP_EncryptUpdate(cipher.get(), out.data(), &written, kZeros.data(),
                            static_cast<int>(count)) != 1 ||
          written != static_cast<int>(count)) {
        return false;
      }
      out = out.subspan(count);
    }
    return true;
  }
};

Keystream::Keystream(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Keystream::Keystream(Keystream&&) noexcept = default;
Keystream& Keystream::operator=(Keystream&&) noexcept = default;
Keystream::~Keystream() = default;

absl::StatusOr<Keystream> Keystream::Create(const Secret& key) {
  if (key.size() != kKeyBytes) {
    return absl::InvalidArgumentError(
        StrCat("a keystream's key has ", kKeyBytes, " bytes, this one ", key.size()));
  }
  auto impl = std::make_unique<Impl>();
  impl->cipher.reset(EVP_CIPHER_CTX_new());
  if (impl->cipher == nullptr ||
      EVP_EncryptInit_ex(impl->cipher.get(), EVP_aes_256_ctr(), nullptr, key.Reveal().data(),
                         CounterBlock(0).data()) != 1) {
    return OpenSslError("set up AES-256-CTR");
  }
  impl->positioned = true;
  return Keystream(std::move(impl));
}

absl::Status Keystream::Generate(std::uint64_t offset, std::span<std::uint8_t> out) {
  CONSILIUM_CHECK(out.size() <= std::numeric_limits<std::uint64_t>::max() - offset);
  const bool there = impl_->positioned && impl_->position == offset;
  impl_->positioned = false;
  if ((!there && !impl_->Seek(offset)) || !impl_->Next(out)) {
    return OpenSslError("make the keystream of AES-256-CTR");
  }
  impl_->position = offset + out.size();
  impl_->positioned = true;
  return absl::OkStatus();
}

}  // namespace consilium::crypto
