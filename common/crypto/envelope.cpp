#include "common/crypto/envelope.h"

#include <algorithm>
#include <array>

#include "common/base/status.h"
#include "common/crypto/openssl.h"
#include "common/crypto/sha256.h"

namespace consilium::crypto {

namespace {

constexpr std::size_t kNonceBytes = 12;
using Nonce = std::array<std::uint8_t, kNonceBytes>;

Nonce MakeNonce(std::uint32_t index, bool last) {
  Nonce nonce{};
  for (int i = 0; i < 4; ++i) nonce[7 + i] = static_cast<std::uint8_t>(index >> (24 - 8 * i));
  nonce[11] = last ? 1 : 0;
  return nonce;
}

// `own` is the ephemeral pair when sealing and the recipient's when opening; `peer` is the other's
// public key.
absl::StatusOr<Secret> EnvelopeKey(const X25519KeyPair& own, const X25519PublicKey& peer,
                                   const X25519PublicKey& ephemeral,
                                   const X25519PublicKey& recipient, ByteView context) {
  ASSIGN_OR_RETURN(const Secret shared, X25519(own.private_key, peer));
  const ByteView label = AsBytes("consilium envelope");
  Bytes info(label.begin(), label.end());
  info.insert(info.end(), ephemeral.begin(), ephemeral.end());
  info.insert(info.end(), recipient.begin(), recipient.end());
  return Hkdf(shared.Reveal(), Sha256(context).bytes, info, 32);
}

// A context with the key in it: each segment then only sets its nonce.
absl::StatusOr<OwnedCipherContext> KeyedCipher(const Secret& key, bool seal) {
  OwnedCipherContext cipher(EVP_CIPHER_CTX_new());
  if (cipher == nullptr || EVP_CipherInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr,
                                             key.Reveal().data(), nullptr, seal ? 1 : 0) != 1) {
    return OpenSslError("set up AES-256-GCM");
  }
  return cipher;
}

bool IsSegmentSize(std::size_t bytes, bool last) {
  return last ? bytes >= 1 && bytes <= kSegmentBytes : bytes == kSegmentBytes;
}

}  // namespace

std::uint32_t SegmentCount(std::uint64_t plaintext) {
  CONSILIUM_CHECK(plaintext >= 1 && plaintext <= kMaxPlaintextBytes);
  return static_cast<std::uint32_t>((plaintext + kSegmentBytes - 1) / kSegmentBytes);
}

std::uint64_t EnvelopeSize(std::uint64_t plaintext) {
  return kEnvelopeHeaderBytes + plaintext + std::uint64_t{SegmentCount(plaintext)} * kTagBytes;
}

std::uint64_t SegmentOffset(std::uint32_t index) {
  return kEnvelopeHeaderBytes + std::uint64_t{index} * (kSegmentBytes + kTagBytes);
}

struct EnvelopeSealer::Impl {
  X25519PublicKey header{};
  OwnedCipherContext cipher;
  std::uint32_t next_index = 0;
  bool finished = false;

  bool Encrypt(const Nonce& nonce, ByteView plaintext, std::span<std::uint8_t> out) {
    const int size = static_cast<int>(plaintext.size());
    int written = 0, rest = 0;
    return EVP_EncryptInit_ex(cipher.get(), nullptr, nullptr, nullptr, nonce.data()) == 1 &&
           EVP_EncryptUpdate(cipher.get(), out.data(), &written, plaintext.data(), size) == 1 &&
           written == size && EVP_EncryptFinal_ex(cipher.get(), out.data() + size, &rest) == 1 &&
           rest == 0 &&
           EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_AEAD_GET_TAG, kTagBytes, out.data() + size) ==
               1;
  }
};

EnvelopeSealer::EnvelopeSealer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
EnvelopeSealer::EnvelopeSealer(EnvelopeSealer&&) noexcept = default;
EnvelopeSealer& EnvelopeSealer::operator=(EnvelopeSealer&&) noexcept = default;
EnvelopeSealer::~EnvelopeSealer() = default;

absl::StatusOr<EnvelopeSealer> EnvelopeSealer::Create(const X25519PublicKey& recipient,
                                                      ByteView context) {
  ASSIGN_OR_RETURN(const X25519KeyPair ephemeral, X25519KeyPair::Generate());
  return CreateWithEphemeralForTest(ephemeral, recipient, context);
}

absl::StatusOr<EnvelopeSealer> EnvelopeSealer::CreateWithEphemeralForTest(
    const X25519KeyPair& ephemeral, const X25519PublicKey& recipient, ByteView context) {
  ASSIGN_OR_RETURN(const Secret key,
                   EnvelopeKey(ephemeral, recipient, ephemeral.public_key, recipient, context));
  auto impl = std::make_unique<Impl>();
  impl->header = ephemeral.public_key;
  ASSIGN_OR_RETURN(impl->cipher, KeyedCipher(key, /*seal=*/true));
  return EnvelopeSealer(std::move(impl));
}

const X25519PublicKey& EnvelopeSealer::header() const { return impl_->header; }

absl::Status EnvelopeSealer::SealNext(ByteView plaintext, bool last, std::span<std::uint8_t> out) {
  if (impl_->finished) {
    return absl::FailedPreconditionError("the envelope has its last segment already");
  }
  if (!IsSegmentSize(plaintext.size(), last)) {
    return absl::InvalidArgumentError(
        StrCat(last ? "the last segment holds 1 to " : "a segment that is not the last holds ",
               kSegmentBytes, " bytes, this one ", plaintext.size()));
  }
  if (out.size() != plaintext.size() + kTagBytes) {
    return absl::InvalidArgumentError(StrCat("sealing ", plaintext.size(), " bytes gives ",
                                             plaintext.size() + kTagBytes,
                                             ", the output has room for ", out.size()));
  }
  if (!last && impl_->next_index == kMaxSegments - 1) {
    return absl::OutOfRangeError(
        StrCat("an envelope has at most ", kMaxSegments, " segments: this must be the last"));
  }
  // A nonce is never used twice, also after a failure: an error below finishes the envelope.
  impl_->finished = true;
  if (!impl_->Encrypt(MakeNonce(impl_->next_index, last), plaintext, out)) {
    return OpenSslError("seal a segment");
  }
  ++impl_->next_index;
  impl_->finished = last;
  return absl::OkStatus();
}

struct EnvelopeOpener::Impl {
  OwnedCipherContext cipher;

  bool Decrypt(const Nonce& nonce, ByteView sealed, std::span<std::uint8_t> out) {
    const int size = static_cast<int>(out.size());
    std::array<std::uint8_t, kTagBytes> tag;
    std::copy(sealed.end() - kTagBytes, sealed.end(), tag.begin());
    int written = 0, rest = 0;
    return EVP_DecryptInit_ex(cipher.get(), nullptr, nullptr, nullptr, nonce.data()) == 1 &&
           EVP_DecryptUpdate(cipher.get(), out.data(), &written, sealed.data(), size) == 1 &&
           written == size &&
           EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_AEAD_SET_TAG, kTagBytes, tag.data()) == 1 &&
           EVP_DecryptFinal_ex(cipher.get(), out.data() + size, &rest) == 1 && rest == 0;
  }
};

EnvelopeOpener::EnvelopeOpener(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
EnvelopeOpener::EnvelopeOpener(EnvelopeOpener&&) noexcept = default;
EnvelopeOpener& EnvelopeOpener::operator=(EnvelopeOpener&&) noexcept = default;
EnvelopeOpener::~EnvelopeOpener() = default;

absl::StatusOr<EnvelopeOpener> EnvelopeOpener::Create(const X25519KeyPair& recipient,
                                                      const X25519PublicKey& header,
                                                      ByteView context) {
  ASSIGN_OR_RETURN(const Secret key,
                   EnvelopeKey(recipient, header, header, recipient.public_key, context));
  auto impl = std::make_unique<Impl>();
  ASSIGN_OR_RETURN(impl->cipher, KeyedCipher(key, /*seal=*/false));
  return EnvelopeOpener(std::move(impl));
}

absl::Status EnvelopeOpener::Open(std::uint32_t index, bool last, ByteView sealed,
                                  std::span<std::uint8_t> out) {
  const bool right_size = index < kMaxSegments && sealed.size() > kTagBytes &&
                          IsSegmentSize(sealed.size() - kTagBytes, last);
  if (right_size && out.size() != sealed.size() - kTagBytes) {
    return absl::InvalidArgumentError(StrCat("opening ", sealed.size(), " bytes gives ",
                                             sealed.size() - kTagBytes,
                                             ", the output has room for ", out.size()));
  }
  if (!right_size || !impl_->Decrypt(MakeNonce(index, last), sealed, out)) {
    ERR_clear_error();
    // GCM writes the text before it knows that it is false.
    std::fill(out.begin(), out.end(), std::uint8_t{0});
    return absl::UnauthenticatedError(
        StrCat("segment ", index, last ? " (the last)" : "",
               " of the sealed envelope was changed, or was sealed for another key, context or "
               "place: send the envelope again"));
  }
  return absl::OkStatus();
}

}  // namespace consilium::crypto
