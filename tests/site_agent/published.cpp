#include "tests/site_agent/published.h"

#include <algorithm>

#include "common/crypto/model_record.h"
#include "common/crypto/sha256.h"
#include "common/identity/roster.h"
#include "common/model/safetensors.h"
#include "common/plan/plan.h"
#include "common/wire/protocol.h"
#include "tests/catch.h"

namespace consilium::site_agent {
namespace {

using nlohmann::json;

crypto::Ed25519KeyPair KeyOf(std::uint8_t seed) {
  const std::array<std::uint8_t, 32> bytes = {seed, 9};
  return crypto::Ed25519KeyPair::FromPrivate(bytes).value();
}

}  // namespace

PublishedFiles Publish(const fs::path& folder, const std::string& plan_toml,
                       const ModelState& model, const std::function<void(json&)>& change) {
  const crypto::Ed25519KeyPair root = KeyOf(1);
  identity::Roster roster;
  roster.federation = "five-hospitals";
  roster.version = 1;
  const auto add = [&](const std::string& name, identity::Role role, std::uint8_t seed) {
    roster.members.push_back({name, role, KeyOf(seed).public_key, crypto::Sha256(name)});
    if (role == identity::Role::kCoordinator) roster.members.back().sealing_key.emplace();
  };
  add("ada", identity::Role::kResearcher, 3);
  add("coordinator", identity::Role::kCoordinator, 2);
  add("north", identity::Role::kSite, 4);
  const std::string roster_file = identity::SignRoster(root, roster).value().file;

  PublishedFiles files{folder / "m.safetensors", folder / "m.record.json", folder / "plan.toml",
                       ToHex(root.public_key)};
  REQUIRE(SaveSafetensors(files.model, model).ok());
  REQUIRE(WriteFileDurably(files.plan, plan_toml).ok());
  const PlanHash plan = crypto::Sha256(AsBytes(plan_toml));
  const wire::PlanNonce nonce = {1, 2, 3};
  const auto signature =
      crypto::Sign(KeyOf(3), wire::PlanText(roster.federation, "ada", nonce, plan)).value();
  const std::string name = plan::ParsePlan(plan_toml).value().name;
  json record = {
      {"model", crypto::Sha256OfFile(files.model).value().Hex()},
      {"parent", nullptr},
      {"federation", roster.federation},
      {"run", name + "-0001"},
      {"round", 1},
      {"plan", name},
      {"plan_sha256", plan.Hex()},
      {"researcher", {{"name", "ada"}, {"nonce", ToHex(nonce)}, {"signature", ToHex(signature)}}},
      {"rounds", json::array()},
      {"participation", json::array()},
      {"test", {{"auroc", 0.9}, {"at_specificity", 0.9}, {"sensitivity", 0.7}, {"sites", 3}}},
      {"log", {{"number", 0}, {"head", Digest().Hex()}, {"countersignatures", json::array()}}},
      {"roster", roster_file},
  };
  if (change) change(record);
  const std::string signed_record = crypto::SignModelRecord(KeyOf(2), record.dump()).value();
  REQUIRE(WriteFileDurably(files.record, signed_record).ok());
  return files;
}

}  // namespace consilium::site_agent
