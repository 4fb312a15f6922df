#include "common/crypto/scrypt.h"

#include <array>
#include <bit>

#include "common/base/status.h"
#include "common/crypto/openssl.h"

namespace consilium::crypto {
namespace {
constexpr std::uint64_t kMostMemory = std::uint64_t{1} << 30;
}  // namespace

absl::StatusOr<Secret> Scrypt(ByteView passphrase, ByteView salt, const ScryptCost& cost,
                              std::size_t size) {
  const bool good = std::has_single_bit(cost.n) && cost.n > 1 && cost.r > 0 && cost.p > 0 &&
                    cost.n <= kMostMemory && cost.r <= 1024 && cost.p <= 1024 &&
                    128 * cost.n * cost.r <= kMostMemory && size > 0;
  if (!good) {
    return absl::InvalidArgumentError(StrCat("scrypt does not run with n = ", cost.n, ", r = ",
                                             cost.r, ", p = ", cost.p, " for ", size, " bytes"));
  }
  std::uint64_t n = cost.n, most_memory = 2 * kMostMemory;
  std::uint32_t r = cost.r, p = cost.p;
  // OpenSSL takes no null pointer for an empty passphrase or salt.
  std::uint8_t nothing = 0;
  const auto octets = [&nothing](const char* name, ByteView bytes) {
    return OSSL_PARAM_construct_octet_string(
        name, bytes.empty() ? &nothing : const_cast<std::uint8_t*>(bytes.data()), bytes.size());
  };
  const std::array<OSSL_PARAM, 7> parameters = {
      octets("pass", passphrase),
      octets("salt", salt),
      OSSL_PARAM_construct_uint64("n", &n),
      OSSL_PARAM_construct_uint32("r", &r),
      OSSL_PARAM_construct_uint32("p", &p),
      OSSL_PARAM_construct_uint64("maxmem_bytes", &most_memory),
      OSSL_PARAM_construct_end()};
  const OwnedKdf scrypt(EVP_KDF_fetch(nullptr, "SCRYPT", nullptr));
  const OwnedKdfContext context(scrypt != nullptr ? EVP_KDF_CTX_new(scrypt.get()) : nullptr);
  Secret out(size);
  if (context == nullptr ||
      EVP_KDF_derive(context.get(), out.RevealForWriting().data(), size, parameters.data()) != 1) {
    return OpenSslError("derive a key with scrypt");
  }
  return out;
}

}  // namespace consilium::crypto
