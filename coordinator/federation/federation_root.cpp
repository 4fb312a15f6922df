#include "coordinator/federation/federation_root.h"

#include <algorithm>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "common/base/status.h"
#include "common/crypto/key_folder.h"

namespace consilium::federation {
namespace {

constexpr char kKey[] = "root.key";
constexpr char kKind[] = "ed25519";
constexpr std::string_view kPrefix = "roster-", kSuffix = ".json";
constexpr std::uint64_t kMaxRosterBytes = 4 << 20;

std::string FileNameOf(std::uint64_t version) {
  return absl::StrFormat("roster-%06d.json", version);
}

std::optional<std::uint64_t> VersionIn(const std::string& name) {
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return std::nullopt;
  std::uint64_t version = 0;
  const std::string digits =
      name.substr(kPrefix.size(), name.size() - kPrefix.size() - kSuffix.size());
  if (!absl::SimpleAtoi(digits, &version) || FileNameOf(version) != name) return std::nullopt;
  return version;
}

}  // namespace

absl::StatusOr<FederationRoot> FederationRoot::Create(const fs::path& folder,
                                                      const crypto::Passphrase& passphrase) {
  std::error_code error;
  if (fs::exists(folder / kKey, error) || fs::exists(folder / "root.pub", error)) {
    return absl::AlreadyExistsError(StrCat("the folder \"", folder.filename().string(),
                                           "\" holds a federation's root already, which must not "
                                           "be lost; give --root another folder"));
  }
  ASSIGN_OR_RETURN(const auto keys, crypto::KeyFolder::Create(folder, passphrase));
  ASSIGN_OR_RETURN(crypto::Ed25519KeyPair key, crypto::Ed25519KeyPair::Generate());
  RETURN_IF_ERROR(keys.Save(kKey, kKind, key.private_key));
  RETURN_IF_ERROR(WriteFileDurably(folder / "root.pub", StrCat(ToHex(key.public_key), "\n"), 0644));
  return FederationRoot(folder, std::move(key));
}

absl::StatusOr<FederationRoot> FederationRoot::Open(const fs::path& folder,
                                                    const crypto::PassphraseOptions& passphrase) {
  std::error_code error;
  if (!fs::exists(folder / kKey, error)) {
    return absl::NotFoundError(
        StrCat("the folder \"", folder.filename().string(),
               "\" holds no federation's root; give --root the folder that "
               "`consilium federation init` made (is the medium in place?)"));
  }
  ASSIGN_OR_RETURN(const auto keys, crypto::KeyFolder::Open(folder, passphrase));
  ASSIGN_OR_RETURN(const crypto::Secret secret, keys.Load(kKey, kKind));
  ASSIGN_OR_RETURN(crypto::Ed25519KeyPair key,
                   crypto::Ed25519KeyPair::FromPrivate(secret.Reveal()));
  return FederationRoot(folder, std::move(key));
}

absl::StatusOr<identity::SignedRoster> FederationRoot::Newest() const {
  std::uint64_t newest = 0;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder_, error)) {
    newest = std::max(newest, VersionIn(entry.path().filename().string()).value_or(0));
  }
  if (error) return absl::UnavailableError("the root's folder cannot be read");
  if (newest == 0) return absl::NotFoundError("the root has signed no roster yet");
  const std::string name = FileNameOf(newest);
  ASSIGN_OR_RETURN(const std::string file, ReadTextFile(folder_ / name, kMaxRosterBytes));
  auto roster = identity::VerifyRoster(key_.public_key, file);
  if (roster.ok() && roster->roster.version != newest) {
    return absl::DataLossError(StrCat(name, " holds version ", roster->roster.version));
  }
  if (!roster.ok()) return WithContext(roster.status(), name);
  return roster;
}

absl::StatusOr<identity::SignedRoster> FederationRoot::SignNext(identity::Roster roster,
                                                                Time now) const {
  const auto newest = Newest();
  if (!newest.ok() && !absl::IsNotFound(newest.status())) return newest.status();
  roster.version = newest.ok() ? newest->roster.version + 1 : 1;
  roster.issued = now;
  ASSIGN_OR_RETURN(identity::SignedRoster next, identity::SignRoster(key_, std::move(roster)));
  RETURN_IF_ERROR(WriteFileDurably(folder_ / FileNameOf(next.roster.version), next.file, 0644));
  return next;
}

}  // namespace consilium::federation
