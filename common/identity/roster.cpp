#include "common/identity/roster.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>
#include <set>

#include "common/base/field_writer.h"
#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "common/crypto/signed_document.h"

namespace consilium::identity {
namespace {

using nlohmann::json;

constexpr std::uint64_t kMaxFileBytes = 4 << 20;
constexpr char kFileName[] = "roster.json";

fs::path FileIn(const fs::path& state) { return state / "keys" / kFileName; }

json ToJson(const RosterEntry& entry) {
  json out = {{"name", entry.name},
              {"role", std::string(Name(entry.role))},
              {"signing_key", ToHex(entry.signing_key)},
              {"tls_key", entry.tls_key.Hex()}};
  if (entry.weight_cap != 0) out["weight_cap"] = entry.weight_cap;
  if (entry.sealing_key.has_value()) out["sealing_key"] = ToHex(*entry.sealing_key);
  return out;
}

json ToJson(const Roster& roster) {
  json members = json::array();
  for (const RosterEntry& entry : roster.members) members.push_back(ToJson(entry));
  return {{"federation", roster.federation},
          {"version", roster.version},
          {"issued", ToRfc3339(roster.issued)},
          {"members", std::move(members)}};
}

absl::Status NotARoster(std::string_view why) {
  return absl::InvalidArgumentError(StrCat("this is not a roster: ", why));
}

// Reads fields of one JSON object; the first that is missing or of another type spoils it. What is
// in the object besides shows when it is written again.
class FieldReader {
 public:
  explicit FieldReader(const json& object) : object_(object) {}

  std::string Text(const char* key) {
    const json* found = Find(key, &json::is_string);
    return found != nullptr ? found->get<std::string>() : std::string();
  }
  std::uint64_t Number(const char* key) {
    const json* found = Find(key, &json::is_number_unsigned);
    return found != nullptr ? found->get<std::uint64_t>() : 0;
  }
  double Real(const char* key) {
    const json* found = Find(key, &json::is_number);
    return found != nullptr ? found->get<double>() : 0;
  }
  std::array<std::uint8_t, 32> Key(const char* key) {
    std::array<std::uint8_t, 32> out{};
    const auto bytes = FromHex(Text(key));
    if (bytes.ok() && bytes->size() == out.size()) {
      std::copy(bytes->begin(), bytes->end(), out.begin());
    } else {
      Spoil(key);
    }
    return out;
  }
  bool Has(const char* key) const { return object_.contains(key); }
  void Spoil(const char* key) {
    if (status_.ok()) status_ = NotARoster(StrCat("\"", key, "\" is missing or wrong"));
  }
  const absl::Status& status() const { return status_; }

 private:
  const json* Find(const char* key, bool (json::*is)() const noexcept) {
    const auto found = object_.is_object() ? object_.find(key) : object_.end();
    if (found != object_.end() && ((*found).*is)()) return &*found;
    Spoil(key);
    return nullptr;
  }

  const json& object_;
  absl::Status status_;
};

absl::StatusOr<RosterEntry> EntryFrom(const json& object) {
  FieldReader fields(object);
  RosterEntry entry;
  entry.name = fields.Text("name");
  const std::optional<Role> role = RoleNamed(fields.Text("role"));
  if (!role.has_value()) fields.Spoil("role");
  entry.role = role.value_or(Role::kSite);
  entry.signing_key = fields.Key("signing_key");
  entry.tls_key.bytes = fields.Key("tls_key");
  if (fields.Has("weight_cap")) entry.weight_cap = fields.Real("weight_cap");
  if (fields.Has("sealing_key")) entry.sealing_key = fields.Key("sealing_key");
  RETURN_IF_ERROR(fields.status());
  return entry;
}

// "2026-03-01T12:00:00Z"; anything else shows when it is written again.
Time FromRfc3339(const std::string& text) {
  std::tm parts{};
  if (std::sscanf(text.c_str(), "%4d-%2d-%2dT%2d:%2d:%2dZ", &parts.tm_year, &parts.tm_mon,
                  &parts.tm_mday, &parts.tm_hour, &parts.tm_min, &parts.tm_sec) != 6) {
    return Time{};
  }
  parts.tm_year -= 1900;
  parts.tm_mon -= 1;
  return Time(std::chrono::seconds(timegm(&parts)));
}

absl::StatusOr<Roster> RosterFrom(const json& object) {
  FieldReader fields(object);
  Roster roster;
  roster.federation = fields.Text("federation");
  roster.version = fields.Number("version");
  roster.issued = FromRfc3339(fields.Text("issued"));
  const auto members = object.find("members");
  if (members == object.end() || !members->is_array()) fields.Spoil("members");
  RETURN_IF_ERROR(fields.status());
  for (const json& member : *members) {
    ASSIGN_OR_RETURN(RosterEntry entry, EntryFrom(member));
    roster.members.push_back(std::move(entry));
  }
  return roster;
}

absl::Status CheckEntry(const RosterEntry& entry) {
  RETURN_IF_ERROR(CheckName("member", entry.name));
  if (Name(entry.role).empty()) {
    return absl::InvalidArgumentError(StrCat("the member \"", entry.name, "\" has no known role"));
  }
  if (!std::isfinite(entry.weight_cap) || entry.weight_cap < 0 || std::signbit(entry.weight_cap)) {
    return absl::InvalidArgumentError(StrCat("the weight cap of \"", entry.name,
                                             "\" is a finite number, 0 for none, not ",
                                             entry.weight_cap));
  }
  if (entry.sealing_key.has_value() && entry.role != Role::kCoordinator) {
    return absl::InvalidArgumentError(StrCat("only the coordinator has a sealing key, \"",
                                             entry.name, "\" is a ", Name(entry.role)));
  }
  return absl::OkStatus();
}

// What holds in every roster, whoever made it.
absl::Status CheckRoster(const Roster& roster) {
  RETURN_IF_ERROR(CheckName("federation", roster.federation));
  if (roster.version == 0) return absl::InvalidArgumentError("a roster's versions count from 1");
  std::set<Digest> tls_keys;
  std::set<crypto::Ed25519PublicKey> signing_keys;
  std::set<std::string_view> names;
  int coordinators = 0;
  for (const RosterEntry& entry : roster.members) {
    RETURN_IF_ERROR(CheckEntry(entry));
    if (!names.insert(entry.name).second) {
      return absl::InvalidArgumentError(
          StrCat("the name \"", entry.name, "\" is twice in the roster"));
    }
    if (!signing_keys.insert(entry.signing_key).second || !tls_keys.insert(entry.tls_key).second) {
      return absl::InvalidArgumentError(StrCat(
          "\"", entry.name, "\" has a key that another member has too: one key is one member"));
    }
    if (entry.role == Role::kCoordinator && ++coordinators > 1) {
      return absl::InvalidArgumentError("a roster has one coordinator, this one more");
    }
  }
  return absl::OkStatus();
}

bool ByName(const RosterEntry& a, const RosterEntry& b) { return a.name < b.name; }

// 5 bits a character, without i, l, o and u, which people mix up (Crockford's base 32).
std::string Base32(ByteView bytes) {
  constexpr std::string_view kAlphabet = "0123456789abcdefghjkmnpqrstvwxyz";
  std::string text;
  unsigned pending = 0, bits = 0;
  for (const std::uint8_t byte : bytes) {
    pending = (pending << 8 | byte) & 0xfff;
    for (bits += 8; bits >= 5; bits -= 5) text += kAlphabet[pending >> (bits - 5) & 31];
  }
  return text;
}

}  // namespace

std::string_view Name(Role role) {
  switch (role) {
    case Role::kSite:
      return "site";
    case Role::kResearcher:
      return "researcher";
    case Role::kCoordinator:
      return "coordinator";
    case Role::kAuditor:
      return "auditor";
  }
  return "";
}

std::optional<Role> RoleNamed(std::string_view name) {
  for (const Role role : {Role::kSite, Role::kResearcher, Role::kCoordinator, Role::kAuditor}) {
    if (name == Name(role)) return role;
  }
  return std::nullopt;
}

const RosterEntry* Roster::Find(std::string_view name) const {
  const auto found = std::find_if(members.begin(), members.end(),
                                  [&](const RosterEntry& entry) { return entry.name == name; });
  return found != members.end() ? &*found : nullptr;
}

const RosterEntry* Roster::FindByTlsKey(const Digest& tls_key) const {
  const auto found = std::find_if(members.begin(), members.end(), [&](const RosterEntry& entry) {
    return entry.tls_key == tls_key;
  });
  return found != members.end() ? &*found : nullptr;
}

const RosterEntry* Roster::Coordinator() const {
  const auto found = std::find_if(members.begin(), members.end(), [](const RosterEntry& entry) {
    return entry.role == Role::kCoordinator;
  });
  return found != members.end() ? &*found : nullptr;
}

std::map<SiteId, crypto::Ed25519PublicKey> Roster::SiteKeys() const {
  std::map<SiteId, crypto::Ed25519PublicKey> keys;
  for (const RosterEntry& entry : members) {
    if (entry.role == Role::kSite) keys.emplace(SiteId(entry.name), entry.signing_key);
  }
  return keys;
}

absl::StatusOr<SignedRoster> SignRoster(const crypto::Ed25519KeyPair& root, Roster roster) {
  RETURN_IF_ERROR(CheckRoster(roster));
  roster.issued = std::chrono::floor<std::chrono::seconds>(roster.issued);
  std::sort(roster.members.begin(), roster.members.end(), ByName);
  ASSIGN_OR_RETURN(std::string file,
                   crypto::SignDocument(root, crypto::kRosterDocument, ToJson(roster).dump()));
  const Digest hash = crypto::Sha256(file);
  return SignedRoster{std::move(roster), std::move(file), hash};
}

absl::StatusOr<SignedRoster> VerifyRoster(const crypto::Ed25519PublicKey& root,
                                          std::string_view file) {
  if (file.size() > kMaxFileBytes) {
    return NotARoster(StrCat("it has ", file.size(), " bytes, more than 4 MiB"));
  }
  ASSIGN_OR_RETURN(const std::string text,
                   crypto::VerifyDocument(root, crypto::kRosterDocument, file));
  ASSIGN_OR_RETURN(Roster roster, RosterFrom(json::parse(text)));
  RETURN_IF_ERROR(CheckRoster(roster));
  if (ToJson(roster).dump() != text ||
      !std::is_sorted(roster.members.begin(), roster.members.end(), ByName)) {
    return NotARoster("it has fields that this release does not know, or another order; upgrade");
  }
  return SignedRoster{std::move(roster), std::string(file), crypto::Sha256(file)};
}

PinnedRoster::PinnedRoster(fs::path path, crypto::Ed25519PublicKey root, SignedRoster current)
    : path_(std::move(path)), root_(root), current_(std::move(current)) {}

absl::StatusOr<PinnedRoster> PinnedRoster::Load(const fs::path& state,
                                                const crypto::Ed25519PublicKey& root) {
  ASSIGN_OR_RETURN(const std::string file, ReadTextFile(FileIn(state), kMaxFileBytes));
  auto roster = VerifyRoster(root, file);
  if (!roster.ok()) return WithContext(roster.status(), "the pinned roster, keys/roster.json");
  return PinnedRoster(FileIn(state), root, *std::move(roster));
}

absl::Status PinnedRoster::Advance(std::string_view file) {
  ASSIGN_OR_RETURN(SignedRoster next, VerifyRoster(root_, file));
  const Roster &ours = current_.roster, &theirs = next.roster;
  if (theirs.federation != ours.federation) {
    return absl::FailedPreconditionError(StrCat("the roster is of the federation \"",
                                                theirs.federation, "\", we belong to \"",
                                                ours.federation, "\""));
  }
  if (next.hash == current_.hash) return absl::OkStatus();
  if (theirs.version <= ours.version) {
    return absl::FailedPreconditionError(
        StrCat("a roster of version ", theirs.version, " came (",
               theirs.version == ours.version ? "another of the same version" : "an older one",
               "), and version ", ours.version,
               " is pinned: the coordinator shows an old or a second roster"));
  }
  RETURN_IF_ERROR(WriteFileDurably(path_, next.file));
  current_ = std::move(next);
  return absl::OkStatus();
}

absl::Status PinRoster(const fs::path& state, const SignedRoster& roster) {
  RETURN_IF_ERROR(EnsureFolder(state / "keys"));
  return WriteFileDurably(FileIn(state), roster.file);
}

std::string ReadableFingerprint(std::string_view name, Role role,
                                const crypto::Ed25519PublicKey& signing_key,
                                const Digest& tls_key) {
  const Digest hash = crypto::Sha256(FieldWriter("consilium member fingerprint v1")
                                         .Text(name)
                                         .Text(Name(role))
                                         .Field(signing_key)
                                         .Field(tls_key.bytes)
                                         .bytes());
  const std::string text = Base32(ByteView(hash.bytes).first(10));
  return StrCat(text.substr(0, 4), "-", text.substr(4, 4), "-", text.substr(8, 4), "-",
                text.substr(12, 4));
}

}  // namespace consilium::identity
