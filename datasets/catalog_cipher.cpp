#include "datasets/catalog_cipher.h"

#include <algorithm>

#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/aead.h"
#include "common/crypto/keys.h"

namespace consilium::datasets {
namespace {

constexpr std::string_view kKeyPurpose = "consilium catalog sealing key 1";

}  // namespace

absl::StatusOr<CatalogCipher> CatalogCipher::Create(const crypto::Secret& site_key) {
  ASSIGN_OR_RETURN(crypto::Secret key,
                   crypto::Hkdf(site_key.Reveal(), {}, AsBytes(kKeyPurpose), 32));
  return CatalogCipher(std::move(key));
}

absl::StatusOr<Bytes> CatalogCipher::Seal(std::string_view purpose, std::string_view text) const {
  crypto::AeadNonce nonce;
  SystemRandom().Fill(nonce);
  ASSIGN_OR_RETURN(const Bytes sealed,
                   crypto::SealOnce(key_, nonce, AsBytes(purpose), AsBytes(text)));
  Bytes out(nonce.begin(), nonce.end());
  out.insert(out.end(), sealed.begin(), sealed.end());
  return out;
}

absl::StatusOr<std::string> CatalogCipher::Open(std::string_view purpose, ByteView sealed) const {
  crypto::AeadNonce nonce;
  const bool whole = sealed.size() >= nonce.size() + crypto::kAeadTagBytes;
  if (whole) {
    std::copy_n(sealed.begin(), nonce.size(), nonce.begin());
    const auto text = crypto::OpenOnce(key_, nonce, AsBytes(purpose), sealed.subspan(nonce.size()));
    if (text.ok()) return std::string(AsText(text->Reveal()));
  }
  return absl::DataLossError(
      StrCat("the catalog's ", purpose, " is damaged; remove the catalog and index again"));
}

}  // namespace consilium::datasets
