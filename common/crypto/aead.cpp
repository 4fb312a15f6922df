#include "common/crypto/aead.h"

#include <algorithm>
#include <limits>

#include "common/base/status.h"
#include "common/crypto/openssl.h"

namespace consilium::crypto {

namespace {

constexpr std::size_t kKeyBytes = 32;
constexpr std::size_t kMostBytes = std::numeric_limits<int>::max();

absl::Status CheckSizes(const Secret& key, ByteView associated_data, std::size_t message) {
  if (key.size() != kKeyBytes) {
    return absl::InvalidArgumentError(
        StrCat("an AES-256-GCM key has 32 bytes, this one ", key.size()));
  }
  if (associated_data.size() > kMostBytes || message > kMostBytes) {
    return absl::InvalidArgumentError(
        StrCat("a message to seal at once, or its associated data, has more than ", kMostBytes,
               " bytes: use an envelope"));
  }
  return absl::OkStatus();
}

absl::StatusOr<OwnedCipherContext> Cipher(const Secret& key, const AeadNonce& nonce,
                                          ByteView associated_data, bool seal) {
  OwnedCipherContext cipher(EVP_CIPHER_CTX_new());
  int written = 0;
  if (cipher == nullptr ||
      EVP_CipherInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, key.Reveal().data(), nonce.data(),
                        seal ? 1 : 0) != 1 ||
      (!associated_data.empty() &&
       EVP_CipherUpdate(cipher.get(), nullptr, &written, associated_data.data(),
                        static_cast<int>(associated_data.size())) != 1)) {
    return OpenSslError("set up AES-256-GCM");
  }
  return cipher;
}

// From `in` to `out` of the same size, and the end of the message: with GCM the end gives no bytes,
// and when opening it says whether the tag is right.
bool Run(EVP_CIPHER_CTX* cipher, ByteView in, std::uint8_t* out) {
  int written = 0, rest = 0;
  const int size = static_cast<int>(in.size());
  std::uint8_t nothing[kAeadTagBytes];
  return (in.empty() ||
          (EVP_CipherUpdate(cipher, out, &written, in.data(), size) == 1 && written == size)) &&
         EVP_CipherFinal_ex(cipher, in.empty() ? nothing : out + size, &rest) == 1 && rest == 0;
}

}  // namespace

absl::StatusOr<Bytes> SealOnce(const Secret& key, const AeadNonce& nonce, ByteView associated_data,
                               ByteView message) {
  RETURN_IF_ERROR(CheckSizes(key, associated_data, message.size()));
  ASSIGN_OR_RETURN(const OwnedCipherContext cipher,
                   Cipher(key, nonce, associated_data, /*seal=*/true));
  Bytes sealed(message.size() + kAeadTagBytes);
  if (!Run(cipher.get(), message, sealed.data()) ||
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_AEAD_GET_TAG, kAeadTagBytes,
                          sealed.data() + message.size()) != 1) {
    return OpenSslError("seal a message with AES-256-GCM");
  }
  return sealed;
}

absl::StatusOr<Secret> OpenOnce(const Secret& key, const AeadNonce& nonce, ByteView associated_data,
                                ByteView sealed) {
  RETURN_IF_ERROR(CheckSizes(key, associated_data, sealed.size()));
  if (sealed.size() < kAeadTagBytes) {
    return absl::UnauthenticatedError(StrCat("a sealed message has at least the ", kAeadTagBytes,
                                             " bytes of its tag, this one ", sealed.size()));
  }
  ASSIGN_OR_RETURN(const OwnedCipherContext cipher,
                   Cipher(key, nonce, associated_data, /*seal=*/false));
  const ByteView ciphertext = sealed.first(sealed.size() - kAeadTagBytes);
  std::array<std::uint8_t, kAeadTagBytes> tag;
  std::copy(sealed.end() - kAeadTagBytes, sealed.end(), tag.begin());
  if (EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_AEAD_SET_TAG, kAeadTagBytes, tag.data()) != 1) {
    return OpenSslError("set the tag of AES-256-GCM");
  }
  Secret message(ciphertext.size());  // cleansed when the tag is wrong
  if (!Run(cipher.get(), ciphertext, message.RevealForWriting().data())) {
    ERR_clear_error();
    return absl::UnauthenticatedError(
        "the sealed message or its associated data was changed, or was sealed with another key");
  }
  return message;
}

}  // namespace consilium::crypto
